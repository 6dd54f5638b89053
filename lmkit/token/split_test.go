package token

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func pieces(text string, spans []Span) []string {
	var out []string
	for _, s := range spans {
		out = append(out, text[s.Start:s.End])
	}
	return out
}

func TestWords(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \n", []string{" \n"}},
		{"a", []string{"a"}},
		{" The cat's  hat.\n", []string{" The", " cat's", "  hat.\n"}},
		{"é\u00a0灯台", []string{"é", "\u00a0灯台"}},
	} {
		if got := pieces(test.text, Words(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestSentences(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"\n\n", []string{"\n\n"}},
		{"No end", []string{"No end"}},
		{"One. Two! Three? Four", []string{"One.", " Two!", " Three?", " Four"}},
		{"Pi is 3.14 or so. Yes.", []string{"Pi is 3.14 or so.", " Yes."}},
		{"He said \"go.\" (So she went.) Then?!\n", []string{"He said \"go.\"", " (So she went.)", " Then?!\n"}},
		{"A title\nA line\n\n  another", []string{"A title", "\nA line", "\n\n  another"}},
		{"a . b !", []string{"a .", " b !"}},
	} {
		if got := pieces(test.text, Sentences(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

func TestWordsTileAndNestInSentences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		words, sentences := Words(text), Sentences(text)
		for _, spans := range [][]Span{words, sentences} {
			end := 0
			for _, s := range spans {
				if s.Start != end || s.End <= s.Start {
					t.Fatalf("%q: spans %v do not tile", text, spans)
				}
				end = s.End
			}
			if end != len(text) {
				t.Fatalf("%q: spans %v end before the text", text, spans)
			}
		}
		for _, s := range sentences {
			if !slices.ContainsFunc(words, func(w Span) bool { return w.Start == s.Start }) {
				t.Fatalf("%q: sentence %v starts within a word", text, s)
			}
		}
	})
}
