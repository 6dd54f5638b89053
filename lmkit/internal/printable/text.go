package printable

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Visible returns a token's text as one printable line: · for a space at either end, ⏎ and ⇥ for a line break and a
// tab, ‹hex› for what else has no picture of its own, ∅ for nothing at all.
func Visible(s string) string {
	if s == "" {
		return "∅"
	}
	var b strings.Builder
	inner := strings.TrimLeft(s, " ")
	b.WriteString(strings.Repeat("·", len(s)-len(inner)))
	core := strings.TrimRight(inner, " ")
	for i, r := range core {
		b.WriteString(printable(core, i, r))
	}
	b.WriteString(strings.Repeat("·", len(inner)-len(core)))
	if strings.ContainsFunc(core, rightToLeft) {
		b.WriteString(leftToRight)
	}
	return b.String()
}

// leftToRight has no width; after a word that runs to the left, it keeps the number beside it where it is.
const leftToRight = "\u200e"

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
}

// Quoted returns a token's text in backticks for a sentence, cut where it is long. Spaces stay spaces: the backticks
// show where they are.
func Quoted(s string) string { return "`" + Shorten(Clean(s), 40) + "`" }

// Line returns a text of several words as one printable line.
func Line(s string) string { return Clean(strings.Join(strings.Fields(s), " ")) }

func Clean(s string) string {
	var b strings.Builder
	for i, r := range s {
		b.WriteString(printable(s, i, r))
	}
	return b.String()
}

const joiner = '\u200d' // joins emoji into one picture

// printable returns what stands for the rune r at byte i of s.
func printable(s string, i int, r rune) string {
	switch {
	case r == utf8.RuneError:
		return "\ufffd"
	case r == '\n':
		return "⏎"
	case r == '\t':
		return "⇥"
	case r == joiner && i > 0 && i+len("\u200d") < len(s):
		return string(r)
	case i == 0 && unicode.Is(unicode.M, r):
		return "◌" + string(r)
	case unicode.IsPrint(r):
		return string(r)
	}
	return hex(r)
}

// Hex stands for a text that cannot be shown: each character by its number.
func Hex(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(hex(r))
	}
	return b.String()
}

// hex stands for a character that has no picture of its own.
func hex(r rune) string { return fmt.Sprintf("‹%02X›", r) }

// Columns is the number of terminal columns that s takes: 2 for a wide character.
func Columns(s string) int { return uniseg.StringWidth(s) }

// Shorten cuts s to at most max columns, and ends it with … where it cuts.
func Shorten(s string, max int) string {
	if Columns(s) <= max {
		return s
	}
	if max < 2 {
		return "…"
	}
	return s[:prefix(s, max-1)] + "…"
}

// prefix is the length in bytes of the longest start of s that takes at most max columns and splits no character.
func prefix(s string, max int) int {
	n := 0
	for width, state, rest := 0, -1, s; len(rest) > 0; {
		var c string
		var w int
		c, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if width += w; width > max {
			break
		}
		n += len(c)
	}
	return n
}

// PadRight and padLeft fill s with spaces to n columns.
func PadRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-Columns(s))) }

func PadLeft(s string, n int) string { return strings.Repeat(" ", max(0, n-Columns(s))) + s }

// wordsOf splits a text at spaces, but not inside of backticks, where a space belongs to a token.
func wordsOf(s string) []string {
	if strings.Count(s, "`")%2 != 0 {
		return strings.Split(s, " ")
	}
	inside := false
	return strings.FieldsFunc(s, func(r rune) bool {
		if r == '`' {
			inside = !inside
		}
		return r == ' ' && !inside
	})
}

// Wrap breaks a text at spaces into lines of at most width columns; a word that is longer is cut into pieces.
func Wrap(s string, width int) []string {
	width = max(width, 1)
	var lines []string
	var cur string
	for _, word := range wordsOf(s) {
		if cur != "" && Columns(cur)+1+Columns(word) > width {
			lines, cur = append(lines, cur), ""
		}
		for Columns(word) > width {
			n := prefix(word, width)
			if n == 0 { // a single character that is wider than the line
				c, _, _, _ := uniseg.FirstGraphemeClusterInString(word, -1)
				n = len(c)
			}
			lines, word = append(lines, word[:n]), word[n:]
		}
		if cur != "" {
			cur += " "
		}
		cur += word
	}
	return append(lines, cur)
}
