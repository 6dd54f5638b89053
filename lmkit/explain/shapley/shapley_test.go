package shapley_test

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
	"lmkit.internal/lmkit/explain/shapley"
)

var ctx = context.Background()

// table is a game by the value of each coalition; the bits of its index say who is in it.
type table struct {
	features int
	value    []float64
	asked    *int // counts, if there is one
}

func (t table) Features() int { return t.features }

func (t table) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for k, c := range of {
		set := 0
		for i, in := range c {
			if in {
				set |= 1 << i
			}
		}
		out[k] = t.value[set]
	}
	if t.asked != nil {
		*t.asked += len(of)
	}
	return out, nil
}

// random returns a game of M features whose interactions are of up to the given order.
func random(M, order int, seed uint64) table {
	rng := rand.New(rand.NewPCG(seed, 77))
	t := table{features: M, value: make([]float64, 1<<M)}
	for range 3 * M {
		group := 0
		for range 1 + rng.IntN(order) {
			group |= 1 << rng.IntN(M)
		}
		w := rng.NormFloat64()
		for set := range t.value {
			if set&group == group {
				t.value[set] += w
			}
		}
	}
	return t
}

// method is a way to play that is exact with a budget of 2^M.
type method func(g explain.Game, budget int, seed uint64) (shapley.Estimate, error)

var methods = map[string]method{
	"exact": func(g explain.Game, _ int, _ uint64) (shapley.Estimate, error) { return shapley.Exact{}.Play(ctx, g) },
	"kernel": func(g explain.Game, b int, s uint64) (shapley.Estimate, error) {
		return shapley.Kernel{Budget: b}.Play(ctx, g, s)
	},
	"permutation": func(g explain.Game, b int, s uint64) (shapley.Estimate, error) {
		return shapley.Permutation{Budget: b}.Play(ctx, g, s)
	},
	"owen": func(g explain.Game, b int, _ uint64) (shapley.Estimate, error) {
		return shapley.Owen{Budget: b}.Play(ctx, g)
	},
	"auto": func(g explain.Game, b int, s uint64) (shapley.Estimate, error) {
		e, _, err := shapley.Auto{Budget: b}.Play(ctx, g, s)
		return e, err
	},
	"interactions": func(g explain.Game, b int, s uint64) (shapley.Estimate, error) {
		p, err := shapley.Interactions{Budget: b}.Play(ctx, g, s)
		if err != nil {
			return shapley.Estimate{}, err
		}
		return p.Estimate, nil
	},
}

func play(t rapid.TB, m method, g explain.Game, budget int, seed uint64) shapley.Estimate {
	t.Helper()
	e, err := m(g, budget, seed)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(a)) }

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

// The glove game: one left glove (0) and two right ones (1, 2); a pair is worth 1. And a known table of three.
func TestExactOnKnownGames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value []float64
		want  []float64
	}{
		{"one feature", []float64{2, 5}, []float64{3}},
		{"gloves", []float64{0, 0, 0, 1, 0, 1, 0, 1}, []float64{4. / 6, 1. / 6, 1. / 6}},
		{"three", []float64{0, 80, 56, 80, 70, 85, 72, 90}, []float64{39.1666666667, 20.6666666667, 30.1666666667}},
	} {
		g := table{features: len(tt.want), value: tt.value}
		for name, m := range methods {
			if name == "owen" {
				continue
			}
			e := play(t, m, g, 8, 1)
			for i, want := range tt.want {
				if !near(e.Scores[i], want, 1e-9) {
					t.Errorf("%s, %s: feature %d has %v, want %v", tt.name, name, i, e.Scores[i], want)
				}
			}
			if e.Full != tt.value[len(tt.value)-1] || e.Empty != tt.value[0] {
				t.Errorf("%s, %s: ends %v and %v", tt.name, name, e.Full, e.Empty)
			}
		}
	}
}

