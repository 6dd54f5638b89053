package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// usual is the objective of a question that does not name one.
func (q Question) usual() string {
	switch {
	case q.Foil != nil:
		return Contrast
	case q.Any:
		return Prob
	case len(q.Target) > 1:
		return LogProb
	}
	return Contrast
}

// TwoTexts reports whether the question contrasts two answers of which one, or both, are several tokens. Each goes on
// from the input in a row of its own.
func (q Question) TwoTexts() bool {
	return q.Foil != nil && !q.Any && (len(q.Target) > 1 || len(q.Foil) > 1)
}

// checkAnswers returns what is wrong with target and foil.
func (q Question) checkAnswers(m *lm.Model) (errs []error) {
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if q.Foil != nil && q.Objective != Contrast {
		say("a foil belongs to the objective contrast, not to %s", q.Objective)
	}
	if q.Target != nil && slices.Equal(q.Target, q.Foil) {
		what := "token"
		if len(q.Target) > 1 {
			what = "answer"
		}
		say("target and foil are the same %s", what)
	}
	for _, x := range []struct {
		what string
		ids  []token.ID
	}{{"target", q.Target}, {"foil", q.Foil}} {
		if x.ids != nil && len(x.ids) == 0 {
			say("the %s is empty: it has no token", x.what)
		}
		for _, id := range x.ids {
			if id < 0 || int(id) >= m.Config().Vocab {
				say("token #%d is outside the vocabulary of %d", id, m.Config().Vocab)
			}
		}
	}
	switch several := len(q.Target) > 1; {
	case q.Any:
		errs = append(errs, q.checkSets()...)
	case several && q.Objective == Prob:
		say("the objective prob is about one token, and the target is %d: choose logprob", len(q.Target))
	case several && q.Objective == Contrast && q.Foil == nil:
		say("the target is %d tokens, and there is no foil to contrast it with: give one, or choose the objective logprob "+
			"or logit", len(q.Target))
	}
	return errs
}

// checkSets returns what is wrong with target and foil where they are sets.
func (q Question) checkSets() (errs []error) {
	switch {
	case q.Target == nil:
		errs = append(errs, errors.New("a set of targets is asked for, and there is none"))
	case q.Objective != Prob && q.Objective != Contrast:
		errs = append(errs, fmt.Errorf("the probabilities of a set of targets are added up: choose the objective prob or "+
			"contrast, not %s", q.Objective))
	case q.Objective == Contrast && q.Foil == nil:
		errs = append(errs, errors.New("a set of targets is contrasted with a set of foils, and there is none"))
	}
	seen := map[token.ID]bool{}
	for _, id := range slices.Concat(q.Target, q.Foil) {
		if seen[id] {
			errs = append(errs, fmt.Errorf("token #%d is named twice among targets and foils", id))
		}
		seen[id] = true
	}
	return errs
}

// measure is that of the question's objective. Logits after different beginnings have nothing in common, so that a
// contrast of two answers is one of log-probabilities; of two single tokens both are the same.
func (q Question) measure() measure {
	switch {
	case q.Any:
		return measures[Prob]
	case q.TwoTexts():
		return measures[LogProb]
	}
	return measures[q.Objective]
}

// objective returns the number that is explained, in the rows of the target.
func (p *Problem) objective(target, foil []token.ID) lm.Objective {
	m := p.Question.measure()
	of := lm.Objective{Unit: m.of, Terms: p.terms(target, m.weight)}
	if p.Question.Objective == Contrast && p.rather == nil {
		of.Terms = append(of.Terms, p.terms(foil, -m.weight)...)
	}
	return of
}

// terms are those of an answer that begins behind the input, or those of a set. Positions count from the end of a row,
// since a row may have less of the input.
func (p *Problem) terms(ids []token.ID, weight float64) (terms []lm.Term) {
	first := p.Input - len(p.IDs) - 1
	for k, id := range ids {
		at := first + k
		if p.Question.Any {
			at = first
		}
		terms = append(terms, lm.Term{Pos: at, ID: id, Weight: weight})
	}
	return terms
}

func orZero(ids []token.ID) []token.ID {
	if ids == nil {
		return []token.ID{0}
	}
	return ids
}

// rather is what the rows of a foil are that is an answer of its own.
type rather struct {
	after     []token.ID // what stands after the input, in place of what stands there in the target's rows
	objective lm.Objective
}

