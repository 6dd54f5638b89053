package token

import (
	"slices"
	"strings"
	"unicode"
)

// ID numbers a token of a vocabulary: 0 <= ID < Size.
type ID int32

// Span is the half-open byte range [Start, End) of the text that a token covers.
type Span struct{ Start, End int }

// Encoding is a text as tokens. The spans tile the text: the first starts at 0, each starts where the one before
// ended, the last ends at len(Text). A span may be empty where several tokens share the bytes of one character, and is
// empty for tokens that the vocabulary puts there without a text.
// A text that yields no token at all (an empty one; for Word, also one of white space) has no spans.
type Encoding struct {
	Text  string
	IDs   []ID
	Spans []Span
	Held  []bool // the tokens that nobody wrote, such as the one that begins every text; nil: there are none
}

// Piece returns the bytes of the text that token i covers.
func (e Encoding) Piece(i int) string { return e.Text[e.Spans[i].Start:e.Spans[i].End] }

// Group returns the tokens of each part of the text, where parts tile it, as Words and Sentences do. A token belongs
// to the part that holds its last character that is not white space: what a tokenizer skips stands before a word.
// Pieces of a character go where the character goes. Held tokens belong to no part, and a part may have none.
func (e Encoding) Group(parts []Span) [][]int {
	groups := make([][]int, len(parts))
	k := 0
	for i, s := range e.Spans {
		if e.Held != nil && e.Held[i] || len(parts) == 0 {
			continue
		}
		if at := s.Start + len(strings.TrimRightFunc(e.Piece(i), unicode.IsSpace)); s.Start < s.End {
			if at == s.Start { // white space alone
				at = s.End
			}
			for k < len(parts)-1 && at > parts[k].End {
				k++
			}
		}
		groups[k] = append(groups[k], i)
	}
	return groups
}

// From returns the first token of the text from byte n on: a token across n belongs to what follows, and so does one
// without bytes at n. Tokens that nobody wrote are passed over at the beginning.
func (e Encoding) From(n int) int {
	i := 0
	for i < len(e.IDs) && (e.Held != nil && e.Held[i] || e.Spans[i].Start < n && e.Spans[i].End <= n) {
		i++
	}
	return i
}

// Written returns how many tokens there are without those that nobody wrote at the end.
func (e Encoding) Written() int {
	n := len(e.IDs)
	for n > 0 && e.Held != nil && e.Held[n-1] {
		n--
	}
	return n
}

// Cover returns the text that tokens cover, from the first to the last of them, without white space at its ends;
// where there is nothing else, it is the white space.
func (e Encoding) Cover(tokens []int) string {
	text := e.Text[e.Spans[tokens[0]].Start:e.Spans[tokens[len(tokens)-1]].End]
	if trimmed := strings.TrimSpace(text); trimmed != "" {
		return trimmed
	}
	return text
}

// Options say how a text is read. The zero value reads it as text that a person wrote: what looks like a special
// token is text, and the tokens that the model's file puts around every text are there.
type Options struct {
	Special bool   // a special token's text is that token
	Written []Span // with Special: what a person wrote all the same, where it never is
	Bare    bool   // without the tokens around every text: what is encoded goes on from another text, or is cut from one
}

// Tokenizer turns text into tokens and back. Implementations are immutable after they were made, and safe for
// concurrent use.
type Tokenizer interface {
	// Encode returns the tokens of a text that a person wrote. It fails when text is not valid UTF-8, or holds
	// something that the vocabulary cannot express and the tokenizer has no unknown token for.
	Encode(text string) (Encoding, error)
	// Decode returns the text of the tokens. It fails on an ID outside the vocabulary.
	Decode(ids []ID) (string, error)
	// Size is the number of tokens in the vocabulary.
	Size() int
	// Token returns the token with this ID as a reader should see it ("" for an ID outside the vocabulary).
	Token(id ID) string
	// Lookup returns the ID of a token by its text, as Token shows it.
	Lookup(text string) (ID, bool)
	// Unknown returns the ID that stands for whatever is not in the vocabulary, if there is one.
	Unknown() (ID, bool)
}

// EncodeWith is t.Encode with options, which matter to tokenizers that have special tokens, as BPE does.
func EncodeWith(t Tokenizer, text string, o Options) (Encoding, error) {
	if b, ok := t.(*BPE); ok {
		return b.EncodeWith(text, o)
	}
	return t.Encode(text)
}

// EndsInSpace reports whether a prompt ends in a space that a tokenizer reads as a token of its own, where it has
// words with the space before them: what a model has learned to say next begins with that space.
func EndsInSpace(t Tokenizer, prompt string) bool {
	b, ok := t.(*BPE)
	if !ok || !strings.HasSuffix(prompt, " ") || strings.TrimSpace(prompt) == "" {
		return false
	}
	e, err := b.EncodeWith(prompt, Options{Bare: true})
	if err != nil || len(e.IDs) == 0 || strings.TrimSpace(e.Piece(len(e.IDs)-1)) != "" {
		return false
	}
	return slices.ContainsFunc(b.tokens, func(t string) bool {
		return t != "" && t[0] == ' ' &&
			strings.TrimSpace(t) != ""
	})
}
