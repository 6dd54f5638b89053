// Package grade measures how right a model's answers are.
package grade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// Config says how a model is asked.
type Config struct {
	// Labels are the answers to choose from. nil: those that the examples have, if they are few and come again and
	// again ([Labels]); else answers are texts that the model writes.
	Labels []string
	// Ask returns the tokens after which a model answers an example's text, such as a conversation in which a person says
	// it; nil: those of the text as it is. With it answers are texts, and never chosen among labels.
	Ask      func(text string) ([]token.ID, error)
	Tokens   int // of a text that it writes, at most; 0: as the longest right one takes, and half as many more
	Worst    int // how many of the worst mistakes are listed; 0: 5
	Progress progress.Func
}

// Report is how right a model's answers are.
type Report struct {
	Examples int                 `json:"examples"`
	Accuracy numerics.Proportion `json:"accuracy"` // of answers that are the right one
	// Majority is what always giving the most frequent right answer would reach.
	Majority Majority  `json:"majority"`
	Classes  []Class   `json:"classes,omitempty"`  // of labels
	MacroF1  *float64  `json:"macro_f1,omitempty"` // of labels: the mean of the classes' F1
	Texts    *Texts    `json:"texts,omitempty"`    // of answers that are written
	Worst    []Mistake `json:"worst"`              // the worst mistakes first
}

// Majority is an answer that is given without looking.
type Majority struct {
	Answer string  `json:"answer"`
	Share  float64 `json:"share"`
}

// Class is one label.
type Class struct {
	Label     string  `json:"label"`
	Right     int     `json:"right"` // how many examples have it
	Said      []int   `json:"said"`  // of these, how many got each label, in the order of Report.Classes
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"` // 0 where precision and recall are
}

// Mistake is a wrong answer.
type Mistake struct {
	Line   int     `json:"line"`
	Prompt string  `json:"prompt"`
	Right  string  `json:"right"`
	Said   string  `json:"said"`
	Margin float64 `json:"margin,omitempty"` // of labels: by how many nats what was said is more likely than what is right
}

// mostLabels is how many different answers still are labels to choose from.
const mostLabels = 20

// Labels returns the different answers of examples, the most frequent first, if they are labels: few, and each given
// three times on average. Else it returns nil.
func Labels(pairs []corpus.Pair) []string {
	count := map[string]int{}
	for _, p := range pairs {
		count[p.Answer]++
	}
	if len(count) > mostLabels || len(count) < 2 || 3*len(count) > len(pairs) {
		return nil
	}
	var labels []string
	for l := range count {
		labels = append(labels, l)
	}
	slices.SortFunc(labels, func(a, b string) int { return cmp.Or(count[b]-count[a], strings.Compare(a, b)) })
	return labels
}

// Answers asks a model for the answer to each example, and says how right they are. Of labels it takes the one that the
// model finds most likely; else it takes what the model writes, its first choice at each step, up to its end token.
func Answers(ctx context.Context, m *lm.Model, pairs []corpus.Pair, c Config) (*Report, error) {
	if len(pairs) == 0 {
		return nil, errors.New("there are no examples to measure on")
	}
	if c.Ask != nil && c.Labels != nil {
		return nil, errors.New("answers are chosen among labels, or written after what Ask says: give one of them")
	}
	if c.Labels == nil && c.Ask == nil {
		c.Labels = Labels(pairs)
	}
	if len(c.Labels) > 0 {
		choices, err := Choose(ctx, m, pairs, c)
		if err != nil {
			return nil, err
		}
		for i, x := range choices {
			if x.Error != "" {
				return nil, fmt.Errorf("line %d: %s", pairs[i].Line, x.Error)
			}
		}
		return Choices(pairs, choices, c)
	}
	said, err := write(ctx, m, pairs, c)
	if err != nil {
		return nil, err
	}
	r := report(pairs, said, nil, c)
	r.Texts = textsOf(pairs, said)
	return r, nil
}

