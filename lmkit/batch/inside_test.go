package batch

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
)

// said is tell with the places of the words in their text, which has a space between each two.
func said(words []string, scores []float64) *explain.Attribution {
	a, at := tell(words, scores), 0
	for _, w := range words {
		a.Tokens = append(a.Tokens, explain.InputToken{Text: w, Start: at, End: at + len(w)})
		at += len(w) + 1
	}
	return a
}

// inConversation puts a text into a message, which what a template writes stands around.
func inConversation(a *explain.Attribution) {
	const template = "<user> "
	for i := range a.Tokens {
		t := &a.Tokens[i]
		t.Role, t.Start, t.End = "user", t.Start+len(template), t.End+len(template)
	}
	a.Tokens = append(a.Tokens, explain.InputToken{Text: template, End: len(template), Held: true})
}

// What lies inside is what stands there: of scores that are all alike the share of the features, of one score alone
// all or nothing; also in a conversation, which its template begins, and where a token is a piece of a character.
func TestInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "words")
		words := make([]string, n)
		for i := range words {
			words[i] = strings.Repeat("ä", 1+i/5) + string(rune('a'+i))
		}
		from := rapid.IntRange(0, n-1).Draw(t, "from")
		to := rapid.IntRange(from+1, n).Draw(t, "to")
		part := strings.Join(words[from:to], " ")
		one := rapid.IntRange(0, n-1).Draw(t, "one")
		alike, alone := make([]float64, n), make([]float64, n)
		for i := range n {
			alike[i], alone[i] = 0.5, -1
		}
		alone[one] = 2
		for _, scores := range [][]float64{alike, alone} {
			var s inside
			a := said(words, scores)
			if rapid.Bool().Draw(t, "conversation") {
				inConversation(a)
				a.Tokens[rapid.IntRange(0, n-1).Draw(t, "piece")].Text = "\uFFFD\uFFFD\uFFFD\uFFFD"
			}
			s.add(a, strings.Join(words, " "), part)
			got, err := s.summary()
			if err != nil {
				t.Fatal(err)
			}
			if to-from == n {
				if got != nil || s.lost != 1 {
					t.Fatalf("all of the text is inside: %+v", got)
				}
				continue
			}
			want, top := float64(to-from)/float64(n), 0.0
			if math.Abs(got.Random-want) > 1e-12 {
				t.Fatalf("at random %v, want %v", got.Random, want)
			}
			if scores[one] == 2 {
				if want = 0; from <= one && one < to {
					want, top = 1, 1
				}
				if got.Top.Share != top {
					t.Fatalf("the largest score is inside: %v, want %v", got.Top.Share, top)
				}
			}
			if math.Abs(got.Share.Mean-want) > 1e-12 || got.Items != 1 {
				t.Fatalf("%+v, want a share of %v", got, want)
			}
		}
	})
}

// A column of the items names the part; items that name none do not count, and those whose text lacks it are counted.
func TestSummariseInside(t *testing.T) {
	m, out := words(t), filepath.Join(t.TempDir(), "out")
	file := write(t, "items.jsonl", `{"text":"the cat sat on","cause":"cat sat"}`, `{"text":"the dog sat on"}`,
		`{"text":"a cat ran on","cause":"dog"}`)
	if _, err := runOf(t, t.Context(), m, file, out, common); err != nil {
		t.Fatal(err)
	}
	s, err := Summarise(out, Summarising{Inside: "cause"})
	if err != nil {
		t.Fatal(err)
	}
	x := s.Methods[0].Inside
	if x == nil || x.Items != 1 || x.Lost != 1 || x.Random != 0.5 {
		t.Fatalf("%+v", x)
	}
	in, all := 0.0, 0.0
	for r, err := range Results(out) {
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range r.Attributions[0].Scores {
			if r.Line == 1 {
				all += max(0, v)
				if i == 1 || i == 2 {
					in += max(0, v)
				}
			}
		}
	}
	if want := in / max(all, 1e-300); math.Abs(x.Share.Mean-want) > 1e-12 {
		t.Errorf("%v lies inside, want %v", x.Share.Mean, want)
	}
	if s, err = Summarise(out, Summarising{Inside: "nothing"}); err != nil || s.Methods[0].Inside != nil {
		t.Errorf("%+v, %v", s, err)
	}
}
