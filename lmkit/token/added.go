package token

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An addedToken is matched whole, wherever its content stands in a text, before anything else is tokenized.
type addedToken struct {
	id         ID
	content    string
	special    bool // a mark that is no part of the language: matched only where a text may hold marks
	normalized bool // matched after those that are not, in the normalised text: the format's two rounds
	before     bool // it takes the white space before it (the format's lstrip)
	after      bool // it takes the white space after it (the format's rstrip)
	word       bool // it is not matched beside a letter or a digit (the format's single_word)
	merged     bool // merging may make it, too: the model's own vocabulary has it, and it is not special
}

// addedSet holds the added tokens of a vocabulary and finds them in texts.
type addedSet struct {
	tokens []addedToken
	rounds [2]finder // those that are not "normalized", then those that are
}

// newAddedSet makes a set; normalise is how the vocabulary normalises a text.
func newAddedSet(tokens []addedToken, normalise func(string) string) addedSet {
	s := addedSet{tokens: tokens}
	for i, t := range tokens {
		round, content := &s.rounds[0], t.content
		if t.normalized {
			round, content = &s.rounds[1], normalise(t.content)
		}
		round.add(content, i)
	}
	return s
}

// apart returns the tokens that merging never makes.
func (s *addedSet) apart() map[ID]bool {
	ids := map[ID]bool{}
	for _, t := range s.tokens {
		if !t.merged {
			ids[t.id] = true
		}
	}
	return ids
}

// split yields text in spans: an added token of this round with its ID, or a stretch without one with -1. The leftmost
// match wins, then the longest. What skip says true to is not a token there, and nothing else is looked for in it.
func (s *addedSet) split(text string, round int, skip func(t addedToken, at Span) bool) iter.Seq2[Span, ID] {
	return func(yield func(Span, ID) bool) {
		f := &s.rounds[round]
		from := 0 // what is before it has been yielded
		for at := 0; at < len(text) && len(f.index) > 0; {
			i, n := f.match(text[at:])
			if n == 0 {
				at++
				continue
			}
			t, found := s.tokens[i], Span{at, at + n}
			at += n
			if skip(t, found) || t.word && besideWord(text, found) {
				continue
			}
			if t.before {
				found.Start = max(from, len(strings.TrimRightFunc(text[:found.Start], unicode.IsSpace)))
			}
			if t.after {
				found.End = len(text) - len(strings.TrimLeftFunc(text[found.End:], unicode.IsSpace))
			}
			if from < found.Start && !yield(Span{from, found.Start}, -1) || !yield(found, t.id) {
				return
			}
			from = found.End
		}
		if from < len(text) {
			yield(Span{from, len(text)}, -1)
		}
	}
}

// finder finds the longest of many texts that another text starts with.
type finder struct {
	index   map[string]int
	lengths [256][]int // by first byte: the lengths of the texts that start with it, the longest first
}

func (f *finder) add(content string, i int) {
	if content == "" {
		return
	}
	if f.index == nil {
		f.index = map[string]int{}
	}
	f.index[content] = i
	lengths := &f.lengths[content[0]]
	if !slices.Contains(*lengths, len(content)) {
		*lengths = append(*lengths, len(content))
		slices.Sort(*lengths)
		slices.Reverse(*lengths)
	}
}

// match returns the number and the length of the longest match at the start of text; the length is 0 where there is
// none.
func (f *finder) match(text string) (i, n int) {
	for _, n := range f.lengths[text[0]] {
		if n <= len(text) {
			if i, ok := f.index[text[:n]]; ok {
				return i, n
			}
		}
	}
	return 0, 0
}

// besideWord reports whether a letter, mark, digit or joining character stands right before or after a span.
func besideWord(text string, at Span) bool {
	before, n := utf8.DecodeLastRuneInString(text[:at.Start])
	after, m := utf8.DecodeRuneInString(text[at.End:])
	return n > 0 && isWordRune(before) || m > 0 && isWordRune(after)
}

func isWordRune(r rune) bool {
	return unicode.In(r, unicode.Letter, unicode.Mark, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control)
}

// newSpecial makes added tokens of these texts, numbered from first on.
func newSpecial(texts []string, first ID) ([]addedToken, error) {
	var added []addedToken
	seen := map[string]bool{}
	for i, t := range texts {
		if t == "" || checkUTF8(t) != nil {
			return nil, fmt.Errorf("special token %q: a special token is some UTF-8 text", t)
		}
		if seen[t] {
			return nil, fmt.Errorf("special token %q is given twice: give it once", t)
		}
		seen[t] = true
		added = append(added, addedToken{id: first + ID(i), content: t, special: true})
	}
	return added, nil
}
