package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/grade"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// Classifying is a file of items, and the labels that a model is to choose from after each prompt. The label of an item
// is the text that the model finds most likely: the sum of the log-probabilities of its tokens, whole labels against
// each other, nothing divided by their length.
type Classifying struct {
	Source Source
	Labels []string // as the items name them; they follow the prompt after a space, unless it ends in white space
	Model  string   // what the model is called, for the report
	Worst  int      // how many of the worst mistakes are listed; 0: 5
	Seed   uint64   // of the draws of calibration
}

// Classified is one item with what the model made of it: a line of JSON.
type Classified struct {
	Line   int            `json:"line"`            // of the file
	ID     string         `json:"id,omitempty"`    // as the item has it
	Prompt string         `json:"prompt"`          // that the label is to follow
	Label  string         `json:"label,omitempty"` // what is right; "": the item does not say
	Meta   map[string]any `json:"meta,omitempty"`  // the item's other columns
	Said   string         `json:"said"`            // the most likely label
	P      float64        `json:"p"`               // how likely it is among the labels
	Scores []LabelScore   `json:"scores"`          // of all labels, in their order
	// Loss is -ln of how likely what is right is among the labels; nil: the item does not say what is right.
	Loss *float64 `json:"loss,omitempty"`
}

// LabelScore is how likely one label is.
type LabelScore struct {
	Label   string  `json:"label"`
	LogProb float64 `json:"logprob"` // nats
}

// Classification is what came of a file.
type Classification struct {
	Model       string             `json:"model"`
	ModelHash   string             `json:"model_hash"`
	Source      Source             `json:"source"` // its folders left out
	Labels      []LabelInfo        `json:"labels"`
	Items       int                `json:"items"`                 // that were asked about
	Failed      int                `json:"failed"`                // rows that were not
	Report      *grade.Report      `json:"report,omitempty"`      // of the items that say what is right
	Calibration *grade.Calibration `json:"calibration,omitempty"` // of the same
	Notes       []string           `json:"notes,omitempty"`       // what must be known to read the numbers

	All      []Classified `json:"-"` // in the order of the file
	Failures []Failure    `json:"-"`
}

// LabelInfo says how a label is read.
type LabelInfo struct {
	Label  string `json:"label"`
	Tokens int    `json:"tokens"` // that its score is the sum over
	Said   int    `json:"said"`   // items of which it is the most likely label
}

// Classify asks a model for the label of each item. Rows that are no items, whose label is none of those to choose from
// or that the model cannot be asked about, are failures, and the others go on. The context's progress.Func hears of
// each.
func Classify(ctx context.Context, m *lm.Model, c Classifying) (*Classification, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if err := m.CheckText(); err != nil {
		return nil, err
	}
	out := &Classification{Model: c.Model, ModelHash: m.Hash(), Source: c.Source}
	out.Source.File = filepath.Base(c.Source.File)
	items, err := c.items(ctx, out)
	if err != nil {
		return nil, err
	}
	config := grade.Config{Worst: c.Worst, Progress: progress.From(ctx)}
	space := spaceAfter(items[0].Request.Prompt)
	for _, l := range c.Labels {
		config.Labels = append(config.Labels, space+l)
	}
	pairs := make([]corpus.Pair, len(items))
	for i, x := range items {
		pairs[i] = corpus.Pair{Prompt: x.Request.Prompt, Answer: space + x.Label, Line: x.Line}
	}
	if err := out.read(m, config.Labels); err != nil {
		return nil, err
	}
	choices, err := grade.Choose(ctx, m, pairs, config)
	if err != nil {
		return nil, err
	}
	return out, out.take(c, config, items, pairs, choices)
}

func (c *Classifying) validate() (err error) {
	c.Labels, err = different(c.Labels)
	return err
}

// different returns labels without white space around them, of which there are two or more.
func different(labels []string) (clean []string, err error) {
	for _, l := range labels {
		l = strings.TrimSpace(l)
		if l == "" || slices.Contains(clean, l) {
			return nil, fmt.Errorf("the labels %q are not different texts", labels)
		}
		clean = append(clean, l)
	}
	if len(clean) < 2 {
		return nil, errors.New("there is nothing to choose between: give two labels or more")
	}
	return clean, nil
}

// spaceAfter is what stands between a prompt and a label.
func spaceAfter(prompt string) string {
	if strings.TrimRight(prompt, " \t\n") != prompt {
		return ""
	}
	return " "
}

// unasked is why an item cannot be asked for one of some labels; "": it can.
func (x Item) unasked(labels []string) string {
	switch {
	case x.Wrong != "":
		return x.Wrong
	case x.Request.Prompt == "":
		return "has messages or ids; labels are read after a prompt"
	case x.Label != "" && !slices.Contains(labels, x.Label):
		return fmt.Sprintf("has the label %q, which is none of those to choose from", x.Label)
	}
	return ""
}

