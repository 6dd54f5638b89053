package batch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
)

// tell is an attribution with these words and scores.
func tell(words []string, scores []float64) *explain.Attribution {
	a := &explain.Attribution{Method: explain.MethodInfo{Name: "x"}, Unit: "logit", Scores: scores,
		Target: explain.Token{Text: " good"}}
	for i, w := range words {
		a.Features = append(a.Features, explain.Feature{Text: w, Tokens: []int{i}})
	}
	return a
}

// Means, spreads and errors are what their formulas say, computed from all scores at once; the errors are those that
// drawing the items again gives.
func TestEffects(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	all := newTally()
	var items [][]float64 // the scores of the word in each item
	for range 200 {
		shift := rng.NormFloat64()
		var words []string
		var scores []float64
		for range 1 + rng.IntN(4) {
			words, scores = append(words, " Fine", "other"), append(scores, 0.5+shift+rng.NormFloat64(), 1)
		}
		all.add(tell(words, scores))
		var of []float64
		for i := 0; i < len(scores); i += 2 {
			of = append(of, scores[i])
		}
		items = append(items, of)
	}
	mean := func(items [][]float64) (m float64, n int, all []float64) {
		for _, of := range items {
			all = append(all, of...)
		}
		for _, x := range all {
			m += x / float64(len(all))
		}
		return m, len(all), all
	}
	m, n, flat := mean(items)
	spread, again := 0.0, 0.0
	for _, x := range flat {
		spread += (x - m) * (x - m) / float64(n-1)
	}
	const draws = 2000
	for range draws {
		var drawn [][]float64
		for range items {
			drawn = append(drawn, items[rng.IntN(len(items))])
		}
		d, _, _ := mean(drawn)
		again += (d - m) * (d - m) / draws
	}
	e := all.words["fine"].effect("fine")
	if e.Count != n || e.Items != 200 || math.Abs(e.Mean-m) > 1e-9 || math.Abs(e.Spread-math.Sqrt(spread)) > 1e-9 {
		t.Errorf("%+v, want a mean of %v and a spread of %v of %d", e, m, math.Sqrt(spread), n)
	}
	if r := e.Error / math.Sqrt(again); r < 0.9 || r > 1.1 {
		t.Errorf("the error is %v, and items that are drawn again vary by %v", e.Error, math.Sqrt(again))
	}
	if one := all.words["other"].effect("other"); one.Error > 1e-9 || one.Spread > 1e-6 || one.Mean != 1 {
		t.Errorf("%+v", one)
	}
}

// The words that matter come in order, on their sides; rare ones are not counted, and those that may be 0 not shown.
func TestWordEffects(t *testing.T) {
	all := newTally()
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 40 {
		words, scores := []string{"strong", "weak", "bad", "noise"}, []float64{2, 0.5, -1, 3 * rng.NormFloat64()}
		for k := range 3 {
			scores[k] += 0.1 * rng.NormFloat64()
		}
		if i == 0 {
			words, scores = append(words, "rare"), append(scores, 9)
		}
		all.add(tell(words, scores))
	}
	e := all.effects(Summarising{Least: 3, Top: 5})
	var got []string
	for _, w := range append(e.For, e.Against...) {
		got = append(got, w.Word)
	}
	if strings.Join(got, " ") != "strong weak bad" || e.Words != 4 {
		t.Errorf("%q of %d words", got, e.Words)
	}
}

// A folder is summed up whole: how right the model is, by label, and its worst mistakes with their explanations.
func TestSummarise(t *testing.T) {
	m, out := words(t), filepath.Join(t.TempDir(), "out")
	var lines []string
	for i := range 12 {
		label := []string{"on", "mat"}[i%2]
		lines = append(lines, fmt.Sprintf(`{"text":"the %s sat %s","label":%q,"target":"on","foil":"mat"}`,
			[]string{"cat", "dog", "rug"}[i%3], []string{"the", "a"}[i/6], label))
	}
	if _, err := runOf(t, t.Context(), m, write(t, "items.jsonl", lines...), out, common); err != nil {
		t.Fatal(err)
	}
	s, err := Summarise(out, Summarising{})
	if err != nil {
		t.Fatal(err)
	}
	right, by := 0, 0.0
	for r, err := range Results(out) {
		if err != nil {
			t.Fatal(err)
		}
		if v := r.Attributions[0].Value; (v > 0) == (r.Label == "on") {
			right++
		} else {
			by = max(by, math.Abs(v))
		}
	}
	x := s.Methods[0]
	if s.Results != 12 || s.Labelled != 12 || s.Right.Share != float64(right)/12 || len(s.Methods) != 1 || x.Items != 12 ||
		x.Target != "on" || x.Foil != "mat" || len(x.Labels) != 2 || x.Labels[0].Label != "mat" || x.Labels[0].Items != 6 {
		t.Errorf("%+v", s)
	}
	if w := s.Worst[0]; len(s.Worst) != min(5, 12-right) || w.By != by || w.Choice == w.Label || len(w.Why) != 1 ||
		s.Worst[len(s.Worst)-1].By > by {
		t.Errorf("%+v", s.Worst)
	}
	if _, err := Summarise(t.TempDir(), Summarising{}); err == nil {
		t.Error("an empty folder is summed up")
	}
	if err := os.Remove(filepath.Join(out, "part-00000.jsonl")); err != nil {
		t.Fatal(err)
	}
	if _, err := Summarise(out, Summarising{}); err == nil || !strings.Contains(err.Error(), "no part that is done") {
		t.Error(err)
	}
}
