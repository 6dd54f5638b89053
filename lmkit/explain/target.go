package explain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// FindToken finds the token of the model's vocabulary that text names. It is the token that the tokenizer reads when
// text goes on from the prompt, after a space if that makes one token and the prompt ends in none; or else a token
// whose text this is; or else "#ID", if the vocabulary has no such word. The prompt is "" where it is not known.
func FindToken(m *lm.Model, prompt, text string) (token.ID, error) {
	id, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
	number := err == nil && strings.HasPrefix(text, "#")
	tok := m.Tokenizer()
	if tok == nil && !number {
		return 0, fmt.Errorf("this model has no tokenizer: name the token by its number, as #%d", 7)
	}
	if tok != nil && text != "" {
		ids, err := findText(tok, prompt, text)
		switch {
		case len(ids) == 1:
			return ids[0], nil
		case err == nil && !number:
			return 0, fmt.Errorf("%q is %d tokens after this prompt, and a target is one: %s", text, len(ids),
				listedTokens(tok, ids))
		case err != nil && !number && !errors.Is(err, errNoToken):
			return 0, err
		}
	}
	switch {
	case number && (id < 0 || id >= m.Config().Vocab):
		return 0, fmt.Errorf("token #%d is outside the vocabulary of %d", id, m.Config().Vocab)
	case number:
		return token.ID(id), nil
	}
	return 0, fmt.Errorf("the token %q is not in the model's vocabulary; name it by its number, as #7", text)
}

// FindText finds the tokens that text is where it goes on from the prompt: one, if FindToken finds one, or several,
// after a space as there. "#7 #8" are tokens by their numbers.
func FindText(m *lm.Model, prompt, text string) ([]token.ID, error) {
	names := strings.Fields(text)
	words := slices.ContainsFunc(names, func(name string) bool {
		_, err := strconv.Atoi(strings.TrimPrefix(name, "#"))
		return err != nil || !strings.HasPrefix(name, "#")
	})
	if words || len(names) == 0 {
		if tok := m.Tokenizer(); tok != nil {
			ids, err := findText(tok, prompt, text)
			if !errors.Is(err, errNoToken) {
				return ids, err
			}
		}
		names = []string{text}
	}
	var ids []token.ID
	for _, name := range names {
		id, err := FindToken(m, prompt, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// errNoToken says that no token has a text.
var errNoToken = errors.New("there is no such token")

// findText finds the token that has a text, or the tokens that make it up. The error is errNoToken, or says which of
// the words the vocabulary does not have.
func findText(tok token.Tokenizer, prompt, text string) ([]token.ID, error) {
	spellings := []string{text}
	last, _ := utf8.DecodeLastRuneInString(prompt)
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case unicode.IsSpace(first):
	case prompt == "" || unicode.IsSpace(last):
		spellings = append(spellings, " "+text)
	default:
		spellings = []string{" " + text, text}
	}
	for _, s := range spellings {
		if ids := following(tok, prompt, s); len(ids) == 1 {
			return ids, nil
		}
		if id, ok := tok.Lookup(s); ok {
			return []token.ID{id}, nil
		}
	}
	var unknown error
	for _, s := range spellings {
		ids := following(tok, prompt, s)
		if prompt == "" {
			if alone, err := token.EncodeWith(tok, s, token.Options{Bare: true}); err == nil {
				ids = alone.IDs
			}
		}
		switch {
		case len(ids) < 2:
		case slices.ContainsFunc(ids, func(id token.ID) bool { return isUnknown(tok, id, text) }):
			unknown = fmt.Errorf("the model does not know all of %q: it would read %s; leave out the words that its "+
				"vocabulary does not have", text, listedTokens(tok, ids))
		default:
			return ids, nil
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	return nil, errNoToken
}

// listedTokens names tokens by their texts and numbers.
func listedTokens(tok token.Tokenizer, ids []token.ID) string {
	var parts []string
	for _, id := range ids[:min(len(ids), mostNamed)] {
		parts = append(parts, fmt.Sprintf("%q #%d", tok.Token(id), id))
	}
	return listed(parts, len(ids))
}

// following returns the tokens that text adds to the prompt's, if the prompt's stay as they are. It returns none for
// a text that the tokenizer does not know.
func following(tok token.Tokenizer, prompt, text string) []token.ID {
	bare := token.Options{Bare: true}
	before, err := token.EncodeWith(tok, prompt, bare)
	if prompt == "" || err != nil {
		return nil
	}
	whole, err := token.EncodeWith(tok, prompt+text, bare)
	n := len(before.IDs)
	if err != nil || len(whole.IDs) <= n || !slices.Equal(whole.IDs[:n], before.IDs) {
		return nil
	}
	if isUnknown(tok, whole.IDs[n], strings.TrimSpace(text)) {
		return nil
	}
	return whole.IDs[n:]
}

// isUnknown reports whether a token stands for a text that the vocabulary does not have.
func isUnknown(tok token.Tokenizer, id token.ID, text string) bool {
	unknown, ok := tok.Unknown()
	return ok && id == unknown && tok.Token(id) != text
}
