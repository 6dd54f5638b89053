package token

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// vocabulary numbers distinct tokens. Their texts are raw bytes, not necessarily UTF-8.
type vocabulary struct {
	tokens []string
	ids    map[string]ID
}

func newVocabulary(tokens []string) (vocabulary, error) {
	v := vocabulary{tokens: tokens, ids: make(map[string]ID, len(tokens))}
	if len(tokens) > math.MaxInt32 {
		return v, fmt.Errorf("a vocabulary of %d tokens is too large: IDs have 32 bits", len(tokens))
	}
	for i, t := range tokens {
		if before, dup := v.ids[t]; dup {
			return v, fmt.Errorf("token %q has two IDs, %d and %d: a vocabulary lists each token once", t, before, i)
		}
		v.ids[t] = ID(i)
	}
	return v, nil
}

// Size is the number of tokens in the vocabulary.
func (v *vocabulary) Size() int { return len(v.tokens) }

// Token returns the token with this ID, or "" for an ID outside the vocabulary.
func (v *vocabulary) Token(id ID) string {
	if id < 0 || int(id) >= len(v.tokens) {
		return ""
	}
	return v.tokens[id]
}

// Lookup returns the ID of a token by its text, as Token shows it.
func (v *vocabulary) Lookup(text string) (ID, bool) {
	id, ok := v.ids[text]
	return id, ok
}

// join returns the texts of the tokens with sep between them.
func (v *vocabulary) join(ids []ID, sep string) (string, error) {
	size := 0
	for i, id := range ids {
		if id < 0 || int(id) >= len(v.tokens) {
			return "", fmt.Errorf("decode: ID %d at position %d is outside the vocabulary: IDs run from 0 to %d", id, i,
				len(v.tokens)-1)
		}
		size += len(v.tokens[id]) + len(sep)
	}
	out := make([]byte, 0, size)
	for i, id := range ids {
		if i > 0 {
			out = append(out, sep...)
		}
		out = append(out, v.tokens[id]...)
	}
	return string(out), nil
}

// checkUTF8 names the first byte of text that is not part of a UTF-8 character.
func checkUTF8(text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
			return fmt.Errorf("byte 0x%02X at offset %d is not UTF-8: convert the text to UTF-8 first", text[i], i)
		}
	}
	return nil
}
