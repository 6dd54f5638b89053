package explain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lmkit.internal/lmkit/token"
)

// Func is any number that is computed from a text, one for each of several texts: what a classifier says, a rule,
// another program's model. Methods and metrics that play games explain it as they explain the models of this module.
type Func func(ctx context.Context, texts []string) ([]float64, error)

// Game makes a game of one text: the features are its words, cut as by token.Words and returned without the white space
// around them. In place of an absent word stands absent, after the white space that the word had before it; nothing at
// all stands there if absent is "".
func (f Func) Game(text, absent string) (g Game, words []string, err error) {
	if f == nil {
		return nil, nil, errors.New("there is no function to explain")
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil, errors.New("there are no words to explain a function by")
	}
	t := textGame{of: f, absent: absent}
	for _, s := range token.Words(text) {
		piece := text[s.Start:s.End]
		t.pieces = append(t.pieces, piece)
		words = append(words, strings.TrimSpace(piece))
	}
	return t, words, nil
}

type textGame struct {
	of     Func
	pieces []string
	absent string
}

func (t textGame) Features() int { return len(t.pieces) }

func (t textGame) Values(ctx context.Context, of []Coalition) ([]float64, error) {
	texts := make([]string, len(of))
	for i, c := range of {
		var b strings.Builder
		for k, piece := range t.pieces {
			switch {
			case c[k]:
				b.WriteString(piece)
			case t.absent != "":
				word := strings.TrimSpace(piece)
				before, after, _ := strings.Cut(piece, word)
				b.WriteString(before + t.absent + after)
			}
		}
		texts[i] = b.String()
	}
	values, err := t.of(ctx, texts)
	if err == nil && len(values) != len(texts) {
		err = fmt.Errorf("the function gave %d numbers for %d texts", len(values), len(texts))
	}
	return values, err
}
