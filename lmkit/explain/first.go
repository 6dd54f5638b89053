package explain

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// SinkRatio is how many times larger the residual of the first position must be, for it to be held by default.
const SinkRatio = 10

// Why tokens are held.
const (
	HeldSink      = "sink"      // the first token is the model's attention sink
	HeldAsked     = "asked"     // the question asks for the first token to be held
	HeldTokenizer = "tokenizer" // the tokenizer puts them around every text
	HeldTemplate  = "template"  // the model's chat template wrote them
	HeldOutside   = "outside"   // the question is about a part of the text, and they are not of it
)

// hold sets apart what stays as it is: the tokens that nobody wrote, and the first one where it is held.
func (p *Problem) hold(ctx context.Context) error {
	held := &Held{}
	if slices.ContainsFunc(p.Tokens, func(t InputToken) bool { return t.Held }) {
		held.Why = HeldTokenizer
		if p.Question.Chat != nil {
			held.Why = HeldTemplate
		}
		if p.Question.Only != nil {
			held.Why = HeldOutside
		}
	}
	if err := p.first(ctx, held); err != nil {
		return err
	}
	for i, t := range p.Tokens {
		if t.Held {
			p.heldAt = append(p.heldAt, i)
		}
	}
	if p.heldAt != nil {
		held.Text = p.Tokens[p.heldAt[0]].Text
		p.held = held
	}
	return nil
}

// first takes the first token out of the features, where it is held.
func (p *Problem) first(ctx context.Context, held *Held) error {
	q, why := p.Question, HeldAsked
	if p.Tokens[0].Held || q.FirstToken == ScoreFirst || q.FirstToken == "" && q.Groups != nil {
		return nil
	}
	if q.FirstToken == "" {
		ratio, cost, err := p.Model.Sink(ctx, len(p.IDs))
		if err != nil {
			return err
		}
		p.cost.Add(cost)
		if ratio < SinkRatio {
			return nil
		}
		held.Sink, why = &ratio, HeldSink
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
		held.Sink = nil
		p.notes = append(p.notes, "the only feature holds the first token, which is the model's attention sink: give "+
			"a longer text")
		return nil
	}
	if held.Why == "" {
		held.Why = why
	}
	p.Features, p.Tokens[0].Held = rest, true
	return nil
}

// without returns a feature without the first token, named by the tokens that are left.
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