// With a budget of all coalitions, every method equals the mean over all orders of arrival.
func TestAllAgreeWithAllOrders(t *testing.T) {
	for M := 1; M <= 6; M++ {
		g := random(M, 4, uint64(M))
		want := make([]float64, M)
		n := 0.0
		permute(M, func(order []int) {
			n++
			set := 0
			for _, f := range order {
				want[f] += g.value[set|1<<f] - g.value[set]
				set |= 1 << f
			}
		})
		for name, m := range methods {
			if name == "owen" {
				continue
			}
			e := play(t, m, g, 1<<M, 3)
			for i := range want {
				if !near(e.Scores[i], want[i]/n, 1e-9) {
					t.Errorf("%s, %d features: feature %d has %v, want %v", name, M, i, e.Scores[i], want[i]/n)
				}
			}
		}
	}
}

func permute(n int, visit func([]int)) {
	var rec func(order []int)
	rec = func(order []int) {
		if len(order) == n {
			visit(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				rec(append(order, i))
			}
		}
	}
	rec(nil)
}

// The axioms, for every method at budgets that are far from enough for enumeration.
func TestAxioms(t *testing.T) {
	for name, m := range methods {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				M := rapid.IntRange(5, 9).Draw(t, "features")
				budget := rapid.IntRange(M*M+2, 150).Draw(t, "budget")
				seed := rapid.Uint64().Draw(t, "seed")
				v, w := random(M, 4, seed), random(M, 3, seed+1)
				a, b := play(t, m, v, budget, seed), play(t, m, w, budget, seed)
				if !near(sum(a.Scores), a.Full-a.Empty, 1e-9) {
					t.Fatalf("efficiency: the scores add up to %v, want %v", sum(a.Scores), a.Full-a.Empty)
				}
				if name != "exact" && a.Asked > budget {
					t.Fatalf("asked for %d coalitions with a budget of %d", a.Asked, budget)
				}
				if name == "owen" && a.Warnings != nil {
					return // which branches a budget reaches depends on the game
				}
				both := table{features: M, value: make([]float64, 1<<M)}
				for set := range both.value {
					both.value[set] = 2*v.value[set] - 3*w.value[set] + 1
				}
				c := play(t, m, both, budget, seed)
				for i := range M {
					if want := 2*a.Scores[i] - 3*b.Scores[i]; !near(c.Scores[i], want, 1e-8) {
						t.Fatalf("linearity: feature %d has %v, want %v", i, c.Scores[i], want)
					}
				}
			})
		})
	}
}

// A feature that never changes anything, and two that may stand for each other: exact methods see both; walks along
// orders see the first whatever the budget.
func TestDummyAndSymmetry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(3, 8).Draw(t, "features")
		seed := rapid.Uint64().Draw(t, "seed")
		g := random(M, 4, seed)
		for set := range g.value { // feature 0 is a dummy
			if set&1 == 0 {
				g.value[set|1] = g.value[set]
			}
		}
		for _, name := range []string{"exact", "permutation", "owen", "interactions"} {
			for _, budget := range []int{M*M + 2, 1 << M} {
				if e := play(t, methods[name], g, budget, seed); e.Warnings == nil && !near(e.Scores[0], 0, 1e-9) {
					t.Fatalf("%s, budget %d: the dummy has %v", name, budget, e.Scores[0])
				}
			}
		}
		if e := play(t, methods["kernel"], g, 1<<M, seed); !near(e.Scores[0], 0, 1e-9) {
			t.Fatalf("kernel: the dummy has %v", e.Scores[0])
		}
		for set := range g.value { // features 0 and 1 count alike
			if set&3 == 1 {
				g.value[set] = g.value[set^3]
			}
		}
		for name, m := range methods {
			if e := play(t, m, g, 1<<M, seed); name != "owen" && !near(e.Scores[0], e.Scores[1], 1e-9) {
				t.Fatalf("%s: alike, but %v and %v", name, e.Scores[0], e.Scores[1])
			}
		}
		// Owen values are symmetric within a branch.
		pair := &shapley.Tree{Left: &shapley.Tree{Feature: 1}, Right: &shapley.Tree{Feature: 0}}
		for f := 2; f < M; f++ {
			pair = &shapley.Tree{Left: pair, Right: &shapley.Tree{Feature: f}}
		}
		e, err := shapley.Owen{Budget: 1 << M, Tree: pair}.Play(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		if !near(e.Scores[0], e.Scores[1], 1e-9) {
			t.Fatalf("owen: alike in a branch, but %v and %v", e.Scores[0], e.Scores[1])
		}
	})
}

