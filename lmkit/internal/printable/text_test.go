package printable

import (
	"slices"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"": "∅", " ": "·", "  a b ": "··a b·", "\n": "⏎", "a\r\n": "a‹0D›⏎", "\t": "⇥", "\x1b[0m": "‹1B›[0m", "\x7f": "‹7F›",
		"\u202e": "‹202E›", "\u200b": "‹200B›", "\u00a0": "‹A0›", "\xff": "\ufffd", "\u0301": "◌\u0301", "e\u0301": "e\u0301",
		"👩‍👧": "👩‍👧", "\u200d": "‹200D›", "日本": "日本", "שלום": "שלום\u200e",
	} {
		if got := Visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShortenAndWrapKeepTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Line(rapid.String().Draw(t, "s"))
		n := rapid.IntRange(2, 30).Draw(t, "n")
		if got := Shorten(s, n); Columns(got) > n || Columns(s) <= n && got != s {
			t.Fatalf("shorten(%q, %d) = %q", s, n, got)
		}
		lines := Wrap(s, n)
		for _, l := range lines {
			if Columns(l) > n && uniseg.GraphemeClusterCount(l) > 1 {
				t.Fatalf("wrap(%q, %d): %q has %d columns", s, n, l, Columns(l))
			}
		}
		if squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }; squeeze(
			strings.Join(lines, ""),
		) != squeeze(
			s,
		) {
			t.Fatalf("wrap(%q, %d) loses something: %q", s, n, lines)
		}
	})
}

func TestWrapKeepsQuotedTokensWhole(t *testing.T) {
	if got := Wrap("why ` are` now", 9); !slices.Equal(got, []string{"why", "` are`", "now"}) {
		t.Errorf("got %q", got)
	}
}
