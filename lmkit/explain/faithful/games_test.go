package faithful_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/faithful"
)

// game is a game of features whose value is a function of those that are present.
type game struct {
	features int
	value    func(explain.Coalition) float64
}

func (g game) Features() int { return g.features }

func (g game) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for i, c := range of {
		out[i] = g.value(c)
	}
	return out, nil
}

// additive returns a game whose features each add their weight to base.
func additive(base float64, w []float64) game {
	return game{len(w), func(c explain.Coalition) float64 {
		v := base
		for f, in := range c {
			if in {
				v += w[f]
			}
		}
		return v
	}}
}

// and returns a game worth 1 when all of some features are there.
func and(features int, of ...int) game {
	return game{features, func(c explain.Coalition) float64 {
		for _, f := range of {
			if !c[f] {
				return 0
			}
		}
		return 1
	}}
}

// broken is a game that returns what it is told.
type broken struct {
	features int
	values   []float64
	err      error
}

func (g broken) Features() int { return g.features }

func (g broken) Values(context.Context, []explain.Coalition) ([]float64, error) {
	return g.values, g.err
}

var ctx = context.Background()

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

func check(t interface {
	Helper()
	Errorf(string, ...any)
}, what string, got, want float64) {
	t.Helper()
	if !near(got, want) && !(math.IsNaN(got) && math.IsNaN(want)) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func must[T any](t interface {
	Helper()
	Fatal(...any)
}) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// exact is a number with few bits, so that sums and differences of such have no rounding.
var exact = rapid.Map(rapid.IntRange(-1000, 1000), func(i int) float64 { return float64(i) / 64 })

var weights = rapid.SliceOfN(exact, 1, 12)

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

func sizes[T any](sets [][]T) (lo, hi int) {
	lo, hi = len(sets[0]), len(sets[0])
	for _, s := range sets {
		lo, hi = min(lo, len(s)), max(hi, len(s))
	}
	return lo, hi
}

func TestSubsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(1, 9).Draw(t, "features")
		size := rapid.IntRange(0, M).Draw(t, "size")
		count := rapid.IntRange(1, 600).Draw(t, "count")
		seed := rapid.Uint64().Draw(t, "seed")
		sets := must[[][]int](t)(faithful.Subsets(M, size, count, seed))
		total := 1<<M - 1
		if size > 0 {
			total = 1
			for i := range size {
				total = total * (M - i) / (i + 1)
			}
		}
		if len(sets) != min(count, total) {
			t.Fatalf("%d sets, want %d", len(sets), min(count, total))
		}
		slices.SortFunc(sets, slices.Compare)
		for i, s := range sets {
			if !slices.IsSorted(s) || len(slices.Compact(slices.Clone(s))) != len(s) || s[0] < 0 || s[len(s)-1] >= M {
				t.Fatalf("%v is no set of %d features", s, M)
			}
			if i > 0 && slices.Equal(s, sets[i-1]) {
				t.Fatalf("%v is drawn twice", s)
			}
		}
		if lo, hi := sizes(sets); size > 0 && (lo != size || hi != size) {
			t.Fatalf("sets of %d to %d features, want %d", lo, hi, size)
		}
		again := must[[][]int](t)(faithful.Subsets(M, size, count, seed))
		slices.SortFunc(again, slices.Compare)
		if !slices.EqualFunc(sets, again, slices.Equal) {
			t.Fatal("the same seed draws other sets")
		}
	})
}

// Without interactions, every metric is known: what is lost is the sum of the weights.
func TestErasureOfAnAdditiveGame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := weights.Draw(t, "weights")
		base := exact.Draw(t, "base")
		order := faithful.Order(w)
		k := rapid.IntRange(0, len(w)).Draw(t, "k")
		e := must[*faithful.Erasure](t)(faithful.Erase(ctx, additive(base, w), order,
			[]float64{float64(k) / float64(len(w))}))
		top := 0.0
		for _, f := range order[:k] {
			top += w[f]
		}
		check(t, "comprehensiveness", e.Comprehensiveness(), top)
		check(t, "sufficiency", e.Sufficiency(), sum(w)-top)
		check(t, "the value", e.Full, base+sum(w))

		// The best order's deletion area is the smallest, and its insertion area the largest, of all orders.
		other := rapid.Permutation(order).Draw(t, "order")
		g := additive(base, w)
		area := func(of func(context.Context, explain.Game, []int) (faithful.Curve, error), order []int) float64 {
			return must[faithful.Curve](t)(of(ctx, g, order)).Area()
		}
		if area(faithful.Deletion, order) > area(faithful.Deletion, other)+1e-9 {
			t.Fatalf("deletion in order %v has less area than the best", other)
		}
		if area(faithful.Insertion, order) < area(faithful.Insertion, other)-1e-9 {
			t.Fatalf("insertion in order %v has more area than the best", other)
		}
		// Deleting in one order is inserting in the reverse, read backwards.
		del, ins := must[faithful.Curve](t)(faithful.Deletion(ctx, g, order)),
			must[faithful.Curve](t)(faithful.Insertion(ctx, g, faithful.Order(negated(w))))
		slices.Reverse(ins)
		for i := range del {
			if distinct(w) {
				check(t, "deletion", del[i], ins[i])
			}
		}
	})
}

