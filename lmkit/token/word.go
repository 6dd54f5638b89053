package token

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// UnknownWord is the token, numbered 0, that a Word tokenizer has for every word outside its vocabulary. The same
// text in a corpus (WikiText holds it literally) is this token.
const UnknownWord = "<unk>"

// Word is a tokenizer of words, by torchtext's basic_english rules: the text is lower-cased (character by character);
// each of ' . , ( ) ! ? is a word of its own; double quotes vanish; ; : and <br /> separate words like white space.
//
// A word's span holds what was skipped before it: white space, double quotes, ; : and <br />. What is skipped after
// the last word belongs to the last word. So the spans tile the original text.
type Word struct {
	vocabulary
	unknown ID
}

// WordConfig limits a vocabulary of words. The zero value keeps every word.
type WordConfig struct {
	MinCount int // words seen less often are unknown; 0 and 1 keep all
	MaxSize  int // tokens in the vocabulary, <unk> included: the most frequent stay; 0 is no limit
}

// Validate reports every setting that makes no sense.
func (c WordConfig) Validate() error {
	var errs []error
	if c.MinCount < 0 {
		errs = append(errs, fmt.Errorf("MinCount is %d: give 0 or more", c.MinCount))
	}
	if c.MaxSize < 0 {
		errs = append(errs, fmt.Errorf("MaxSize is %d: give 0 (no limit) or more", c.MaxSize))
	}
	return errors.Join(errs...)
}

// NewWord makes a tokenizer of the words of texts: <unk> first, then the most frequent first, equally frequent ones by
// their bytes. This is the order of torchtext's build_vocab_from_iterator.
func NewWord(texts iter.Seq[string], cfg WordConfig) (*Word, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("word tokenizer: %w", err)
	}
	counts := map[string]*int{}
	n := 0
	for text := range texts {
		if err := checkUTF8(text); err != nil {
			return nil, fmt.Errorf("word tokenizer: text %d: %w", n, err)
		}
		n++
		for w := range basicEnglish(text) {
			if c := counts[string(w.text)]; c != nil {
				*c++
			} else {
				counts[string(w.text)] = new(1)
			}
		}
	}
	delete(counts, UnknownWord)
	if len(counts) == 0 {
		return nil, fmt.Errorf("word tokenizer: no word in %d texts: give the training text, whose words become "+
			"the vocabulary", n)
	}
	words := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(*counts[b], *counts[a]), strings.Compare(a, b))
	})
	tokens := []string{UnknownWord}
	for _, w := range words {
		if *counts[w] < cfg.MinCount || cfg.MaxSize > 0 && len(tokens) >= cfg.MaxSize {
			break
		}
		tokens = append(tokens, w)
	}
	return newWord(tokens, 0)
}

func newWord(tokens []string, unknown ID) (*Word, error) {
	v, err := newVocabulary(tokens)
	if err != nil {
		return nil, fmt.Errorf("word tokenizer: %w", err)
	}
	return &Word{vocabulary: v, unknown: unknown}, nil
}

// Encode returns the words of text. It fails on invalid UTF-8 only.
func (w *Word) Encode(text string) (Encoding, error) {
	if err := checkUTF8(text); err != nil {
		return Encoding{}, fmt.Errorf("encode: %w", err)
	}
	e := Encoding{Text: text}
	start := 0
	for word := range basicEnglish(text) {
		id, ok := w.ids[string(word.text)]
		if !ok {
			id = w.unknown
		}
		e.IDs = append(e.IDs, id)
		e.Spans = append(e.Spans, Span{start, word.end})
		start = word.end
	}
	if n := len(e.Spans); n > 0 {
		e.Spans[n-1].End = len(text)
	}
	return e, nil
}

// Decode returns the words with these IDs, with single spaces between them.
func (w *Word) Decode(ids []ID) (string, error) { return w.join(ids, " ") }

// Unknown returns the ID of <unk>.
func (w *Word) Unknown() (ID, bool) { return w.unknown, true }

// A basicWord is a normalised word and where the bytes that it came from end. The text is valid until the next word.
type basicWord struct {
	text []byte
	end  int
}

// basicEnglish yields the words of a text.
func basicEnglish(text string) iter.Seq[basicWord] {
	return func(yield func(basicWord) bool) {
		var word []byte
		end := 0
		flush := func() bool {
			if len(word) == 0 {
				return true
			}
			more := yield(basicWord{word, end})
			word = word[:0]
			return more
		}
		for i := 0; i < len(text); {
			r, n := utf8.DecodeRuneInString(text[i:])
			if r == '<' {
				if br := lineBreak(text[i:]); br > 0 {
					r, n = ' ', br
				}
			}
			i += n
			switch {
			case r == '"':
			case isBreak(r):
				if !flush() {
					return
				}
			case strings.ContainsRune("'.,()!?", r):
				if !flush() {
					return
				}
				word, end = append(word, byte(r)), i
				if !flush() {
					return
				}
			default:
				word, end = appendLower(word, r), i
			}
		}
		flush()
	}
}

// isBreak reports whether r separates words: Python's white space (Go's, and the four ASCII separators), or ; or :.
func isBreak(r rune) bool {
	return r == ';' || r == ':' || 0x1C <= r && r <= 0x1F || unicode.IsSpace(r)
}

// lineBreak returns how many bytes of text, from its start, are a <br /> in any case, or 0. Double quotes have
// vanished by the time the rules look for it.
func lineBreak(text string) int {
	const tag = "<br />"
	matched := 0
	for i := 0; i < len(text) && matched < len(tag); i++ {
		switch b := text[i]; {
		case b == tag[matched] || 'A' <= b && b <= 'Z' && b+'a'-'A' == tag[matched]:
			matched++
			if matched == len(tag) {
				return i + 1
			}
		case b != '"':
			return 0
		}
	}
	return 0
}

// appendLower appends r in lower case. One character has a lower case of two: İ.
func appendLower(to []byte, r rune) []byte {
	if r == 'İ' {
		return append(to, "i\u0307"...)
	}
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(to, byte(r))
	}
	return utf8.AppendRune(to, unicode.ToLower(r))
}
