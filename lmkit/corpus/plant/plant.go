// Package plant makes texts whose true cause of each label is known, to test explanations against the truth.
package plant

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/token"
)

// End is the token that follows the label where an item is part of a longer text.
const End = "."

// Item is a text that a model reads, and the label that it is to predict as the next token. All tokens are words of
// lower case or marks that the usual word tokenizers keep whole.
type Item struct {
	Text   string   `json:"text"`   // Tokens, with spaces between
	Tokens []string `json:"tokens"` // what the model reads
	Label  string   `json:"label"`  // the right next token
	Foil   string   `json:"foil"`   // the wrong alternative

	// Cause has the positions in Tokens, ascending, of the tokens that determine the label: as long as these stay, it
	// stays.
	Cause []int `json:"cause"`
	// Decoys has the positions, ascending, of tokens that may tempt a model but do not matter: the shortcut, the nouns in
	// between, the pairs that are not asked for.
	Decoys []int `json:"decoys,omitempty"`
}

// Line returns the item as training text: its tokens, the label and End.
func (it Item) Line() string { return it.Text + " " + it.Label + " " + End }

// Part is a part of the data. No text is in two parts.
type Part int

// The parts: about eight, one and one tenths of all texts.
const (
	Train Part = iota
	Valid
	Test
)

// Config says which items to make.
type Config struct {
	// Task is one of Tasks.
	Task string `json:"task"`
	// Size is how long items are: the pairs of "recall", the nouns between subject and verb of "agreement", the words of
	// "marker", "pair" and "shortcut". 0 means the task's default: 4, 2, 12.
	Size int `json:"size,omitempty"`
	// Bias is the share of items in which the shortcut points to the label, 0.5 to 1, in training and validation; in
	// testing it is always one half. 0 means 0.9. Only "shortcut" uses it.
	Bias float64 `json:"bias,omitempty"`
	// Unknown is the share of the words of training items that are hidden: token.UnknownWord stands in their place, also
	// in that of causes. A model that has seen it knows what it is not to know a word, so that the unknown token is a
	// fair baseline of explanations. Without it, what a model makes of that token is accident.
	Unknown float64 `json:"unknown,omitempty"`
}

// Tasks returns the names of the tasks.
//   - marker: one of two markers among filler words decides.
//   - pair: two markers are there; which comes first decides.
//   - recall: keys and values, then one of the keys: its value is the label.
//   - agreement: the number of the first noun decides the verb, whatever nouns stand between.
//   - shortcut: as marker, with a second word that goes with the label most of the time, but does not decide it.
func Tasks() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Validate returns all mistakes of the configuration.
func (c Config) Validate() error {
	k, ok := kindOf(c.Task)
	if !ok {
		return fmt.Errorf("unknown planted task %q: choose one of %s", c.Task, strings.Join(Tasks(), ", "))
	}
	var errs []error
	if c.Size != 0 && (c.Size < k.least || c.Size > k.most) {
		errs = append(errs, fmt.Errorf("planted task %s: size %d: need %d to %d, or 0 for %d", c.Task, c.Size, k.least,
			k.most, k.size))
	}
	if c.Bias != 0 && !(c.Bias >= 0.5 && c.Bias <= 1) {
		errs = append(errs, fmt.Errorf("planted task %s: bias %g: need 0.5 to 1, or 0 for %g", c.Task, c.Bias, defaultBias))
	}
	if !(c.Unknown >= 0 && c.Unknown < 1) {
		errs = append(errs, fmt.Errorf("planted task %s: share of unknown words %g: need 0 or more, and less than 1", c.Task,
			c.Unknown))
	}
	return errors.Join(errs...)
}

const defaultBias = 0.9

// Task makes the items of one configuration. It is immutable and safe for concurrent use.
type Task struct {
	config Config
	kind   kind
}

// New returns the task of a configuration, or its mistakes.
func New(c Config) (*Task, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	k, _ := kindOf(c.Task)
	if c.Size == 0 {
		c.Size = k.size
	}
	if c.Bias == 0 {
		c.Bias = defaultBias
	}
	return &Task{c, k}, nil
}

// Config returns the configuration, with its defaults filled in.
func (t *Task) Config() Config { return t.config }