func negated(w []float64) []float64 {
	out := make([]float64, len(w))
	for i, v := range w {
		out[i] = -v
	}
	return out
}

func TestErasureByHand(t *testing.T) {
	// Probability 0.8 with feature 2, 0.2 without; ten features, so that the bins keep 1, 1, 1, 2 and 5.
	g := game{10, func(c explain.Coalition) float64 {
		if c[2] {
			return 0.8
		}
		return 0.2
	}}
	for _, tt := range []struct {
		name             string
		order            []int
		comp, suff, odds float64
	}{
		{"right", []int{2, 0, 1, 3, 4, 5, 6, 7, 8, 9}, 0.6, 0, math.Log(0.25)},
		{"second", []int{0, 2, 1, 3, 4, 5, 6, 7, 8, 9}, 0.6 * 2 / 5, 0.6 * 3 / 5, math.Log(0.25) * 2 / 5},
		{"last", []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 2}, 0, 0.6, 0},
	} {
		e := must[*faithful.Erasure](t)(faithful.Erase(ctx, g, tt.order, nil))
		check(t, tt.name+": comprehensiveness", e.Comprehensiveness(), tt.comp)
		check(t, tt.name+": sufficiency", e.Sufficiency(), tt.suff)
		check(t, tt.name+": log-odds", must[float64](t)(e.LogOdds()), tt.odds)
	}
	if c := must[faithful.Curve](t)(faithful.Deletion(ctx, g, []int{2, 0, 1, 3, 4, 5, 6, 7, 8, 9})); !near(c.Area(),
		0.2+0.6/20) {
		t.Errorf("the deletion curve %v has area %v", c, c.Area())
	}
	flat := faithful.Curve{3, 3, 3, 3}
	check(t, "the area of a flat curve", flat.Area(), 3)
	check(t, "the area of a point", faithful.Curve{3}.Area(), 0)
}

// Scores that add up are perfect for every set; scaled ones are, up to their scale.
func TestSumsOfAnAdditiveGame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := weights.Draw(t, "weights")
		base := exact.Draw(t, "base")
		g := additive(base, w)
		sets := must[[][]int](t)(faithful.Subsets(len(w), 0, 40, rapid.Uint64().Draw(t, "seed")))
		plain, scaled, err := faithful.Infidelity(ctx, g, w, sets)
		if err != nil || plain > 1e-18 || scaled > 1e-18 {
			t.Fatalf("the infidelity of the truth is %v, scaled %v, error %v", plain, scaled, err)
		}
		factor := rapid.Float64Range(0.1, 4).Draw(t, "factor")
		wrong := make([]float64, len(w))
		want := 0.0
		for i, v := range w {
			wrong[i] = factor * v
		}
		for _, s := range sets {
			lost := 0.0
			for _, f := range s {
				lost += w[f]
			}
			want += (factor*lost - lost) * (factor*lost - lost) / float64(len(sets))
		}
		plain, scaled, err = faithful.Infidelity(ctx, g, wrong, sets)
		if err != nil || math.Abs(plain-want) > 1e-9*max(1, want) || scaled > 1e-15*max(1, want) {
			t.Fatalf("the infidelity of %v times the truth is %v (want %v), scaled %v, error %v", factor, plain, want, scaled,
				err)
		}
		c := must[float64](t)(faithful.FaithfulnessCorrelation(ctx, g, wrong, sets))
		if !math.IsNaN(c) {
			check(t, "the correlation of the truth", c, 1)
			check(t, "that of its opposite", must[float64](t)(faithful.FaithfulnessCorrelation(ctx, g, negated(w), sets)), -1)
		}
		n := rapid.IntRange(1, len(w)).Draw(t, "n")
		if c := must[float64](t)(faithful.SensitivityN(ctx, g, wrong, n, 30, 1)); !math.IsNaN(c) && math.Abs(c-1) > 1e-6 {
			t.Fatalf("sensitivity-%d of the truth is %v", n, c)
		}
		if tau := must[float64](t)(faithful.LeaveOneOutTau(ctx, g, w)); distinct(w) && len(w) > 1 {
			check(t, "leave-one-out tau of the truth", tau, 1)
		}
	})
}

func distinct(w []float64) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(w)))) == len(w)
}

