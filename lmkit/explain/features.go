package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Encode finds the tokens of a question and the features that they are grouped into, without asking the model for a
// prediction.
func Encode(m *lm.Model, q Question) ([]InputToken, []Feature, error) {
	if err := q.defaults(m); err != nil {
		return nil, nil, err
	}
	p := &Problem{Question: q, Model: m}
	err := p.encode()
	return p.Tokens, p.Features, err
}

// encode turns the prompt into tokens, and the tokens into features.
func (p *Problem) encode() error {
	enc := token.Encoding{IDs: p.Question.IDs}
	tok := p.Model.Tokenizer()
	if p.Question.IDs == nil {
		if p.Question.Prompt == "" {
			return errors.New("there is no prompt")
		}
		if tok == nil {
			return errors.New("this model has no tokenizer: give the prompt as token IDs")
		}
		var err error
		if enc, err = tok.Encode(p.Question.Prompt); err != nil {
			return err
		}
	}
	p.IDs = enc.IDs
	if err := p.Model.CheckRow(p.IDs); err != nil {
		return err
	}
	unknown, known := token.ID(0), false
	if tok != nil {
		unknown, known = tok.Unknown()
	}
	for i, id := range p.IDs {
		t := InputToken{ID: int(id), Text: p.Model.TokenText(id)}
		t.Unknown = enc.Spans != nil && known && id == unknown && strings.TrimSpace(enc.Piece(i)) != t.Text
		if enc.Spans != nil {
			t.Start, t.End = enc.Spans[i].Start, enc.Spans[i].End
			if _, same := tok.(*token.Word); same { // normalised: show the text as it was written
				t.Text = strings.TrimSpace(enc.Piece(i))
			}
		}
		p.Tokens = append(p.Tokens, t)
	}
	return p.group(enc)
}

// group makes the features.
func (p *Problem) group(enc token.Encoding) error {
	if p.Question.Groups != nil {
		return p.groupAsGiven()
	}
	if p.Question.By == ByToken {
		for i, t := range p.Tokens {
			if enc.Held == nil || !enc.Held[i] {
				p.Features = append(p.Features, Feature{Text: t.Text, Tokens: []int{i}})
			}
		}
		return nil
	}
	if enc.Spans == nil {
		return fmt.Errorf("token IDs have no text to be grouped by %s: give a prompt, or group by token", p.Question.By)
	}
	parts := token.Words(p.Question.Prompt)
	if p.Question.By == BySentence {
		parts = token.Sentences(p.Question.Prompt)
	}
	for _, tokens := range enc.Group(parts) {
		if len(tokens) > 0 {
			p.Features = append(p.Features, Feature{Text: enc.Cover(tokens), Tokens: tokens})
		}
	}
	return nil
}

func (p *Problem) groupAsGiven() error {
	used := map[int]bool{}
	for _, g := range p.Question.Groups {
		g = slices.Sorted(slices.Values(g))
		var text []string
		for _, i := range g {
			if i < 0 || i >= len(p.Tokens) {
				return fmt.Errorf("a group holds position %d, but there are %d tokens", i, len(p.Tokens))
			}
			if used[i] {
				return fmt.Errorf("position %d is in two groups", i)
			}
			used[i] = true
			text = append(text, strings.TrimSpace(p.Tokens[i].Text))
		}
		if len(g) == 0 {
			return errors.New("a group is empty")
		}
		p.Features = append(p.Features, Feature{Text: strings.Join(text, " "), Tokens: g})
	}
	if len(p.Features) == 0 {
		return errors.New("there are no groups")
	}
	return nil
}
