package bias

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/token"
)

// reader is a small model of random weights that knows a few words.
func reader(t testing.TB, arch, words string) *lm.Model {
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

const known = "he she is a nurse doctor cook his her friend said that <eos>"

// drawn is a suite of random pairs over a few words; x is unknown to the model.
func drawn(seed uint64, n int) *Suite {
	rng := rand.New(rand.NewPCG(seed, 0))
	words := append(strings.Fields(known)[:12], "x")
	text := func() string {
		var some []string
		for range 1 + rng.IntN(7) {
			some = append(some, words[rng.IntN(len(words))])
		}
		return strings.Join(some, " ")
	}
	s := &Suite{Name: "drawn", First: "one", Second: "other", Protocol: Total, Clusters: "writer",
		Groupings: []string{"kind"}}
	for i := range n {
		s.add("", i, Pair{ID: fmt.Sprint(i), First: text(), Second: text(), Groups: []string{fmt.Sprint("g", i%3)},
			Cluster: fmt.Sprint("w", i%7)})
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*(1+math.Abs(b)) }

// Each protocol's number of a sentence is what all logits of its row give, and the steps of a pair add up to the
// difference of the sentences' log-probabilities.
func TestProtocolsAreWhatTheLogitsSay(t *testing.T) {
	ctx := context.Background()
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m := reader(t, arch, known)
		direct := func(text string, begun bool) (ids []token.ID, all []float64) {
			e, err := m.Tokenizer().Encode(text)
			if err != nil {
				t.Fatal(err)
			}
			ids, row := e.IDs, e.IDs
			if begun {
				begin, _ := m.Tokenizer().Lookup("<eos>")
				row = append([]token.ID{begin}, ids...)
			}
			if len(row) < 2 {
				return ids, nil
			}
			p, err := m.LogProbs(ctx, [][]token.ID{row[:len(row)-1]})
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(row); i++ {
				all = append(all, float64(p[0].Index(i - 1).Data[row[i]]))
			}
			return ids, all
		}
		add := func(x []float64) (sum float64) {
			for _, v := range x {
				sum += v
			}
			return sum
		}
		s := drawn(3, 12)
		for _, p := range Protocols {
			r, err := Measure(ctx, m, s, Config{Protocol: p.Name, Worst: 100, Draws: 50})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Pairs)+len(r.Left) != len(s.Pairs) {
				t.Errorf("%d pairs and %d left of %d", len(r.Pairs), len(r.Left), len(s.Pairs))
			}
			for _, x := range r.Pairs {
				a, b := x.First, x.Second
				ia, first := direct(a, p.Name != Perplexity)
				ib, second := direct(b, p.Name != Perplexity)
				var u, v float64
				switch p.Name {
				case Total:
					u, v = add(first), add(second)
				case Bits:
					u, v = add(first)/float64(len(first))*math.Log2E, add(second)/float64(len(second))*math.Log2E
				case Perplexity:
					u, v = add(first)/float64(len(first)), add(second)/float64(len(second))
				case Conditional:
					n := 0
					for n < min(len(ia), len(ib)) && ia[len(ia)-1-n] == ib[len(ib)-1-n] {
						n++
					}
					u, v = add(first[len(first)-n:]), add(second[len(second)-n:])
				}
				if !near(x.FirstScore, u) || !near(x.SecondScore, v) || !near(x.Difference, u-v) {
					t.Errorf("%s, %s: %q %v, %q %v; want %v and %v", arch, p.Name, a, x.FirstScore, b, x.SecondScore, u, v)
				}
			}
			for _, x := range r.Worst {
				sum := Where{}
				for _, s := range x.Steps {
					if s.Changed() {
						sum.Changed += s.Difference
					} else {
						sum.Shared += s.Difference
					}
				}
				if !near(sum.Changed+sum.Shared, x.FirstLogProb-x.SecondLogProb) || sum != x.Where {
					t.Errorf("the steps of %q and %q add up to %v, not %v", x.First, x.Second, sum, x.FirstLogProb-x.SecondLogProb)
				}
			}
		}
	}
}

