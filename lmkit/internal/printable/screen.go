package printable

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Screen returns a writer for text of any origin on a terminal. Lines, tabs and all that has a picture pass as they
// are; what would steer the terminal or turn the text around (escapes, other controls, bidirectional overrides) is
// shown instead, as Visible shows it.
func Screen(w io.Writer) io.Writer { return &screen{w: w} }

type screen struct {
	w    io.Writer
	part []byte // the beginning of a character whose end comes with the next write
}

func (s *screen) Write(p []byte) (int, error) {
	text := append(s.part, p...)
	s.part = nil
	var b strings.Builder
	for len(text) > 0 {
		if !utf8.FullRune(text) {
			s.part = append([]byte(nil), text...)
			break
		}
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		if passes(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(hex(r))
		}
	}
	if _, err := io.WriteString(s.w, b.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// passes says whether a character only adds to a text. Joiners and marks of direction shape the letters beside them;
// an override or an isolate turns what follows.
func passes(r rune) bool {
	switch r {
	case '\n', '\t', '\u200c', '\u200d', '\u200e', '\u200f':
		return true
	}
	return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)
}

// Short cuts the middle out of a line that has more than so many bytes: what it is about stands at its beginning, and
// what cures it at its end.
func Short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	room := max(0, most-len(" … "))
	head, tail := room*2/3, len(s)-(room-room*2/3)
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + " … " + s[tail:]
}