// report counts what is right. margins are those of Mistake.Margin; nil: answers are no labels.
func report(pairs []corpus.Pair, said []string, margins []float64, c Config) *Report {
	r := &Report{Examples: len(pairs), Majority: majority(pairs)}
	right := 0
	for i, p := range pairs {
		if same(said[i], p.Answer) {
			right++
			continue
		}
		wrong := Mistake{Line: p.Line, Prompt: p.Prompt, Right: strings.TrimSpace(p.Answer),
			Said: strings.TrimSpace(said[i])}
		if margins != nil {
			wrong.Margin = margins[i]
		}
		r.Worst = append(r.Worst, wrong)
	}
	r.Accuracy = numerics.ProportionOf(right, len(pairs))
	slices.SortStableFunc(r.Worst, func(a, b Mistake) int { return cmp.Compare(b.Margin, a.Margin) })
	r.Worst = r.Worst[:min(cmp.Or(c.Worst, 5), len(r.Worst))]
	return r
}

// same reports whether two answers are one, but for white space at their ends.
func same(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }

func majority(pairs []corpus.Pair) (m Majority) {
	count, most := map[string]int{}, 0
	for _, p := range pairs { // the first of equally frequent ones
		a := strings.TrimSpace(p.Answer)
		if count[a]++; count[a] > most {
			most, m.Answer = count[a], a
		}
	}
	m.Share = float64(most) / float64(len(pairs))
	return m
}

// write returns what the model writes after each example's text.
func write(ctx context.Context, m *lm.Model, pairs []corpus.Pair, c Config) (said []string, err error) {
	if c.Tokens == 0 {
		if c.Tokens, err = room(m, pairs); err != nil {
			return nil, err
		}
	}
	ask := c.Ask
	if ask == nil {
		ask = func(text string) ([]token.ID, error) {
			e, err := m.Tokenizer().Encode(text)
			return e.IDs, err
		}
	}
	for part := range slices.Chunk(pairs, together) {
		var prompts [][]token.ID
		for _, p := range part {
			ids, err := ask(p.Prompt)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", p.Line, err)
			}
			prompts = append(prompts, ids)
		}
		texts, err := generate.Batch(ctx, m, prompts, generate.Config{Tokens: c.Tokens})
		if err != nil {
			return nil, err
		}
		said = append(said, texts...)
		c.Progress.At("asking", int64(len(said)), int64(len(pairs)), "texts")
	}
	return said, nil
}

// room is how many tokens an answer may have: half as many again as the longest right one.
func room(m *lm.Model, pairs []corpus.Pair) (int, error) {
	most := 0
	for _, p := range pairs {
		e, err := m.Tokenizer().Encode(p.Answer)
		if err != nil {
			return 0, err
		}
		most = max(most, len(e.IDs))
	}
	return most + most/2 + 4, nil
}

// classes counts what was said of the examples of each label.
func (r *Report) classes(pairs []corpus.Pair, said, labels []string) {
	index := map[string]int{}
	for i, l := range labels {
		index[strings.TrimSpace(l)] = i
		r.Classes = append(r.Classes, Class{Label: strings.TrimSpace(l), Said: make([]int, len(labels))})
	}
	all := make([]int, len(labels)) // how often each was said
	for i, p := range pairs {
		s := index[strings.TrimSpace(said[i])]
		all[s]++
		if k, ok := index[strings.TrimSpace(p.Answer)]; ok {
			r.Classes[k].Right++
			r.Classes[k].Said[s]++
		}
	}
	sum := 0.0
	for k := range r.Classes {
		c := &r.Classes[k]
		c.Precision, c.Recall = ratio(c.Said[k], all[k]), ratio(c.Said[k], c.Right)
		if c.Precision+c.Recall > 0 {
			c.F1 = 2 * c.Precision * c.Recall / (c.Precision + c.Recall)
		}
		sum += c.F1
	}
	mean := sum / float64(len(labels))
	r.MacroF1 = &mean
}

func ratio(a, b int) float64 { return float64(a) / float64(max(1, b)) }