// An order and its reverse are exact where features interact at most in twos, and so is the fit.
func TestSecondOrderGamesAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(4, 10).Draw(t, "features")
		g := random(M, 2, rapid.Uint64().Draw(t, "game"))
		seed := rapid.Uint64().Draw(t, "seed")
		want := play(t, methods["exact"], g, 0, 0)
		for name, budget := range map[string]int{"permutation": 2 * M, "kernel": 2*M + 2} {
			e := play(t, methods[name], g, budget, seed)
			for i := range M {
				if !near(e.Scores[i], want.Scores[i], 1e-8) {
					t.Fatalf("%s with %d coalitions: feature %d has %v, want %v", name, budget, i, e.Scores[i], want.Scores[i])
				}
			}
		}
	})
}

// Estimates are off by about their standard errors: over many games, features and seeds, by less than one of them about
// two times in three, and by three of them seldom.
func TestStandardErrors(t *testing.T) {
	for name, budget := range map[string]int{"kernel": 150, "permutation": 300, "interactions": 500} {
		within, far, n := 0.0, 0.0, 0.0
		squares := 0.0
		for game := range uint64(12) {
			g := random(10, 5, game)
			want := play(t, methods["exact"], g, 0, 0)
			for seed := range uint64(5) {
				e := play(t, methods[name], g, budget, seed)
				for i, s := range e.Spread {
					z := math.Abs(e.Scores[i]-want.Scores[i]) / (s + 1e-12)
					if math.Abs(e.Scores[i]-want.Scores[i]) < 1e-9 {
						z = 0
					}
					n++
					squares += z * z
					if z < 1 {
						within++
					}
					if z > 3 {
						far++
					}
				}
			}
		}
		t.Logf("%s: %.2f within one standard error, %.3f beyond three, of %v", name, within/n, far/n, n)
		if n < 500 || within/n < 0.55 || within/n > 0.9 || far/n > 0.08 {
			t.Errorf("%s: %.2f within one standard error, %.3f beyond three, of %v", name, within/n, far/n, n)
		}
	}
}

// More budget, less error; and the same seed gives the same bits, another seed others.
func TestBudgetAndSeed(t *testing.T) {
	for _, name := range []string{"kernel", "permutation"} {
		var errors []float64
		for _, budget := range []int{60, 200, 700} {
			total := 0.0
			for game := range uint64(10) {
				g := random(12, 5, game)
				want := play(t, methods["exact"], g, 0, 0)
				for i, s := range play(t, methods[name], g, budget, 1).Scores {
					total += (s - want.Scores[i]) * (s - want.Scores[i])
				}
			}
			errors = append(errors, total)
		}
		if !(errors[0] > 1.5*errors[1] && errors[1] > 1.5*errors[2]) {
			t.Errorf("%s: squared errors %v do not fall", name, errors)
		}
		g := random(9, 4, 1)
		a, b, c := play(t, methods[name], g, 100, 1), play(t, methods[name], g, 100, 1), play(t, methods[name], g, 100, 2)
		if !slices.Equal(a.Scores, b.Scores) || !slices.Equal(a.Spread, b.Spread) {
			t.Errorf("%s: the same seed gives other scores", name)
		}
		if slices.Equal(a.Scores, c.Scores) {
			t.Errorf("%s: another seed gives the same scores", name)
		}
	}
}

// No coalition is asked for twice.
func TestDuplicatesAreAskedOnce(t *testing.T) {
	for name, m := range methods {
		asked := 0
		g := random(7, 4, 1)
		g.asked = &asked
		e := play(t, m, g, 80, 1)
		if asked != e.Asked || asked > 128 {
			t.Errorf("%s: %d values were asked for, %d coalitions reported", name, asked, e.Asked)
		}
	}
}