// items reads the items that can be asked about.
func (c *Classifying) items(ctx context.Context, out *Classification) (items []Item, err error) {
	for x, err := range Items(c.Source, lmkit.Request{}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if why := x.unasked(c.Labels); why != "" {
			out.Failures = append(out.Failures, Failure{x.Line, x.ID, why})
		} else {
			items = append(items, x)
		}
	}
	if len(items) > 0 {
		return items, nil
	}
	if len(out.Failures) > 0 {
		return nil, fmt.Errorf("%s has no items: %s", c.Source.File, out.Failures[0])
	}
	return nil, fmt.Errorf("%s has no items: it is empty", c.Source.File)
}

// read counts the tokens of the labels, and notes what follows from them. It fails where the model cannot tell them
// apart, or does not know one.
func (c *Classification) read(m *lm.Model, labels []string) error {
	first, counts := map[string]string{}, map[int]bool{}
	if err := known(m.Tokenizer(), labels); err != nil {
		return err
	}
	for _, l := range labels {
		e, err := m.Tokenizer().Encode("x" + l) // after something, as labels stand
		if err != nil {
			return err
		}
		from, n := e.From(1), e.Written()
		name := strings.TrimSpace(l)
		c.Labels = append(c.Labels, LabelInfo{Label: name, Tokens: n - from})
		counts[n-from] = true
		if from < n {
			token := m.TokenText(e.IDs[from])
			if other, ok := first[token]; ok && n-from > 1 {
				c.note("%q and %q begin with the same token %q: whole labels are compared", other, name, token)
			}
			first[token] = name
		}
	}
	if len(counts) > 1 {
		c.note("labels differ in their number of tokens; longer ones are less likely by that alone")
	}
	if grade.Ambiguous(labels) {
		c.note("a label begins another; so that the end of the text is scored with each of them")
	}
	return nil
}

// known returns an error if the model reads two labels as the same tokens, or does not know one.
func known(tok token.Tokenizer, labels []string) error {
	unknown, has := tok.Unknown()
	read := map[string]string{}
	for _, l := range labels {
		l = strings.TrimSpace(l)
		e, err := tok.Encode(l)
		if err != nil {
			return err
		}
		if has && slices.Contains(e.IDs, unknown) && tok.Token(unknown) != l {
			return fmt.Errorf("the model does not know all of the label %q: it would read %s; take words of its vocabulary", l,
				tok.Token(unknown))
		}
		ids := fmt.Sprint(e.IDs)
		if other, ok := read[ids]; ok {
			return fmt.Errorf("the model reads the labels %q and %q as the same tokens: give labels that it can tell apart",
				other, l)
		}
		read[ids] = l
	}
	return nil
}

func (c *Classification) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

// take takes what the model made of the items.
func (c *Classification) take(from Classifying, config grade.Config, items []Item, pairs []corpus.Pair,
	choices []grade.Choice) error {
	var known []grade.Choice
	var right []corpus.Pair
	mass := 0.0
	for i, x := range choices {
		if x.Error != "" {
			c.Failures = append(c.Failures, Failure{items[i].Line, items[i].ID, x.Error})
			continue
		}
		c.Labels[x.Said].Said++
		mass += x.Mass()
		if x.Right >= 0 {
			known, right = append(known, x), append(right, pairs[i])
		}
		c.All = append(c.All, classified(items[i], from.Labels, x))
	}
	slices.SortStableFunc(c.Failures, func(a, b Failure) int { return cmp.Compare(a.Line, b.Line) })
	c.Items, c.Failed = len(c.All), len(c.Failures)
	if c.Items == 0 {
		return fmt.Errorf("none of the items can be asked about: %s", c.Failures[0])
	}
	c.doubt(mass / float64(c.Items))
	if len(known) == 0 {
		c.note("no item says what is right: nothing is said about how right the labels are")
		return nil
	}
	var err error
	if c.Report, err = grade.Choices(right, known, config); err == nil {
		c.Calibration, err = grade.Calibrate(known, from.Seed)
	}
	return err
}

func classified(x Item, labels []string, c grade.Choice) Classified {
	one := Classified{Line: x.Line, ID: x.ID, Prompt: x.Request.Prompt, Label: x.Label, Meta: x.Meta,
		Said: labels[c.Said], P: c.Probs()[c.Said]}
	for k, l := range labels {
		one.Scores = append(one.Scores, LabelScore{l, c.LogProbs[k]})
	}
	if c.Right >= 0 {
		loss := -math.Log(max(c.Probs()[c.Right], math.SmallestNonzeroFloat64))
		one.Loss = &loss
	}
	return one
}

// doubt notes what speaks against the question that was asked.
func (c *Classification) doubt(mass float64) {
	if mass < 0.05 {
		c.note("the labels have %.2g %% of all probability together: the model is about to say something else after this "+
			"prompt; another --template may ask more clearly", 100*mass)
	}
	for _, l := range c.Labels {
		if share := float64(l.Said) / float64(c.Items); share > 0.9 && c.Items >= 20 {
			c.note("%q is said of %.0f %% of the items: the prompt may favour it whatever the text is", l.Label, 100*share)
		}
	}
}
