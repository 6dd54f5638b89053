package printable

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// steers says whether a character can steer a terminal or turn the text around it.
func steers(r rune) bool {
	return r != '\n' && r != '\t' && unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 ||
		r == 0x2028 || r == 0x2029
}

// Whatever bytes are written, and wherever they are cut, what arrives is valid UTF-8 that steers nothing; and what
// steers nothing arrives as it is.
func TestScreen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attack := rapid.SampledFrom(
			[]string{
				"\x1b[2J",
				"\x1b]0;x\x07",
				"\u009b2J",
				"\x9b2J",
				"\u202e",
				"\u2066",
				"\r",
				"\x00",
				"\x7f",
				"é",
				"日本",
				"👩‍👩‍👧",
				"שלום",
			},
		)
		bytesOf := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
		text := strings.Join(rapid.SliceOf(rapid.OneOf(attack, rapid.String(), bytesOf)).Draw(t, "text"), "")
		var b, whole bytes.Buffer
		cut := Screen(&b)
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if wrote, err := cut.Write([]byte(rest[:n])); err != nil || wrote != n {
				t.Fatalf("wrote %d of %d: %v", wrote, n, err)
			}
			rest = rest[n:]
		}
		if _, err := Screen(&whole).Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if got != whole.String() {
			t.Fatalf("cut %q, whole %q", got, whole.String())
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, steers) {
			t.Fatalf("%q becomes %q", text, got)
		}
		if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !passes(r) }) && got != text {
			t.Fatalf("%q becomes %q, although nothing in it steers", text, got)
		}
	})
}

// A line is cut in its middle, between characters.
func TestShort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Clean(rapid.String().Draw(t, "s"))
		most := rapid.IntRange(12, 80).Draw(t, "most")
		got := Short(s, most)
		if len(got) > most || !utf8.ValidString(got) || len(s) <= most && got != s {
			t.Fatalf("Short(%q, %d) = %q", s, most, got)
		}
	})
	if got := Short(
		strings.Repeat("a", 100)+"the cure",
		30,
	); !strings.HasPrefix(got, "aaa") ||
		!strings.HasSuffix(got, "cure") {
		t.Errorf("got %q", got)
	}
}
