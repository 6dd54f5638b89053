package faithful

import (
	"context"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Followed is what a model makes of a fact.
type Followed struct {
	Fact facts.Fact
	Case Case   // if Why is ""
	Why  string // the fact is no case; "": the model follows it
	Lost Lost   // with Why: at which step
	// Margin is the logit of the answer minus the logit of the other one after the text, and Changed the same after the
	// changed text. A model that follows has the first above 0, and the second below.
	Margin, Changed float64
	First           bool // the answer is the model's first choice of all tokens
}

// Lost is the step at which a fact is left out.
type Lost int

// The steps, in order.
const (
	Kept    Lost = iota
	Unspelt      // the model's vocabulary cannot spell it, or its tokens are not as they must be
	Wrong        // the model prefers the other answer
	Unmoved      // the model's answer does not change with the word
)

// Follow asks a model for each fact whether it gives the right answer rather than the other one, and the other one
// when the word that decides is replaced. It costs two rows forward a fact, and what [lm.Model.Sink] does.
func Follow(ctx context.Context, m *lm.Model, all []facts.Fact) ([]Followed, error) {
	if m.Tokenizer() == nil {
		return nil, errors.New("facts are texts: they need a model with a tokenizer")
	}
	sink, _, err := m.Sink(ctx, 0)
	if err != nil {
		return nil, err
	}
	out := make([]Followed, len(all))
	var q lm.Query
	var whose []int
	for i, f := range all {
		out[i].Fact = f
		rows, err := out[i].read(m, sink >= explain.SinkRatio)
		if err != nil {
			out[i].Lost, out[i].Why = Unspelt, err.Error()
			continue
		}
		whose = append(whose, i)
		for _, row := range rows {
			q.Rows = append(q.Rows, row)
			c := out[i].Case.Question
			q.Of = append(q.Of, lm.Objective{Unit: lm.Logit, Terms: []lm.Term{
				{Pos: -1, ID: c.Target[0], Weight: 1}, {Pos: -1, ID: c.Foil[0], Weight: -1}}})
		}
	}
	if whose == nil {
		return out, nil
	}
	q.Logits = lm.LastLogits
	a, err := m.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	for k, i := range whose {
		out[i].judge(m, a.Values[2*k], a.Values[2*k+1])
		out[i].First = explain.Best(a.Logits[2*k].Data) == out[i].Case.Question.Target[0]
	}
	return out, nil
}

// read makes a fact a case, and returns the tokens of its text and of the changed text.
func (f *Followed) read(m *lm.Model, held bool) (rows [2][]token.ID, err error) {
	tok, text := m.Tokenizer(), f.Fact.Text()
	target, foil, err := answers(tok, text, f.Fact.Answer, f.Fact.Other)
	if err != nil {
		return rows, err
	}
	for i, t := range []string{text, f.Fact.Changed()} {
		enc, err := tok.Encode(t)
		if err != nil {
			return rows, err
		}
		word := token.Span{Start: len(f.Fact.Before), End: len(t) - len(f.Fact.After)}
		at := overlapping(enc, word)
		if unknown, ok := tok.Unknown(); ok {
			for _, k := range at {
				if enc.IDs[k] == unknown {
					return rows, fmt.Errorf("the word %q is not in the model's vocabulary", t[word.Start:word.End])
				}
			}
		}
		if err := m.CheckRow(enc.IDs); err != nil {
			return rows, err
		}
		if i == 0 {
			f.Case.Cause = at
		}
		rows[i] = enc.IDs
	}
	switch at := f.Case.Cause; {
	case len(at) == 0:
		return rows, fmt.Errorf("the word %q has no token of its own", f.Fact.Word)
	case held && at[len(at)-1] == 0:
		return rows, fmt.Errorf("the word %q is the first token, which is the model's attention sink and held", f.Fact.Word)
	}
	f.Case.Followed = true
	f.Case.Question = explain.Question{Prompt: text, Target: []token.ID{target}, Foil: []token.ID{foil},
		Objective: explain.Contrast,
		By:        explain.ByWord}
	return rows, nil
}

// overlapping returns the tokens that hold more of a part of a text than white space.
func overlapping(enc token.Encoding, part token.Span) (at []int) {
	for i, s := range enc.Spans {
		if enc.Held != nil && enc.Held[i] {
			continue
		}
		for ; s.Start < s.End && enc.Text[s.Start] == ' '; s.Start++ {
		}
		if s.Start < part.End && part.Start < s.End {
			at = append(at, i)
		}
	}
	return at
}

// judge says whether the model follows.
func (f *Followed) judge(m *lm.Model, margin, changed float64) {
	f.Margin, f.Changed = margin, changed
	answer, other := m.TokenText(f.Case.Question.Target[0]), m.TokenText(f.Case.Question.Foil[0])
	switch {
	case !(margin > 0):
		f.Lost, f.Why = Wrong, fmt.Sprintf("the model prefers %q to %q", other, answer)
	case !(changed < 0):
		f.Lost, f.Why = Unmoved, fmt.Sprintf("with %q in place of %q the model still prefers %q to %q", f.Fact.Instead,
			f.Fact.Word, answer, other)
	}
}
