package surrogate_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/surrogate"
)

var ctx = context.Background()

// game is a number that depends on who is present.
type game struct {
	features int
	value    func(explain.Coalition) float64
	asked    *int
}

func (g game) Features() int { return g.features }

func (g game) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for i, c := range of {
		out[i] = g.value(c)
	}
	if g.asked != nil {
		*g.asked += len(of)
	}
	return out, nil
}

// additive returns a game whose features each add their weight to an offset.
func additive(offset float64, weights []float64) game {
	return game{features: len(weights), value: func(c explain.Coalition) float64 {
		sum := offset
		for i, in := range c {
			if in {
				sum += weights[i]
			}
		}
		return sum
	}}
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(a)) }

// A linear game is its own surrogate, up to the ridge, which shrinks little against thousands of samples. (Of two
// features, nearly all samples hold exactly one, so that the ridge decides what both are worth.)
func TestLinearGame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SliceOfN(rapid.Float64Range(-5, 5), 3, 16).Draw(t, "weights")
		fit, err := surrogate.LIME{Samples: 4096}.Play(ctx, additive(3, w), 1)
		if err != nil {
			t.Fatal(err)
		}
		size := 0.0
		for _, x := range w {
			size += math.Abs(x)
		}
		for i := range w {
			if math.Abs(fit.Scores[i]-w[i]) > 0.03*size+1e-9 {
				t.Fatalf("feature %d has %v, want %v", i, fit.Scores[i], w[i])
			}
		}
		if size > 0.1 && fit.R2 < 0.99 || fit.Enumerated != (len(w) <= 12) || fit.Enumerated != (fit.Spread == nil) {
			t.Fatalf("R2 %v, enumerated %v", fit.R2, fit.Enumerated)
		}
	})
}

// What all coalitions give at once is what samples give on average.
func TestEnumerationIsTheMeanOfSamples(t *testing.T) {
	g := game{features: 6, value: func(c explain.Coalition) float64 {
		v := 0.0
		for i, in := range c {
			if in {
				v = math.Tanh(v + 0.3*float64(i) - 0.5)
			}
		}
		return v
	}}
	want, err := surrogate.LIME{Samples: 64}.Play(ctx, g, 0)
	if err != nil {
		t.Fatal(err)
	}
	const runs = 300
	mean, variance, claimed := make([]float64, 6), make([]float64, 6), make([]float64, 6)
	var all [][]float64
	for seed := range uint64(runs) {
		fit, err := surrogate.LIME{Samples: 63}.Play(ctx, g, seed)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fit.Scores)
		for i, s := range fit.Scores {
			mean[i] += s / runs
			claimed[i] += fit.Spread[i] / runs
		}
	}
	for i := range mean {
		for _, s := range all {
			variance[i] += (s[i] - mean[i]) * (s[i] - mean[i]) / (runs - 1)
		}
		sd := math.Sqrt(variance[i])
		// The mean of a ratio is a little off the ratio of means: half a standard deviation of one run is allowed.
		if math.Abs(mean[i]-want.Scores[i]) > 0.5*sd {
			t.Errorf("feature %d: %v on average, %v enumerated (standard deviation %v)", i, mean[i], want.Scores[i], sd)
		}
		if claimed[i] < 0.6*sd || claimed[i] > 1.7*sd {
			t.Errorf("feature %d: standard error %v, but scores vary by %v", i, claimed[i], sd)
		}
	}
}

// Feature selection finds the features that count, and leaves zeros elsewhere.
func TestSelection(t *testing.T) {
	w := make([]float64, 15)
	for i, f := range []int{3, 11, 7, 2, 0, 14, 9, 5} {
		w[f] = float64(10 - i)
	}
	for _, n := range []int{1, 3, 6, 8} {
		fit, err := surrogate.LIME{Samples: 1500, Features: n}.Play(ctx, additive(0, w), 1)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for f, s := range fit.Scores {
			if s != 0 {
				got = append(got, f)
			}
		}
		want := slices.Sorted(slices.Values([]int{3, 11, 7, 2, 0, 14, 9, 5}[:n]))
		if !slices.Equal(got, want) {
			t.Errorf("%d features: got %v, want %v", n, got, want)
		}
	}
}

func TestSeedAndDuplicates(t *testing.T) {
	asked := 0
	rng := rand.New(rand.NewPCG(1, 1))
	w := make([]float64, 8)
	for i := range w {
		w[i] = rng.NormFloat64()
	}
	g := additive(0, w)
	g.asked = &asked
	play := func(seed uint64) *surrogate.Local {
		fit, err := surrogate.LIME{Samples: 200}.Play(ctx, g, seed)
		if err != nil {
			t.Fatal(err)
		}
		return fit
	}
	a := play(1)
	if asked != a.Asked || asked >= 200 {
		t.Errorf("asked for %d coalitions, reported %d: duplicates are to be asked for once", asked, a.Asked)
	}
	if b := play(1); !slices.Equal(a.Scores, b.Scores) {
		t.Error("the same seed gives other scores")
	}
	if b := play(2); slices.Equal(a.Scores, b.Scores) {
		t.Error("another seed gives the same scores")
	}
}

func TestOnModels(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, method := range []explain.Method{surrogate.LIME{}, surrogate.LIME{Samples: 60, Features: 3},
			surrogate.LocalTree{}, surrogate.LocalTree{Samples: 60}} {
			a, err := explaintest.Explain(ctx, m, explain.Question{IDs: explaintest.IDs(), Seed: 3}, method)
			if err != nil {
				t.Fatal(err)
			}
			explaintest.Check(t, a)
			if s := string(a.Method.Settings); !strings.Contains(s, `"r2":`) {
				t.Errorf("%s: settings %s", name, s)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	nan := game{features: 3, value: func(c explain.Coalition) float64 { return math.NaN() }}
	for _, tt := range []struct {
		lime surrogate.LIME
		game game
		want string
	}{
		{surrogate.LIME{Samples: 1}, additive(0, []float64{1}), "at least two samples"},
		{surrogate.LIME{Width: -1}, additive(0, []float64{1}), "nothing negative"},
		{surrogate.LIME{}, nan, "too large to compute with"},
	} {
		if _, err := tt.lime.Play(ctx, tt.game, 1); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.lime, err, tt.want)
		}
	}
}