// appendAnswer puts the answer's tokens, but for its last, behind the input: they stay, and are no features. Where
// target and foil have a row each, the shorter one is filled up behind its end, where nothing that is asked about
// looks.
func (p *Problem) appendAnswer() error {
	q := p.Question
	if q.Any || len(q.Target) < 2 && !q.TwoTexts() {
		return nil
	}
	after, other := read(q.Target), read(q.Foil)
	for q.TwoTexts() && len(after) < len(other) {
		after = append(after, p.IDs[0])
	}
	for len(other) < len(after) {
		other = append(other, p.IDs[0])
	}
	p.IDs = slices.Concat(p.IDs, after)
	if q.TwoTexts() {
		p.rather = &rather{other, lm.Objective{Unit: q.measure().of, Terms: p.terms(q.Foil, -1)}}
	}
	if n := p.Model.Config().Context; n > 0 && len(p.IDs) > n {
		return fmt.Errorf("the input has %d tokens and the answer %d, which are more than the %d that the model can read: "+
			"shorten the input by %d tokens, or the answer", p.Input, len(after)+1, n, len(p.IDs)-n)
	}
	for _, id := range after {
		t := InputToken{ID: int(id), Text: p.Model.TokenText(id)}
		if q.Chat != nil {
			t.Role = chat.Assistant
		}
		p.Tokens = append(p.Tokens, t)
	}
	return nil
}

// read returns what of an answer the model reads before it predicts the last token.
func read(answer []token.ID) []token.ID { return slices.Clone(answer[:max(0, len(answer)-1)]) }

// Places returns the positions after which the target's tokens are predicted: the last one of the input, and those of
// the answer but for its last.
func (p *Problem) Places() []int {
	at := []int{p.Input - 1}
	for k := 1; k < len(p.Target) && !p.Question.Any; k++ {
		at = append(at, p.Input-1+k)
	}
	return at
}

// begins reports whether a token begins the target, or is one of a set.
func (p *Problem) begins(id token.ID) bool {
	return id == p.Target[0] || p.Question.Any && slices.Contains(p.Target, id)
}

// Evaluate asks the model for the problem's objective, under the edits of a query, whose rows are the input or parts of
// it, and end with the answer. A contrast of two answers runs every row twice, once with each answer: values, gradients
// and constants are sums over the two, and activations are those of the target's.
func (p *Problem) Evaluate(ctx context.Context, q lm.Query) (*lm.Answer, error) {
	n := len(q.Rows)
	q.Of = []lm.Objective{p.Objective}
	if p.rather == nil {
		return p.Run(ctx, q)
	}
	q.Of = nil
	q.States = slices.Concat(q.States, q.States)
	q.Edits = slices.Clone(q.Edits)
	for i, e := range q.Edits {
		for _, row := range e.Rows {
			q.Edits[i].Rows = append(slices.Clip(q.Edits[i].Rows), row+n)
		}
	}
	q.Rows = slices.Clone(q.Rows)
	for _, row := range q.Rows[:n] {
		before := row[:len(row)-len(p.rather.after)]
		q.Rows = append(q.Rows, slices.Concat(before, p.rather.after))
		q.Of = append(q.Of, p.Objective)
	}
	for range n {
		q.Of = append(q.Of, p.rather.objective)
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	return together(a, n), nil
}

// together adds up what was asked of n rows of the target and as many of the foil.
func together(a *lm.Answer, n int) *lm.Answer {
	out := *a
	out.Values = sum(a.Values, n)
	if a.Constants != nil {
		out.Constants = sum(a.Constants, n)
	}
	for tap, x := range a.Grad {
		half := len(x.Data) / 2
		for i, v := range x.Data[half:] {
			x.Data[i] += v
		}
		out.Grad[tap] = lm.Array{Dims: append([]int{n}, x.Dims[1:]...), Data: x.Data[:half]}
	}
	for tap, x := range a.At {
		out.At[tap] = lm.Array{Dims: append([]int{n}, x.Dims[1:]...), Data: x.Data[:len(x.Data)/2]}
	}
	return &out
}

func sum(xs []float64, n int) []float64 {
	for i := range n {
		xs[i] += xs[n+i]
	}
	return xs[:n]
}
