package faithful_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain/faithful"
)

func TestAgreeByHand(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b []float64
		k    int
		want faithful.Agreement
	}{
		{"the same", []float64{3, -2, 1}, []float64{3, -2, 1}, 2, faithful.Agreement{Feature: 1, Rank: 1, Sign: 1,
			SignedRank: 1, Correlation: 1, Pairwise: 1}},
		{"opposite signs", []float64{3, -2, 1}, []float64{-3, 2, -1}, 2, faithful.Agreement{Feature: 1, Rank: 1,
			Correlation: 1, Pairwise: 1}},
		{"top two swapped", []float64{3, -2, 1}, []float64{2, -3, 1}, 2, faithful.Agreement{Feature: 1, Sign: 1,
			Correlation: 0.5, Pairwise: 2. / 3}},
		{"reversed", []float64{4, 3, 2, 1}, []float64{1, 2, 3, 4}, 2, faithful.Agreement{Correlation: -1}},
		{"one swapped and one turned", []float64{4, 3, 2, 1}, []float64{4, 2, -3, 1}, 3,
			faithful.Agreement{Feature: 1, Rank: 1. / 3, Sign: 2. / 3, SignedRank: 1. / 3, Correlation: 0.8, Pairwise: 5. / 6}},
		{"constant", []float64{1, 1}, []float64{1, 2}, 9, faithful.Agreement{Feature: 1, Sign: 1, Correlation: math.NaN()}},
		{"single", []float64{1}, []float64{2}, 1, faithful.Agreement{Feature: 1, Rank: 1, Sign: 1, SignedRank: 1,
			Correlation: math.NaN(), Pairwise: math.NaN()}},
	} {
		got := must[faithful.Agreement](t)(faithful.Agree(tt.a, tt.b, tt.k))
		check(t, tt.name+": feature agreement", got.Feature, tt.want.Feature)
		check(t, tt.name+": rank agreement", got.Rank, tt.want.Rank)
		check(t, tt.name+": sign agreement", got.Sign, tt.want.Sign)
		check(t, tt.name+": signed-rank agreement", got.SignedRank, tt.want.SignedRank)
		check(t, tt.name+": correlation", got.Correlation, tt.want.Correlation)
		check(t, tt.name+": pairwise agreement", got.Pairwise, tt.want.Pairwise)
	}
}

func TestAgreeInGeneral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := weights.Draw(t, "a")
		b := rapid.SliceOfN(rapid.Float64Range(-10, 10), len(a), len(a)).Draw(t, "b")
		k := rapid.IntRange(1, len(a)).Draw(t, "k")
		x, y := must[faithful.Agreement](t)(faithful.Agree(a, b, k)), must[faithful.Agreement](t)(faithful.Agree(b, a, k))
		for _, v := range []float64{x.Feature - y.Feature, x.Rank - y.Rank, x.Sign - y.Sign, x.SignedRank - y.SignedRank} {
			check(t, "the difference of a with b and b with a", v, 0)
		}
		if x.SignedRank > min(x.Rank, x.Sign)+1e-12 || max(x.Rank, x.Sign) > x.Feature+1e-12 {
			t.Fatalf("%+v: the stricter agreement is larger", x)
		}
		if tau := must[float64](t)(faithful.Kendall(a, b)); tau > 1 || tau < -1 {
			t.Fatalf("tau is %v", tau)
		}
	})
}

func TestKendall(t *testing.T) {
	for _, tt := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{10, 20, 30}, 1},
		{[]float64{1, 2, 3}, []float64{3, 2, 1}, -1},
		{[]float64{1, 2, 3, 4}, []float64{1, 3, 2, 4}, 2. / 3},
		{[]float64{1, 1, 2}, []float64{1, 2, 3}, 2 / math.Sqrt(2*3)},
		{[]float64{1, 1}, []float64{1, 2}, math.NaN()},
		{[]float64{1}, []float64{1}, math.NaN()},
	} {
		check(t, "tau", must[float64](t)(faithful.Kendall(tt.a, tt.b)), tt.want)
	}
}

