package generate

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// spell writes pieces one after the other, and returns what came of each.
func spell(pieces, stop []string) (out []string, stopped bool) {
	s := &speller{stop: stop}
	for i, p := range pieces {
		text, end := s.write(p, i == len(pieces)-1)
		out = append(out, text)
		if end {
			return out, true
		}
	}
	return out, false
}

func TestSpeller(t *testing.T) {
	for _, x := range []struct {
		pieces, stop []string
		want         []string
		stopped      bool
	}{
		{[]string{"a", "bc"}, nil, []string{"a", "bc"}, false},
		{[]string{"\xe2", "\x82", "\xac!"}, nil, []string{"", "", "€!"}, false},
		{[]string{"x\xe2\x82", "y"}, nil, []string{"x", "\uFFFD\uFFFDy"}, false}, // never completed
		{[]string{"x\xe2\x82"}, nil, []string{"x\uFFFD\uFFFD"}, false},           // the text ends
		{[]string{"\x80\xff", "a"}, nil, []string{"\uFFFD\uFFFD", "a"}, false},
		{[]string{"a EN", "D b"}, []string{"END"}, []string{"a ", ""}, true},
		{[]string{"a EN", "T b"}, []string{"END"}, []string{"a ", "ENT b"}, false},
		{[]string{"a EN"}, []string{"END"}, []string{"a EN"}, false}, // the last token holds nothing back
		{[]string{"aaa", "ab"}, []string{"aab"}, []string{"a", "a"}, true},
		{[]string{"abc"}, []string{"abcd", "bc"}, []string{"a"}, true},
		{[]string{"xabcd"}, []string{"cd", "abcd"}, []string{"x"}, true}, // complete at once: the longer one
		{[]string{"\n", "\nQ"}, []string{"\n\n"}, []string{"", ""}, true},
		{[]string{"h\xc3", "\xa9", "llo"}, []string{"é"}, []string{"h", ""}, true},
	} {
		got, stopped := spell(x.pieces, x.stop)
		if strings.Join(got, "|") != strings.Join(x.want, "|") || stopped != x.stopped {
			t.Errorf("%q until %q: %q, %v; want %q, %v", x.pieces, x.stop, got, stopped, x.want, x.stopped)
		}
	}
}

// How a text is cut into tokens changes nothing; stop texts are not in it; what comes is always valid.
func TestSpellerDoesNotDependOnTheCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SampledFrom([]string{"a", "b", "é", "€", "\xe2", "\x82", "\xf0\x9f", "😀", "\xff"})
		some := func(name string, lo, hi int) string {
			return strings.Join(rapid.SliceOfN(alphabet, lo, hi).Draw(t, name), "")
		}
		text := some("text", 1, 30)
		stop := rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "é", "€", "😀"}), 1, 4),
			func(s []string) string { return strings.Join(s, "") }), 0, 3).Draw(t, "stop")
		whole, stoppedWhole := spell([]string{text}, stop)

		var pieces []string
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		parts, stopped := spell(pieces, stop)
		got := strings.Join(parts, "")
		if got != whole[0] || stopped != stoppedWhole {
			t.Fatalf("%q is %q (%v), in pieces %q (%v)", text, whole[0], stoppedWhole, got, stopped)
		}
		plain := string([]rune(text))
		if !strings.HasPrefix(plain, got) || !stopped && plain != got {
			t.Fatalf("%q is no beginning of %q", got, plain)
		}
		for _, p := range parts {
			if !utf8.ValidString(p) {
				t.Fatalf("%q is not UTF-8", p)
			}
		}
		for _, s := range stop {
			if strings.Contains(got, s) {
				t.Fatalf("%q holds %q", got, s)
			}
			if !stopped && strings.Contains(plain, s) {
				t.Fatalf("%q did not stop %q", s, plain)
			}
		}
	})
}
