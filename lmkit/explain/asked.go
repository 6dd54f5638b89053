package explain

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"lmkit.internal/lmkit/token"
)

// Asked is what an attribution or a matrix explains: the prediction of a token, of an answer of several, or of any
// token of a set. Its fields are those of the same names there.
type Asked struct {
	Target             Token
	Foil, Choice       *Token
	Answer, FoilAnswer []Token
	Any                bool
}

// Asked returns what is explained.
func (a *Attribution) Asked() Asked {
	return Asked{a.Target, a.Foil, a.Choice, a.Answer, a.FoilAnswer, a.Any}
}

// Asked returns what is explained.
func (m *Matrix) Asked() Asked {
	return Asked{m.Target, m.Foil, m.Choice, m.Answer, m.FoilAnswer, m.Any}
}

// Chosen reports whether the model's first choice is the target, the beginning of the answer, or one of the set; true
// where the first choice is not known.
func (a Asked) Chosen() bool {
	return a.Choice == nil || a.Choice.ID == a.Target.ID || a.Any && slices.Contains(a.Answer, *a.Choice)
}

// check returns what makes it impossible to read.
func (a Asked) check() error {
	if a.Target.ID < 0 {
		return fmt.Errorf("target.id is %d: expected 0 or more", a.Target.ID)
	}
	if a.Foil != nil && a.Foil.ID < 0 {
		return fmt.Errorf("foil.id is %d: expected 0 or more", a.Foil.ID)
	}
	for _, t := range slices.Concat(a.Answer, a.FoilAnswer) {
		if t.ID < 0 {
			return fmt.Errorf("answer or foil_answer holds the id %d: expected 0 or more", t.ID)
		}
	}
	return nil
}

// asked says what the problem explains.
func (p *Problem) asked() Asked {
	choice := p.token(p.choice)
	a := Asked{Target: p.token(p.Target[0]), Choice: &choice, Any: p.Question.Any}
	if p.Question.Objective == Contrast {
		foil := p.token(p.Foil[0])
		a.Foil = &foil
	}
	if a.Any || p.Question.TwoTexts() || len(p.Target) > 1 {
		a.Answer, a.FoilAnswer = p.continuation(p.Target), p.continuation(p.Foil)
	}
	return a
}

// continuation returns the tokens of an answer, each with what it adds to the text, or those of a set.
func (p *Problem) continuation(ids []token.ID) (out []Token) {
	tok := p.Model.Tokenizer()
	for k, id := range ids {
		t := p.token(id)
		if k > 0 && tok != nil && !p.Question.Any {
			before, err := tok.Decode(ids[:k])
			after, other := tok.Decode(ids[:k+1])
			text, ok := strings.CutPrefix(after, before)
			if ok && err == nil && other == nil && text != "" && utf8.ValidString(text) {
				t.Text = text
			}
		}
		out = append(out, t)
	}
	return out
}

func (p *Problem) token(id token.ID) Token { return Token{ID: int(id), Text: p.Model.TokenText(id)} }