// An AND of two features, where a single loss takes all: the numbers are worked out by hand over all seven sets.
func TestSumsByHand(t *testing.T) {
	g := and(3, 0, 1)
	shapley := []float64{0.5, 0.5, 0}
	sets := must[[][]int](t)(faithful.Subsets(3, 0, 100, 0))
	// φ(S) is 0.5 for {0}, {1}, {0,2}, {1,2}; 1 for {0,1}, {0,1,2}; 0 for {2}. The loss is 1 but for {2}.
	plain, scaled, err := faithful.Infidelity(ctx, g, shapley, sets)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "infidelity", plain, 4*0.25/7)
	beta := (4*0.5 + 2*1) / (4*0.25 + 2*1)
	check(t, "scaled infidelity", scaled, (4*math.Pow(beta*0.5-1, 2)+2*math.Pow(beta-1, 2))/7)
	// Over the single sets: φ = .5, .5, 0, losses 1, 1, 0. Over pairs: φ = 1, .5, .5, losses all 1.
	check(t, "sensitivity-1", must[float64](t)(faithful.SensitivityN(ctx, g, shapley, 1, 100, 0)), 1)
	check(t, "sensitivity-2", must[float64](t)(faithful.SensitivityN(ctx, g, shapley, 2, 100, 0)), math.NaN())
	check(t, "tau", must[float64](t)(faithful.LeaveOneOutTau(ctx, g, []float64{3, 2, 1})), 2/math.Sqrt(3*2))
	check(t, "tau of the truth", must[float64](t)(faithful.LeaveOneOutTau(ctx, g, shapley)), 1)
}

// A game is asked for each coalition once, however often a metric needs it.
func TestGamesAreAskedOnce(t *testing.T) {
	asked := map[string]int{}
	g := game{4, func(c explain.Coalition) float64 {
		asked[fmt.Sprint(c)]++
		return 1
	}}
	e := must[*faithful.Erasure](t)(faithful.Erase(ctx, g, []int{0, 1, 2, 3}, []float64{0.1, 0.2, 0.25, 0.5, 1, 0}))
	// All, none, and for one and for two of four features those without and those with nothing but them.
	if len(asked) != 6 || len(e.Without) != 6 || len(e.Only) != 6 {
		t.Errorf("asked for %v", asked)
	}
	for c, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times for %s", n, c)
		}
	}
}

func TestGameErrors(t *testing.T) {
	two := additive(0, []float64{1, 2})
	down := errors.New("the engine is gone")
	erase := func(g explain.Game, order []int, shares []float64) error {
		_, err := faithful.Erase(ctx, g, order, shares)
		return err
	}
	odds := func() error {
		_, err := must[*faithful.Erasure](t)(faithful.Erase(ctx, additive(-1, []float64{1, 2}), []int{1, 0},
			[]float64{1})).LogOdds()
		return err
	}
	infidelity := func(scores []float64, sets [][]int) error {
		_, _, err := faithful.Infidelity(ctx, two, scores, sets)
		return err
	}
	subsets := func(features, size, count int) error {
		_, err := faithful.Subsets(features, size, count, 0)
		return err
	}
	sensitivity := func() error {
		_, err := faithful.SensitivityN(ctx, two, []float64{1, 2}, 0, 5, 0)
		return err
	}
	verify := func(causes ...int) error {
		_, err := faithful.Verify(ctx, two, causes)
		return err
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{erase(two, []int{0}, nil), "the order has 1 features, the game 2"},
		{erase(two, []int{0, 0}, nil), "feature 0 is there twice"},
		{erase(two, []int{0, 2}, nil), "there is no feature 2"},
		{erase(two, []int{0, 1}, []float64{1.5}), "between 0 and 1"},
		{erase(two, []int{0, 1}, []float64{math.NaN()}), "between 0 and 1"},
		{erase(two, []int{0, 1}, []float64{}), "no shares"},
		{erase(game{}, nil, nil), "at least 1"},
		{erase(broken{features: 2, err: down}, []int{0, 1}, nil), "the engine is gone"},
		{erase(broken{features: 2, values: []float64{1}}, []int{0, 1}, nil), "1 values for 3 coalitions"},
		{erase(broken{features: 2, values: []float64{1, 2, math.NaN()}}, []int{0, 1}, nil), "NaN"},
		{odds(), "probabilities above 0"},
		{infidelity([]float64{1}, [][]int{{0}}), "1 scores for a game of 2"},
		{infidelity([]float64{1, math.Inf(1)}, [][]int{{0}}), "must be finite"},
		{infidelity([]float64{1, 2}, nil), "no sets"},
		{infidelity([]float64{1, 2}, [][]int{{-1}}), "no feature -1"},
		{subsets(0, 0, 1), "at least 1"},
		{subsets(3, 4, 1), "sets of 4 of 3"},
		{subsets(3, -1, 1), "sets of -1 of 3"},
		{subsets(3, 1, 0), "at least 1"},
		{sensitivity(), "at least 1 feature"},
		{verify(), "no causes"},
		{verify(2), "the causes: there is no feature 2"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", tt.err, tt.want)
		}
	}
}
