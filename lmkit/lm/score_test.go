package lm_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// reader is a small model of random weights that reads these words.
func reader(t *testing.T, arch, words string) *lm.Model {
	t.Helper()
	tok, err := token.NewWord(slices.Values([]string{words}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c := lm.Config{Arch: arch, Vocab: tok.Size(), Width: 12, Layers: 2}
	if arch == lm.LSTM {
		c.Hidden = 10
	} else {
		c.Heads, c.Context = 3, 16
	}
	m, err := lm.New(backendtest.PureGo(t), c, tok, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// direct is the log-probability of each token from from on, all logits of one row at hand.
func direct(t *testing.T, m *lm.Model, row []token.ID, from int) []float64 {
	t.Helper()
	all, err := m.LogProbs(context.Background(), [][]token.ID{row[:len(row)-1]})
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for i := from; i < len(row); i++ {
		out = append(out, float64(all[0].Index(i - 1).Data[row[i]]))
	}
	return out
}

func agrees(a, b float64) bool { return math.Abs(a-b) <= 1e-5*(1+math.Abs(b)) }

// Every token of every passage has the log-probability that all logits of its row give it, whichever passages are
// scored with it, with a context and without, however many words are unknown.
func TestScoreIsWhatTheLogitsSay(t *testing.T) {
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m := reader(t, arch, "a b c d e f g <eos>")
		rng := rand.New(rand.NewPCG(7, 0))
		text := func(least, most int) string {
			var some []string
			for range least + rng.IntN(most-least+1) {
				some = append(some, []string{"a", "b", "c", "d", "e", "f", "g", "zebra"}[rng.IntN(8)])
			}
			return strings.Join(some, " ")
		}
		var passages []lm.Passage
		for range 40 {
			p := lm.Passage{Text: text(1, 7)}
			if rng.IntN(2) == 0 {
				p.After, p.Text = text(1, 7), " "+p.Text
			}
			passages = append(passages, p)
		}
		scores, cost, err := m.Score(context.Background(), passages)
		if err != nil {
			t.Fatal(err)
		}
		read := map[string]bool{} // by what is read: a Transformer reads the same row once
		begin, _ := m.Tokenizer().Lookup("<eos>")
		unknownID, _ := m.Tokenizer().Unknown()
		for i, s := range scores {
			e, err := m.Tokenizer().Encode(s.After + s.Text)
			if err != nil {
				t.Fatal(err)
			}
			row, from := e.IDs, len(strings.Fields(s.After))
			if s.After == "" {
				row, from = append([]token.ID{begin}, row...), 1
			}
			if (s.Begin == "<eos>") != (s.After == "") {
				t.Errorf("%s: %q after %q begins with %q", arch, s.Text, s.After, s.Begin)
			}
			read[fmt.Sprint(row[:len(row)-1])] = true
			want := direct(t, m, row, from)
			if len(want) != len(s.Tokens) {
				t.Fatalf("%s: %q after %q has %d tokens, want %d", arch, s.Text, s.After, len(s.Tokens), len(want))
			}
			sum, unknown := 0.0, 0
			for k, x := range s.Tokens {
				if !agrees(x.LogProb, want[k]) || x.ID != row[from+k] {
					t.Errorf("%s: passage %d token %d is #%d with %v, want #%d with %v", arch, i, k, x.ID, x.LogProb,
						row[from+k], want[k])
				}
				if x.Unknown != (x.ID == unknownID) {
					t.Errorf("%s: %+v", arch, x)
				}
				if sum += want[k]; x.Unknown {
					unknown++
				}
			}
			n := float64(len(want))
			if !agrees(s.LogProb, sum) || !agrees(s.Perplexity, math.Exp(-sum/n)) || !agrees(s.Unknown, float64(unknown)/n) {
				t.Errorf("%s: passage %d: %+v, want a sum of %v", arch, i, s, sum)
			}
		}
		rows := len(passages)
		if arch == lm.Transformer {
			rows = len(read)
		}
		if cost.ForwardRows != rows {
			t.Errorf("%s: %d rows for %d passages, want %d", arch, cost.ForwardRows, len(passages), rows)
		}
	}
}

// A long passage is scored whole: an LSTM carries its state, a Transformer reads each token after at least half of the
// context that it can read.
func TestScoreLongPassages(t *testing.T) {
	words := strings.Fields("a b c d e f g")
	rng := rand.New(rand.NewPCG(8, 0))
	var some []string
	for range 1300 {
		some = append(some, words[rng.IntN(len(words))])
	}
	for _, after := range []int{0, 5, 700} {
		p := lm.Passage{After: strings.Join(some[:after], " "), Text: strings.Join(some[after:], " ")}
		if after > 0 {
			p.Text = " " + p.Text
		}
		for _, arch := range []string{lm.Transformer, lm.LSTM} {
			m := reader(t, arch, "a b c d e f g <eos>")
			scores, _, err := m.Score(context.Background(), []lm.Passage{p, {Text: "a b"}})
			if err != nil {
				t.Fatal(err)
			}
			s := scores[0]
			if s.Error != "" || len(s.Tokens) != 1300-after {
				t.Fatalf("%s after %d: %d tokens, %s", arch, after, len(s.Tokens), s.Error)
			}
			e, _ := m.Tokenizer().Encode(p.After + p.Text)
			row, from := e.IDs, after
			if after == 0 {
				begin, _ := m.Tokenizer().Lookup("<eos>")
				row, from = append([]token.ID{begin}, row...), 1
			}
			if arch == lm.LSTM {
				for k, want := range direct(t, m, row, from) {
					if !agrees(s.Tokens[k].LogProb, want) {
						t.Fatalf("LSTM after %d: token %d has %v, want %v", after, k, s.Tokens[k].LogProb, want)
					}
				}
				continue
			}
			if s.Windows < 2 {
				t.Errorf("read in %d windows", s.Windows)
			}
			const C = 16
			for _, k := range []int{0, 3, 8, 9, 100, 555, len(s.Tokens) - 1} { // each after 8 to 16 tokens, or all there are
				at, found := from+k, false
				for n := min(at, C/2); n <= min(at, C); n++ {
					found = found || agrees(s.Tokens[k].LogProb, direct(t, m, row[at-n:at+1], n)[0])
				}
				if !found {
					t.Errorf("after %d: token %d has %v, which no context of 8 to 16 tokens gives", after, k, s.Tokens[k].LogProb)
				}
			}
		}
	}
}

// What cannot be scored says why, and takes nothing from the others.
func TestScoreWithoutOne(t *testing.T) {
	m := reader(t, lm.Transformer, "a b")
	scores, _, err := m.Score(context.Background(), []lm.Passage{
		{Text: "a b a"}, {}, {Text: "b"}, {Text: "  "}, {Text: "\xff"}, {Text: " b", After: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := scores[0]; s.Unscored != "a" || s.Begin != "" || len(s.Tokens) != 2 || s.Error != "" {
		t.Errorf("without a token to begin with: %+v", s)
	}
	for i, want := range map[int]string{1: "empty", 2: "nothing before it", 3: "no tokens", 4: "UTF-8"} {
		if !strings.Contains(scores[i].Error, want) || scores[i].LogProb != 0 || len(scores[i].Tokens) != 0 {
			t.Errorf("%q: %+v, want %q", scores[i].Text, scores[i], want)
		}
	}
	if s := scores[5]; len(s.Tokens) != 1 || s.Tokens[0].LogProb >= 0 {
		t.Errorf("%+v", s)
	}
	bare := tiny(t, lm.LSTM)
	if scores, _, err = bare.Score(context.Background(), []lm.Passage{{Text: "a"}}); err != nil || scores[0].Error == "" {
		t.Errorf("a model without a tokenizer: %+v, %v", scores, err)
	}
}

// Passages that read the same are scored by one row, as far as that takes little memory, and get the scores that they
// get alone; an LSTM's rows stay apart.
func TestScoreSharesRows(t *testing.T) {
	const most = 32 // of one row
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m := reader(t, arch, "a b c d e <eos>")
		for n, want := range map[int]int{4: 1, 3 * most: 3} {
			if arch == lm.LSTM {
				want = n
			}
			passages := make([]lm.Passage, n)
			for i := range passages {
				passages[i] = lm.Passage{Text: " " + string("abcd"[i%4]), After: "a b c"}
			}
			together, cost, err := m.Score(t.Context(), passages)
			if err != nil {
				t.Fatal(err)
			}
			if cost.ForwardRows != want {
				t.Errorf("%s: %d rows for %d passages, want %d", arch, cost.ForwardRows, n, want)
			}
			for i, p := range passages {
				alone, _, err := m.Score(t.Context(), []lm.Passage{p})
				if err != nil {
					t.Fatal(err)
				}
				if !agrees(alone[0].LogProb, together[i].LogProb) || together[i].Error != "" {
					t.Errorf("%s: %q has %v, alone %v", arch, p.Text, together[i].LogProb, alone[0].LogProb)
				}
			}
		}
	}
}
