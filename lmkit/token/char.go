package token

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Char is a tokenizer with one token for each character (Unicode code point). Decode(Encode(x)) is x, except for the
// characters that became the unknown token.
type Char struct {
	vocabulary
	runes   map[rune]ID
	unknown ID // -1: none
}

// NewChar makes a tokenizer of the distinct characters of text, numbered by code point. A character outside them is
// an error in Encode; WithUnknown changes that.
func NewChar(text string) (*Char, error) {
	if text == "" {
		return nil, errors.New("char tokenizer: the text is empty: give the training text, whose characters become " +
			"the vocabulary")
	}
	if err := checkUTF8(text); err != nil {
		return nil, fmt.Errorf("char tokenizer: %w", err)
	}
	seen := map[rune]bool{}
	for _, r := range text {
		seen[r] = true
	}
	tokens := make([]string, 0, len(seen))
	for _, r := range slices.Sorted(maps.Keys(seen)) {
		tokens = append(tokens, string(r))
	}
	return newChar(tokens, -1)
}

// WithUnknown returns a copy of c with one more token, numbered last, that stands for every character outside the
// vocabulary. Its name is how it decodes ("<unk>", "\uFFFD"); it must not be in the vocabulary yet.
func (c *Char) WithUnknown(name string) (*Char, error) {
	if c.unknown >= 0 {
		return nil, fmt.Errorf("char tokenizer: there is an unknown token already, %q", c.Token(c.unknown))
	}
	if name == "" {
		return nil, errors.New("char tokenizer: the unknown token needs a name, such as \"<unk>\"")
	}
	if err := checkUTF8(name); err != nil {
		return nil, fmt.Errorf("char tokenizer: name of the unknown token: %w", err)
	}
	return newChar(append(slices.Clone(c.tokens), name), ID(len(c.tokens)))
}

func newChar(tokens []string, unknown ID) (*Char, error) {
	v, err := newVocabulary(tokens)
	if err != nil {
		return nil, fmt.Errorf("char tokenizer: %w", err)
	}
	c := &Char{vocabulary: v, runes: map[rune]ID{}, unknown: unknown}
	for i, t := range tokens {
		if rs := []rune(t); len(rs) == 1 {
			c.runes[rs[0]] = ID(i)
		}
	}
	return c, nil
}

// Encode returns one token for each character of text. It fails on invalid UTF-8, and on a character outside the
// vocabulary when there is no unknown token.
func (c *Char) Encode(text string) (Encoding, error) {
	if err := checkUTF8(text); err != nil {
		return Encoding{}, fmt.Errorf("encode: %w", err)
	}
	e := Encoding{Text: text, IDs: make([]ID, 0, len(text)), Spans: make([]Span, 0, len(text))}
	for i, r := range text {
		id, ok := c.runes[r]
		if !ok {
			if c.unknown < 0 {
				return Encoding{}, fmt.Errorf("encode: character %q (%U) at byte %d is not among the %d of the vocabulary: "+
					"remove it, or train with a text that has it, or with an unknown token", r, r, i, c.Size())
			}
			id = c.unknown
		}
		e.IDs = append(e.IDs, id)
		e.Spans = append(e.Spans, Span{i, i + len(string(r))})
	}
	return e, nil
}

// Decode returns the characters with these IDs as one text.
func (c *Char) Decode(ids []ID) (string, error) { return c.join(ids, "") }

// Unknown returns the ID of the unknown token, if there is one.
func (c *Char) Unknown() (ID, bool) { return max(c.unknown, 0), c.unknown >= 0 }
