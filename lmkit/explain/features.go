package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

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
	enc, err := p.read()
	if err != nil {
		return err
	}
	p.IDs, p.Input, p.text = enc.IDs, len(enc.IDs), enc.Text
	if err := p.fits(); err != nil {
		return err
	}
	tok := p.Model.Tokenizer()
	unknown, known := token.ID(0), false
	if tok != nil {
		unknown, known = tok.Unknown()
	}
	for i, id := range p.IDs {
		t := InputToken{ID: int(id), Text: p.Model.TokenText(id), Held: enc.Held != nil && enc.Held[i]}
		t.Unknown = enc.Spans != nil && known && id == unknown && strings.TrimSpace(enc.Piece(i)) != t.Text
		if enc.Spans != nil {
			t.Start, t.End = enc.Spans[i].Start, enc.Spans[i].End
			if _, same := tok.(*token.Word); same { // normalised: show the text as it was written
				t.Text = strings.TrimSpace(enc.Piece(i))
			}
		}
		if p.Question.Chat != nil {
			t.Role = p.Question.Chat.Role(i)
		}
		p.Tokens = append(p.Tokens, t)
	}
	if err := p.group(enc); err != nil {
		return err
	}
	p.restrict(enc)
	if len(p.Features) == 0 {
		return errors.New("there is nothing to score: nobody wrote any of the tokens, or none that is asked about")
	}
	return nil
}

// fits says what is wrong with the tokens for the model, and of a text that is too long how much of it would fit.
func (p *Problem) fits() error {
	n, most := len(p.IDs), p.Model.Config().Context
	if most == 0 || n <= most || p.text == "" {
		return p.Model.CheckRow(p.IDs)
	}
	return fmt.Errorf("%d tokens are more than the %d that the model can read: shorten the text by %d of them, "+
		"about %d of its %d characters", n, most, n-most, (n-most)*utf8.RuneCountInString(p.text)/n+1,
		utf8.RuneCountInString(p.text))
}

// read finds the tokens of the question, with what is known of the text that they are.
func (p *Problem) read() (enc token.Encoding, err error) {
	q := p.Question
	switch {
	case q.Chat != nil:
		enc = q.Chat.Encoding
	case q.IDs != nil:
		return token.Encoding{IDs: q.IDs}, nil
	case q.Prompt == "":
		return enc, errors.New("there is no prompt")
	case p.Model.Tokenizer() == nil:
		return enc, errors.New("this model has no tokenizer: give the prompt as token IDs")
	default:
		if enc, err = p.Model.Tokenizer().Encode(q.Prompt); err != nil {
			return enc, err
		}
	}
	if enc.Held != nil && q.FirstToken == ScoreFirst {
		enc.Held = slices.Clone(enc.Held)
		enc.Held[0] = false
	}
	return enc, nil
}

// group makes the features.
func (p *Problem) group(enc token.Encoding) error {
	if p.Question.Groups != nil {
		return p.groupAsGiven()
	}
	if p.Question.By == ByToken {
		for i, t := range p.Tokens {
			if !t.Held {
				p.Features = append(p.Features, Feature{Text: t.Text, Tokens: []int{i}})
			}
		}
		return nil
	}
	if enc.Spans == nil {
		return fmt.Errorf("token IDs have no text to be grouped by %s: give a prompt, or group by token", p.Question.By)
	}
	for _, tokens := range enc.Group(p.parts()) {
		if len(tokens) > 0 {
			p.Features = append(p.Features, Feature{Text: enc.Cover(tokens), Tokens: tokens})
		}
	}
	p.noteUndivided()
	return nil
}

// restrict holds all tokens that lie outside of what the question is about.
func (p *Problem) restrict(enc token.Encoding) {
	if p.Question.Only == nil {
		return
	}
	outside := func(i int) bool {
		t := p.Tokens[i]
		within := func(s token.Span) bool { return t.Start < s.End && s.Start < t.End }
		return !slices.ContainsFunc(p.Question.Only, within)
	}
	var features []Feature
	for _, f := range p.Features {
		inside := slices.DeleteFunc(slices.Clone(f.Tokens), outside)
		switch {
		case len(inside) == len(f.Tokens):
			features = append(features, f)
		case len(inside) > 0:
			features = append(features, Feature{Text: enc.Cover(inside), Tokens: inside})
		}
	}
	p.Features = features
	for i := range p.Tokens {
		p.Tokens[i].Held = p.Tokens[i].Held || outside(i)
	}
}

// noteUndivided says that parts of a text are less than words, or more than sentences, where nothing in it tells words
// apart, or marks where a sentence ends.
func (p *Problem) noteUndivided() {
	scripts := token.Undivided(p.text)
	if len(scripts) == 0 || p.Question.By == ByMessage {
		return
	}
	name := strings.Join(scripts, " and ")
	if p.Question.By == ByWord {
		p.notes = append(p.notes, name+" has no space between words, and lmkit has no dictionary of it: the parts are what "+
			"is written as one, which is less than a word, or what is one token")
	} else if len(p.Features) == 1 {
		p.notes = append(p.notes, "nothing marks the end of a sentence here ("+name+"), so that all is one: group by "+
			"word or token")
	}
}

// parts cuts the text into words, sentences or messages. In a conversation none goes from one message into another.
func (p *Problem) parts() []token.Span {
	cut := token.Words
	switch p.Question.By {
	case BySentence:
		cut = token.Sentences
	case ByMessage:
		cut = func(text string) []token.Span { return []token.Span{{End: len(text)}} }
	}
	if p.Question.Chat == nil || p.Question.Chat.Parts == nil {
		return cut(p.text)
	}
	var parts []token.Span
	end := 0
	for _, said := range p.Question.Chat.Parts {
		if start := said.Span.Start; start > end {
			if len(parts) == 0 {
				parts = append(parts, token.Span{Start: 0})
			}
			parts[len(parts)-1].End = start // what the template wrote; a token that it shares belongs to the message
		}
		for _, s := range cut(p.text[said.Span.Start:said.Span.End]) {
			parts = append(parts, token.Span{Start: said.Span.Start + s.Start, End: said.Span.Start + s.End})
		}
		end = said.Span.End
	}
	if len(parts) > 0 {
		parts[len(parts)-1].End = len(p.text)
	}
	return parts
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
			p.Tokens[i].Held = false // it was asked for, whoever wrote it
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