func TestFindByHand(t *testing.T) {
	for _, tt := range []struct {
		name   string
		scores []float64
		causes []int
		want   faithful.Finding
	}{
		{"found", []float64{0, 3, 0, 1}, []int{1, 3}, faithful.Finding{Precision: 1, MeanRank: 1.5, Mass: 1, Pointing: 1}},
		{"half", []float64{2, 3, 0, 1}, []int{1, 3}, faithful.Finding{Precision: 0.5, MeanRank: 2, Mass: 4. / 6,
			Pointing: 1}},
		{"negative", []float64{0, -3, 1, 0}, []int{1}, faithful.Finding{MeanRank: 4}},
		{"all alike", []float64{2, 2, 2, 2}, []int{0}, faithful.Finding{Precision: 0.25, MeanRank: 2.5, Mass: 0.25,
			Pointing: 0.25}},
		{"all zero", []float64{0, 0, 0, 0}, []int{0}, faithful.Finding{Precision: 0.25, MeanRank: 2.5, Pointing: 0.25}},
		{"tied for the second place", []float64{5, 1, 1, 0}, []int{0, 1}, faithful.Finding{Precision: 0.75, MeanRank: 1.75,
			Mass: 6. / 7, Pointing: 1}},
		{"nearly the largest numbers", []float64{math.MaxFloat64, math.MaxFloat64, 0}, []int{0},
			faithful.Finding{Precision: 0.5, MeanRank: 1.5, Mass: 0.5, Pointing: 0.5}},
	} {
		got := must[faithful.Finding](t)(faithful.Find(tt.scores, tt.causes))
		check(t, tt.name+": precision", got.Precision, tt.want.Precision)
		check(t, tt.name+": mean rank", got.MeanRank, tt.want.MeanRank)
		check(t, tt.name+": mass", got.Mass, tt.want.Mass)
		check(t, tt.name+": pointing", got.Pointing, tt.want.Pointing)
	}
}

// A finding is the mean over all orders of tied scores: adding a tiny different number to each, in every order, and
// averaging gives the same.
func TestFindAveragesOverTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 5).Draw(t, "levels")
		causes := rapid.SliceOfNDistinct(rapid.IntRange(0, len(levels)-1), 1, len(levels), rapid.ID[int]).Draw(t, "causes")
		scores := make([]float64, len(levels))
		for i, l := range levels {
			scores[i] = float64(l)
		}
		got := must[faithful.Finding](t)(faithful.Find(scores, causes))
		var mean faithful.Finding
		n := 0.0
		permutations(len(scores), func(p []int) {
			n++
			broken := slices.Clone(scores)
			for i := range broken {
				broken[i] += float64(p[i]) * 1e-6
			}
			f := must[faithful.Finding](t)(faithful.Find(broken, causes))
			mean.Precision, mean.MeanRank, mean.Pointing = mean.Precision+f.Precision, mean.MeanRank+f.MeanRank,
				mean.Pointing+f.Pointing
		})
		check(t, "precision", got.Precision, mean.Precision/n)
		check(t, "mean rank", got.MeanRank, mean.MeanRank/n)
		check(t, "pointing", got.Pointing, mean.Pointing/n)
	})
}

func permutations(n int, visit func([]int)) {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	var rec func(int)
	rec = func(k int) {
		if k == n {
			visit(p)
			return
		}
		for i := k; i < n; i++ {
			p[k], p[i] = p[i], p[k]
			rec(k + 1)
			p[k], p[i] = p[i], p[k]
		}
	}
	rec(0)
}

func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name                         string
		game                         game
		causes                       []int
		right, necessary, sufficient bool
	}{
		{"the cause alone", additive(0, []float64{4, 0, 0}), []int{0}, true, true, true},
		{"another cause", additive(0, []float64{0, 4, 0}), []int{0}, true, false, false},
		{"no cause at all", additive(4, []float64{0, 0}), []int{0}, true, false, true},
		{"half of the margin", additive(0, []float64{2, 2}), []int{0}, true, true, true},
		{"less than half", additive(0, []float64{1.9, 2.1}), []int{0}, true, false, true},
		{"needs the others", additive(-3, []float64{4, 4}), []int{0}, true, true, true},
		{"one of two that must be there", game(and(2, 0, 1)), []int{0}, true, true, false},
		{"both", game(and(2, 0, 1)), []int{0, 1}, true, true, true},
		{"a wrong answer", additive(-9, []float64{4, 4}), []int{0, 1}, false, false, false},
	} {
		v := must[faithful.Verification](t)(faithful.Verify(ctx, tt.game, tt.causes))
		if v.Right() != tt.right || v.Necessary() != tt.necessary || v.Sufficient() != tt.sufficient ||
			v.Holds() != (tt.necessary && tt.sufficient) {
			t.Errorf("%s: %+v: right %v, necessary %v, sufficient %v", tt.name, v, v.Right(), v.Necessary(), v.Sufficient())
		}
	}
}

func TestBootstrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := weights.Draw(t, "values")
		r := faithful.Resampling{Seed: rapid.Uint64().Draw(t, "seed"), Times: 200}
		e := must[faithful.Interval](t)(faithful.Bootstrap(values, r))
		check(t, "the mean", e.Mean, sum(values)/float64(len(values)))
		lo, hi := slices.Min(values), slices.Max(values)
		if e.Low > e.High || e.Low < lo-1e-9 || e.High > hi+1e-9 || e.Count != len(values) {
			t.Fatalf("%+v of values from %v to %v", e, lo, hi)
		}
		if again := must[faithful.Interval](t)(faithful.Bootstrap(values, r)); again != e {
			t.Fatalf("the same seed gives %+v and %+v", e, again)
		}
		wider := r
		wider.Level = 0.99
		if w := must[faithful.Interval](t)(faithful.Bootstrap(values, wider)); w.Low > e.Low || w.High < e.High {
			t.Fatalf("99 %%: %+v is narrower than 95 %%: %+v", w, e)
		}
	})
	// The interval of n coin throws is about 1.96 standard errors to each side.
	coins := make([]float64, 400)
	for i := range coins {
		coins[i] = float64(i % 2)
	}
	e := must[faithful.Interval](t)(faithful.Bootstrap(coins, faithful.Resampling{Times: 4000}))
	for _, half := range []float64{e.Mean - e.Low, e.High - e.Mean} {
		if want := 1.96 * 0.5 / math.Sqrt(400); math.Abs(half-want) > 0.1*want {
			t.Errorf("%+v: half of the interval is %v, want about %v", e, half, want)
		}
	}
	for _, s := range []uint64{1, 2} {
		if o := must[faithful.Interval](t)(faithful.Bootstrap(coins, faithful.Resampling{Times: 100, Seed: s})); o == e {
			t.Errorf("seed %d draws nothing of its own", s)
		}
	}
}

func TestCompareErrors(t *testing.T) {
	nan := math.NaN()
	agree := func(a, b []float64, k int) error { _, err := faithful.Agree(a, b, k); return err }
	kendall := func(a, b []float64) error { _, err := faithful.Kendall(a, b); return err }
	find := func(s []float64, causes ...int) error { _, err := faithful.Find(s, causes); return err }
	bootstrap := func(v []float64, r faithful.Resampling) error { _, err := faithful.Bootstrap(v, r); return err }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{agree(nil, nil, 1), "no scores"},
		{agree([]float64{1}, []float64{1, 2}, 1), "1 scores against 2"},
		{agree([]float64{1}, []float64{1}, 0), "the top 0"},
		{agree([]float64{nan}, []float64{1}, 1), "must be finite"},
		{kendall([]float64{1}, nil), "1 scores against 0"},
		{kendall([]float64{1}, []float64{nan}), "must be finite"},
		{find([]float64{1}), "no causes"},
		{find([]float64{1}, 1), "no feature 1"},
		{find([]float64{1, 2}, 1, 1), "twice"},
		{find([]float64{nan}, 0), "must be finite"},
		{bootstrap(nil, faithful.Resampling{}), "no values"},
		{bootstrap([]float64{nan}, faithful.Resampling{}), "NaN"},
		{bootstrap([]float64{1}, faithful.Resampling{Level: 1, Times: -1}), "between 0 and 1"},
		{bootstrap([]float64{1}, faithful.Resampling{Level: 1, Times: -1}), "-1 times"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("got error %v, want one with %q", tt.err, tt.want)
		}
	}
}
