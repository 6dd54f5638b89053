package batch

import (
	"context"
	"errors"
	"strings"

	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/grade"
	"lmkit.internal/lmkit/lm"
)

// Scored is how likely a model finds the text of an item: a line of JSON.
type Scored struct {
	Line  int            `json:"line"` // of the file
	ID    string         `json:"id,omitempty"`
	Label string         `json:"label,omitempty"`
	Meta  map[string]any `json:"meta,omitempty"` // the item's other columns
	lm.Score
}

// check returns what is wrong with what is asked.
func (j *Job) check() (err error) {
	if j.Labels != nil && j.Score {
		return errors.New("labels and scores were asked for; ask for one of them")
	}
	if j.Suite != nil {
		return j.checkSuite()
	}
	if j.Labels != nil {
		j.Labels, err = different(j.Labels)
	}
	return err
}

// together is how many items are asked about at once, wherever a run began.
func (j Job) together() int {
	if j.Suite != nil {
		return bias.Together
	}
	if j.Labels != nil || j.Score {
		return PartRows
	}
	return 1
}

// doing is what a job does with which items.
func (j Job) doing() string {
	switch {
	case j.Suite != nil:
		return "scoring the pairs of " + j.Suite.Name
	case j.Labels != nil:
		return "labelling " + j.Source.File
	case j.Score:
		return "scoring " + j.Source.File
	}
	return "explaining " + j.Source.File
}

// ask asks about some items, and returns a line for each.
func (j Job) ask(ctx context.Context, m *lm.Model, items []Item) (rows []outcome, err error) {
	answers := make([]answer, len(items))
	switch {
	case j.Labels != nil:
		err = j.label(ctx, m, items, answers)
	case j.Suite != nil:
		err = j.scorePairs(ctx, m, items, answers)
	case j.Score:
		err = score(ctx, m, items, answers)
	default:
		for i, x := range items {
			if r, err := Explain(ctx, m, x); err != nil {
				answers[i].why = err.Error()
			} else if answers[i].line, err = r.encode(); err != nil {
				answers[i].why = err.Error()
			}
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for i, a := range answers {
		if err != nil {
			return nil, err
		}
		o := outcome{line: a.line, failed: a.why != "", broken: items[i].Wrong != "",
			reason: strings.ReplaceAll(a.why, "\n", "; ")}
		if o.failed {
			o.line, err = line(Failure{Line: items[i].Line, ID: items[i].ID, Error: o.reason})
		}
		rows = append(rows, o)
	}
	return rows, err
}

// answer is the line of an item, or why it has none.
type answer struct {
	line []byte
	why  string
}

// label asks for labels. Those of a prompt that ends in white space follow it as they are, and others after a space.
func (j Job) label(ctx context.Context, m *lm.Model, items []Item, answers []answer) error {
	for i, x := range items {
		answers[i].why = x.unasked(j.Labels)
	}
	for _, space := range []string{" ", ""} {
		var config grade.Config
		for _, l := range j.Labels {
			config.Labels = append(config.Labels, space+l)
		}
		var pairs []corpus.Pair
		var places []int
		for i, x := range items {
			if answers[i].why == "" && spaceAfter(x.Request.Prompt) == space {
				pairs = append(pairs, corpus.Pair{Prompt: x.Request.Prompt, Answer: space + x.Label, Line: x.Line})
				places = append(places, i)
			}
		}
		choices, err := grade.Choose(ctx, m, pairs, config)
		if err != nil {
			return err
		}
		for k, c := range choices {
			i := places[k]
			if c.Error != "" {
				answers[i].why = c.Error
			} else if answers[i].line, err = line(classified(items[i], j.Labels, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// score asks how likely texts are.
func score(ctx context.Context, m *lm.Model, items []Item, answers []answer) error {
	var passages []lm.Passage
	var places []int
	for i, x := range items {
		switch {
		case x.Wrong != "":
			answers[i].why = x.Wrong
		case x.Request.Prompt == "":
			answers[i].why = "has messages or ids; a score is that of a text"
		default:
			after, _ := x.Meta["after"].(string)
			delete(x.Meta, "after")
			passages, places = append(passages, lm.Passage{Text: x.Request.Prompt, After: after}), append(places, i)
		}
	}
	scores, _, err := m.Score(ctx, passages)
	if err != nil {
		return err
	}
	for k, s := range scores {
		x := items[places[k]]
		a := &answers[places[k]]
		if s.Error != "" {
			a.why = s.Error
		} else if a.line, err = line(Scored{x.Line, x.ID, x.Label, x.Meta, s}); err != nil {
			return err
		}
	}
	return nil
}
