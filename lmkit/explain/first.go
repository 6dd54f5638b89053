package explain

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// SinkRatio is how many times larger the residual of the first position must be, for it to be held by default.
const SinkRatio = 10

// first takes the first token out of the features, where it is held.
func (p *Problem) first(ctx context.Context) error {
	q := p.Question
	if q.FirstToken == ScoreFirst || q.FirstToken == "" && q.Groups != nil {
		return nil
	}
	held := &Held{Text: p.Tokens[0].Text}
	if q.FirstToken == "" {
		ratio, cost, err := p.Model.Sink(ctx)
		if err != nil {
			return err
		}
		p.cost.Add(cost)
		if ratio < SinkRatio {
			return nil
		}
		held.Sink = &ratio
	}
	var rest []Feature
	for _, f := range p.Features {
		if slices.Contains(f.Tokens, 0) {
			f = p.without(f)
		}
		if len(f.Tokens) > 0 {
			rest = append(rest, f)
		}
	}
	switch {
	case len(rest) > 0:
	case q.FirstToken == HoldFirst:
		return errors.New("the text has no token but the first: it cannot be held")
	default:
		p.notes = append(p.notes, "the only feature holds the first token, which is the model's attention sink: give "+
			"a longer text")
		return nil
	}
	p.Features, p.held = rest, held
	return nil
}

// without is a feature without the first token, named by the tokens that are left.
func (p *Problem) without(f Feature) Feature {
	var left Feature
	for _, at := range f.Tokens {
		if at > 0 {
			left.Tokens = append(left.Tokens, at)
			left.Text += p.Tokens[at].Text
		}
	}
	if len(left.Tokens) > 1 {
		left.Text = strings.TrimSpace(left.Text)
	}
	return left
}
