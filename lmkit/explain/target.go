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
		id, err := findText(tok, prompt, text)
		if err == nil || !number && !errors.Is(err, errNoToken) {
			return id, err
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

// errNoToken says that no token has a text.
var errNoToken = errors.New("there is no such token")

// findText finds a token by its text. The error is errNoToken, or says that the text is several tokens.
func findText(tok token.Tokenizer, prompt, text string) (token.ID, error) {
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
			return ids[0], nil
		}
		if id, ok := tok.Lookup(s); ok {
			return id, nil
		}
	}
	for _, s := range spellings {
		ids := following(tok, prompt, s)
		if prompt == "" {
			if alone, err := token.EncodeWith(tok, s, token.Options{Bare: true}); err == nil {
				ids = alone.IDs
			}
		}
		if len(ids) < 2 || slices.ContainsFunc(ids, func(id token.ID) bool { return isUnknown(tok, id, text) }) {
			continue
		}
		var parts []string
		for _, id := range ids[:min(len(ids), mostNamed)] {
			parts = append(parts, fmt.Sprintf("%q #%d", tok.Token(id), id))
		}
		return 0, fmt.Errorf("%q is %d tokens after this prompt, and a target is one: %s",
			text, len(ids), listed(parts, len(ids)))
	}
	return 0, errNoToken
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