// Labels returns the labels in a fixed order. They are equally frequent.
func (t *Task) Labels() []string { return slices.Clone(t.kind.labels) }

// Vocabulary returns every token that an item, its label or End may be, each once, in a fixed order, but for the
// unknown one.
func (t *Task) Vocabulary() []string {
	words := []string{End}
	for _, list := range append([][]string{t.kind.labels}, t.kind.words...) {
		for _, w := range list {
			if !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	return words
}

// Item returns item i >= 0 of a part. It depends on the configuration, seed, part and i alone. Any n successive items
// from a multiple of n on have each label once, where n is the number of labels.
func (t *Task) Item(seed uint64, part Part, i int) Item {
	n := len(t.kind.labels)
	block := rand.New(rand.NewPCG(seed, uint64(i/n)*8+4+uint64(part)))
	label := block.Perm(n)[i%n]
	rng := rand.New(rand.NewPCG(seed, uint64(i)*8+uint64(part)))
	bias := t.config.Bias
	if part == Test {
		bias = 0.5
	}
	honest := rng.Float64() < bias // before the loop, which would otherwise bend the share
	for {
		it := t.kind.make(draw{rng}, t.config.Size, label, honest)
		it.Text = strings.Join(it.Tokens, " ")
		it.Label = t.kind.labels[label]
		if partOf(it.Text) == part {
			return t.hide(it, rng, part)
		}
	}
}

// hide exchanges some words of a training item for the unknown one.
func (t *Task) hide(it Item, rng *rand.Rand, part Part) Item {
	if part != Train || t.config.Unknown == 0 {
		return it
	}
	for i := range it.Tokens {
		if rng.Float64() < t.config.Unknown {
			it.Tokens[i] = token.UnknownWord
		}
	}
	it.Text = strings.Join(it.Tokens, " ")
	return it
}

// partOf assigns texts to parts by their hash, so that parts have no text in common, whatever the seeds.
func partOf(text string) Part {
	h := fnv.New64a()
	h.Write([]byte(text))
	switch mixed := h.Sum64() * 0x9e3779b97f4a7c15 >> 32; mixed % 10 { // the low bits of FNV alone are weak
	case 0:
		return Valid
	case 1:
		return Test
	default:
		return Train
	}
}

// Items returns the first n items of a part.
func (t *Task) Items(seed uint64, part Part, n int) []Item {
	items := make([]Item, max(n, 0))
	for i := range items {
		items[i] = t.Item(seed, part, i)
	}
	return items
}

// Corpus returns training text of n items, one a line (see Item.Line), with an eighth as many for validation and for
// testing.
func (t *Task) Corpus(seed uint64, n int) *corpus.Corpus {
	doc := func(part Part, name string, n int) []corpus.Document {
		return []corpus.Document{{Name: t.config.Task + " " + name, Text: Text(t.Items(seed, part, n))}}
	}
	held := (n + 7) / 8
	return &corpus.Corpus{Name: "plant " + t.config.Task,
		Train: doc(Train, "train", n), Valid: doc(Valid, "valid", held), Test: doc(Test, "test", held)}
}

// Text returns the items as training text, one a line.
func Text(items []Item) string {
	var b strings.Builder
	for _, it := range items {
		b.WriteString(it.Line())
		b.WriteByte('\n')
	}
	return b.String()
}

// Examples returns the items as examples of which only the label is to be predicted.
func Examples(tok token.Tokenizer, items []Item) ([]corpus.Example, error) {
	examples := make([]corpus.Example, len(items))
	for i, it := range items {
		text, err := tok.Encode(it.Text)
		if err != nil {
			return nil, fmt.Errorf("encode planted item %d: %w", i, err)
		}
		whole, err := tok.Encode(it.Text + " " + it.Label)
		if err != nil {
			return nil, fmt.Errorf("encode planted item %d: %w", i, err)
		}
		n := len(text.IDs)
		if len(whole.IDs) <= n || !slices.Equal(text.IDs, whole.IDs[:n]) {
			return nil, fmt.Errorf("encode planted item %d: the tokenizer does not keep the label %q apart from the text: "+
				"take a word tokenizer", i, it.Label)
		}
		examples[i] = corpus.Example{Tokens: whole.IDs, Scored: len(whole.IDs) - n}
	}
	return examples, nil
}
