package generate

import (
	"strings"
	"unicode/utf8"

	"lmkit.internal/lmkit/token"
)

// speller turns tokens into text, as soon as it is certain.
type speller struct {
	tokenizer token.Tokenizer // nil: no text
	before    token.ID        // the token before
	stop      []string
	bytes     string // the beginning of a character
	held      string // the beginning of a stop text, perhaps
}

// add returns the text that a token adds, and whether a stop text ends it here. The last token holds nothing back.
func (s *speller) add(id token.ID, last bool) (text string, stopped bool, err error) {
	if s.tokenizer == nil {
		return "", false, nil
	}
	one, err := s.tokenizer.Decode([]token.ID{s.before})
	if err != nil {
		return "", false, err
	}
	two, err := s.tokenizer.Decode([]token.ID{s.before, id})
	if err != nil {
		return "", false, err
	}
	s.before = id
	text, stopped = s.write(strings.TrimPrefix(two, one), last)
	return text, stopped, nil
}

// rest is the text that was held back, when nothing comes after it.
func (s *speller) rest() string {
	text, _ := s.write("", true)
	return text
}

// write takes more bytes of the text, and returns what is certain of it.
func (s *speller) write(bytes string, last bool) (text string, stopped bool) {
	s.bytes += bytes
	n := len(s.bytes)
	if !last {
		n = wholeCharacters(s.bytes)
	}
	s.held += string([]rune(s.bytes[:n])) // a byte that is part of no character becomes U+FFFD
	s.bytes = s.bytes[n:]
	if at := firstStop(s.held, s.stop); at >= 0 {
		return s.held[:at], true
	}
	n = len(s.held)
	if !last {
		n -= begunStop(s.held, s.stop)
	}
	text, s.held = s.held[:n], s.held[n:]
	return text, false
}

// wholeCharacters is the length of s without the beginning of a character at its end.
func wholeCharacters(s string) int {
	for i := len(s) - 1; i >= 0 && i >= len(s)-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRuneInString(s[i:]) {
				return i
			}
			break
		}
	}
	return len(s)
}

// firstStop is where the stop text begins that is complete first, or -1.
func firstStop(s string, stop []string) int {
	start, end := -1, len(s)+1
	for _, x := range stop {
		i := strings.Index(s, x)
		if i < 0 {
			continue
		}
		if e := i + len(x); e < end || e == end && i < start {
			start, end = i, e
		}
	}
	return start
}

// begunStop is the length of the longest end of s that a stop text may begin with.
func begunStop(s string, stop []string) int {
	longest := 0
	for _, x := range stop {
		for n := min(len(x)-1, len(s)); n > longest; n-- {
			if strings.HasSuffix(s, x[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}