// The report counts what the pairs say: groups, ties, unknown words, lengths.
func TestReportCounts(t *testing.T) {
	m := reader(t, lm.LSTM, known)
	s := drawn(4, 30)
	s.add("", 0, Pair{ID: "tie", First: "he is a x", Second: "he is a y", Groups: []string{"g0"}, Cluster: "w1"})
	r, err := Measure(context.Background(), m, s, Config{Worst: 4, Draws: 200})
	if err != nil {
		t.Fatal(err)
	}
	n, first, ties, unknown, equal := 0, 0, 0, 0, 0
	for _, x := range r.Pairs {
		if x.FirstTokens == x.SecondTokens {
			equal++
		}
		if strings.Contains(x.First+x.Second, "x") {
			unknown++
		}
		switch {
		case x.Difference > 0:
			first++
		case x.Difference == 0:
			ties++
		}
		n++
	}
	a := r.All
	if a.N != n || a.First != first || a.Ties != ties || ties == 0 || a.Second != n-first-ties ||
		!near(a.Share, (float64(first)+float64(ties)/2)/float64(n)) || a.Low > a.Share || a.High < a.Share {
		t.Errorf("%+v, want %d pairs, %d first, %d ties", a, n, first, ties)
	}
	if r.Unknown.Pairs != unknown || r.Unknown.Ties < 1 || r.Lengths.Differ != n-equal || r.Lengths.Equal.N != equal {
		t.Errorf("%+v and %+v, want %d unknown and %d of equal length", r.Unknown, r.Lengths, unknown, equal)
	}
	sum := 0
	for _, g := range r.By[0].Groups {
		sum += g.N
		if g.Holm < g.P {
			t.Errorf("%+v: the corrected p-value is smaller", g)
		}
	}
	if sum != n || len(r.By[0].Groups) != 3 {
		t.Errorf("%d pairs in %d groups", sum, len(r.By[0].Groups))
	}
	for i, x := range r.Worst[1:] {
		if math.Abs(x.Difference) > math.Abs(r.Worst[i].Difference) {
			t.Error("the worst pair is not the first")
		}
	}
	for _, n := range []int{-1, 1e12, math.MaxInt} {
		if _, err := Measure(context.Background(), m, s, Config{Draws: n}); err == nil {
			t.Errorf("%d draws were made", n)
		}
	}
	again, err := Measure(context.Background(), m, s, Config{Worst: 4, Draws: 200})
	if err != nil {
		t.Fatal(err)
	}
	one, _ := json.Marshal(r)
	two, _ := json.Marshal(again)
	if !bytes.Equal(one, two) {
		t.Error("measured twice, it is not the same")
	}
	for _, name := range []string{"text", "page"} {
		var b strings.Builder
		var err error
		if name == "text" {
			err = r.Text(&b, plot.Options{})
		} else {
			err = r.HTML(&b)
		}
		if err != nil || !strings.Contains(b.String(), "drawn") {
			t.Errorf("%s: %v: %s", name, err, b.String())
		}
	}
}

// The words of two sentences are lined up so that what differs stands side by side.
func TestSteps(t *testing.T) {
	score := func(text string) (s lm.Score) {
		for i, w := range strings.Fields(text) {
			if i > 0 {
				w = " " + w
			}
			s.Tokens = append(s.Tokens, lm.TokenScore{Text: w, LogProb: -float64(len(w))})
		}
		return s
	}
	for _, x := range []struct{ a, b, want string }{
		{"he is a nurse", "she is a nurse", "he/she is/is a/a nurse/nurse"},
		{"the poor are", "the very rich are", "the/the poor/very+rich are/are"},
		{"he said his dog", "she said her dog", "he/she said/said his/her dog/dog"},
		{"a b", "a b c", "a/a b/b /c"},
		{"a", "b", "a/b"},
	} {
		var got []string
		for _, s := range steps(score(x.a), score(x.b)) {
			got = append(got, strings.ReplaceAll(s.First+"/"+s.Second, " ", "+"))
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%q and %q: %v, want %s", x.a, x.b, got, x.want)
		}
	}
}

// StereoSet's scores are means over terms, and equal scores count against the stereotype.
func TestStereoSetScores(t *testing.T) {
	pair := func(term, kind string, first, second, unrelated float64) Measured {
		return Measured{Pair: Pair{Cluster: term, Groups: []string{kind}}, FirstScore: first, SecondScore: second,
			UnrelatedScore: &unrelated}
	}
	// Term a: 1 of 2 for the stereotype, 4 of 4 related; term b: 0 of 1 (a tie), 0 of 2 related.
	s := stereoSetOf([]Measured{pair("a", "race", 3, 2, 1), pair("a", "race", 2, 3, 1), pair("b", "gender", 1, 1, 1)})
	if s.Stereotype != 25 || s.Model != 50 || s.ICAT != 25 || s.Terms != 2 {
		t.Errorf("%+v, want 25, 50, 25 over 2 terms", s)
	}
	if len(s.By) != 2 || s.By[0].Group != "race" || s.By[0].Stereotype != 50 || s.By[0].Model != 100 ||
		s.By[0].ICAT != 100 {
		t.Errorf("%+v", s.By)
	}
	if stereoSetOf([]Measured{{}}) != nil {
		t.Error("a suite without unrelated sentences has StereoSet's scores")
	}
}

// The correlation with the share of women is found where it was put, and its interval holds it.
func TestOccupations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	women := map[string]float64{}
	var pairs []Measured
	for i := range 40 {
		name := fmt.Sprint("job", i)
		women[name] = 2 * float64(i)
		for range 4 {
			pairs = append(pairs, Measured{Pair: Pair{Cluster: name}, Difference: 0.05*women[name] - 2 + rng.NormFloat64()})
		}
	}
	o := occupations(pairs, women, Config{Draws: 500})
	if o == nil || len(o.Each) != 40 || math.Abs(*o.Slope.Value-0.05) > 0.01 || *o.Slope.Low > 0.05 ||
		*o.Slope.High < 0.05 || *o.Pearson.Value < 0.8 || *o.Spearman.Low < 0.5 {
		t.Errorf("%+v", o)
	}
	if occupations(pairs[:8], women, Config{}) != nil {
		t.Error("a line through two occupations")
	}
}

// write makes a file of a test.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
