package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Labelled is a piece of text with its label.
type Labelled struct {
	Piece string // what the label is about
	Label string
	Text  string // the text up to and with the piece: what the model reads
	Group int    // the number of the text that the piece is part of
}

// ReadLabelled reads lines of a piece and a label with a tab between. Where empty lines stand between them, the pieces
// up to one are one text, joined by spaces, and each label is about its piece: a word and its part of speech, say. Else
// each line is a text of its own.
func ReadLabelled(lines []string) ([]Labelled, error) {
	var all []Labelled
	trimmed := slices.Clone(lines)
	for len(trimmed) > 0 && strings.TrimSpace(trimmed[len(trimmed)-1]) == "" {
		trimmed = trimmed[:len(trimmed)-1]
	}
	joined := slices.ContainsFunc(trimmed, func(s string) bool { return strings.TrimSpace(s) == "" })
	group, before := 0, ""
	for i, line := range trimmed {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" {
			if before != "" {
				group, before = group+1, ""
			}
			continue
		}
		piece, label, ok := strings.Cut(line, "\t")
		label = strings.TrimSpace(label)
		if !ok || label == "" || strings.TrimSpace(piece) == "" || strings.Contains(label, "\t") {
			return nil, fmt.Errorf("line %d is no text and label with a tab between: %.60q", i+1, line)
		}
		x := Labelled{Piece: piece, Label: label, Text: piece, Group: group}
		if before != "" {
			x.Text = before + " " + piece
		}
		if before = x.Text; !joined {
			group, before = group+1, ""
		}
		all = append(all, x)
	}
	if len(all) == 0 {
		return nil, errors.New("there are no lines with a text and a label")
	}
	return all, nil
}

// labels lists the labels in the order in which they come first.
func labels(all []Labelled) (names []string) {
	for _, x := range all {
		if !slices.Contains(names, x.Label) {
			names = append(names, x.Label)
		}
	}
	return names
}

// encode returns the tokens of one text.
func encode(m *lm.Model, text string) ([]token.ID, error) {
	if err := m.CheckText(); err != nil {
		return nil, err
	}
	enc, err := m.Tokenizer().Encode(text)
	if err != nil {
		return nil, err
	}
	ids := enc.IDs
	if most := m.Config().Context; most > 0 && len(ids) > most {
		ids = ids[len(ids)-most:]
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("the text %.40q has no tokens", text)
	}
	return ids, nil
}

// Encode returns the tokens of texts, each cut from the front to what the model can read.
func Encode(m *lm.Model, texts []string) ([][]token.ID, error) {
	rows := make([][]token.ID, len(texts))
	for i, text := range texts {
		var err error
		if rows[i], err = encode(m, text); err != nil {
			return nil, fmt.Errorf("text %d: %w", i+1, err)
		}
	}
	return rows, nil
}

// positions returns the tokens of the text that some items are pieces of, and the last token of each piece.
func positions(m *lm.Model, items []Labelled) ([]token.ID, []int, error) {
	text := items[len(items)-1].Text
	if err := m.CheckText(); err != nil {
		return nil, nil, err
	}
	enc, err := m.Tokenizer().Encode(text)
	if err == nil {
		err = m.CheckRow(enc.IDs)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the text %.40q: %w", text, err)
	}
	var ends []int
	for _, x := range items {
		at := 0
		for i, s := range enc.Spans {
			if s.End > s.Start && s.Start < len(x.Text) {
				at = i
			}
		}
		ends = append(ends, at)
	}
	return enc.IDs, ends, nil
}