func TestAutoSaysWhatItTook(t *testing.T) {
	for _, tt := range []struct {
		features, budget int
		want             string
	}{
		{12, 0, "shapley-exact"}, {14, 0, "kernel-shap"}, {14, 1 << 14, "shapley-exact"}, {14, 230, "kernel-shap"},
		{14, 200, "permutation-shapley"}, {14, 20, "owen"},
	} {
		e, c, err := shapley.Auto{Budget: tt.budget}.Play(ctx, random(tt.features, 3, 1), 1)
		if err != nil {
			t.Fatal(err)
		}
		if c.Chosen != tt.want || c.Why == "" || e.Enumerated != (tt.want == "shapley-exact") {
			t.Errorf("%d features, budget %d: chose %s because %q, want %s", tt.features, tt.budget, c.Chosen, c.Why, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	bad := random(3, 2, 1)
	bad.value[3] = math.NaN()
	for _, tt := range []struct {
		name string
		play func() error
		want string
	}{
		{"too many", func() error { _, err := shapley.Exact{}.Play(ctx, random(13, 2, 1)); return err },
			"at most 12 features"},
		{"most", func() error { _, err := shapley.Exact{Most: 21}.Play(ctx, random(3, 2, 1)); return err }, "1 to 20"},
		{"kernel", func() error { _, err := shapley.Kernel{Budget: 20}.Play(ctx, random(13, 2, 1), 1); return err },
			"at least 28"},
		{"permutation", func() error {
			_, err := shapley.Permutation{Budget: 20}.Play(ctx, random(13, 2, 1),
				1)
			return err
		}, "at least 26"},
		{"owen", func() error { _, err := shapley.Owen{Budget: -1}.Play(ctx, random(13, 2, 1)); return err }, "at least 2"},
		{"interactions", func() error {
			_, err := shapley.Interactions{Budget: 20}.Play(ctx, random(13, 2, 1),
				1)
			return err
		}, "at least 171"},
		{"tree", func() error {
			_, err := shapley.Owen{Tree: &shapley.Tree{Left: &shapley.Tree{Feature: 4}}}.Play(ctx, random(2, 2, 1))
			return err
		}, "has one branch"},
		{"leaf", func() error {
			_, err := shapley.Owen{Tree: &shapley.Tree{Feature: 4}}.Play(ctx, random(2, 2, 1))
			return err
		}, "holds feature 4"},
		{"nan", func() error { _, err := shapley.Exact{}.Play(ctx, bad); return err }, "too large to compute with"},
	} {
		if err := tt.play(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// On models: with seven features all methods but Owen agree with enumeration, and a token equal to its baseline is
// worth nothing.
func TestOnModels(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "#7"}
		want, err := explaintest.Explain(ctx, m, q, shapley.Exact{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := explaintest.Explain(ctx, m, q, shapley.Interactions{})
		if err != nil {
			t.Fatal(err)
		}
		pairs, err := explain.ExplainMatrix(ctx, m, q, shapley.Interactions{})
		if err != nil {
			t.Fatal(err)
		}
		explaintest.CheckMatrix(t, pairs)
		explaintest.Check(t, x)
		if len(pairs.Values) != 7 || !pairs.Evidence.Completeness.Holds || pairs.Promise.Each != explain.Diagonal {
			t.Errorf("%s: interactions of %d features: %+v", name, len(pairs.Values), pairs.Evidence.Completeness)
		}
		for i, s := range x.Scores {
			if pairs.Values[i][i] != s {
				t.Errorf("%s: feature %d has %v on the diagonal, and the score %v", name, i, pairs.Values[i][i], s)
			}
		}
		for _, method := range []explain.Method{shapley.Exact{}, shapley.Kernel{Budget: 128}, shapley.Kernel{Budget: 40},
			shapley.Permutation{Budget: 128}, shapley.Permutation{Budget: 60}, shapley.Owen{}, shapley.Owen{Budget: 10},
			shapley.Auto{}} {
			a, err := explaintest.Explain(ctx, m, q, method)
			if err != nil {
				t.Fatal(err)
			}
			explaintest.Check(t, a)
			if !a.Evidence.Completeness.Holds {
				t.Errorf("%s, %s: not complete: %+v", name, a.Method.Name, a.Evidence.Completeness)
			}
			for i, s := range a.Scores {
				if i == 3 || i == 4 { // the tokens #7
					if math.Abs(s) > 1e-5 && a.Method.Name != "owen" && a.Method.Name != "kernel-shap" {
						t.Errorf("%s, %s: a token equal to its baseline has %v", name, a.Method.Name, s)
					}
				}
				if a.Spread == nil && a.Method.Name != "owen" && math.Abs(s-want.Scores[i]) > 1e-5 {
					t.Errorf("%s, %s: feature %d has %v, want %v", name, a.Method.Name, i, s, want.Scores[i])
				}
			}
		}
	}
}
