package gradient_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

func run(t *testing.T, m *lm.Model, method explain.Method, q explain.Question) *explain.Attribution {
	t.Helper()
	a, err := explaintest.Explain(context.Background(), m, q, method)
	if err != nil {
		t.Fatal(err)
	}
	explaintest.Check(t, a)
	return a
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

// Integrated gradients add up, and agree with a plain sum over many midpoints, for every objective and baseline.
func TestIntegratedIsComplete(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, objective := range explain.Objectives {
			for _, baseline := range []string{"mean", "zero", "#5", "zero,mean,#2"} {
				q := explain.Question{IDs: explaintest.IDs(), Objective: objective, Baseline: baseline, Tolerance: 1e-3}
				a := run(t, m, gradient.Integrated{}, q)
				c := a.Evidence.Completeness
				if c == nil || !c.Holds || len(a.Warnings) > 0 && strings.Contains(a.Warnings[0], "add up") {
					t.Errorf("%s, %s, %s: the scores do not add up: %+v %v", name, objective, baseline, c, a.Warnings)
					continue
				}
				if d := sum(a.Scores) - (a.Value - a.Base); !near(d, c.Error, 1e-9) || math.Abs(d) > 1e-3*math.Abs(a.Value-a.Base) {
					t.Errorf("%s, %s, %s: off by %v, reported %v", name, objective, baseline, d, c.Error)
				}
				if (a.Spread != nil) != strings.Contains(baseline, ",") {
					t.Errorf("%s: spread %v for baseline %s", name, a.Spread, baseline)
				}
			}
		}
	}
}

func TestIntegratedAgainstMidpoints(t *testing.T) {
	const n = 400
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		a := run(t, m, gradient.Integrated{}, explain.Question{IDs: ids, Baseline: "#5", Tolerance: 1e-4})
		table, err := m.Embeddings(append([]token.ID{5}, ids...)...)
		if err != nil {
			t.Fatal(err)
		}
		base := table.Index(0)
		q := lm.Query{Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{
			{Pos: -1, ID: token.ID(a.Target.ID), Weight: 1}, {Pos: -1, ID: token.ID(a.Foil.ID), Weight: -1}}}},
			Wrt: []lm.Tap{"embed"}}
		for i := range n {
			q.Rows = append(q.Rows, ids)
			q.Edits = append(q.Edits, lm.Edit{Tap: "embed", Rows: []int{i}, Keep: (float64(i) + 0.5) / n,
				With: lm.FromValues(base)})
		}
		g, err := m.Run(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for p := range ids {
			want := 0.0
			for i := range n {
				for d, v := range g.Grad["embed"].Index(i, p).Data {
					want += float64(v) * float64(table.Index(p + 1).Data[d]-base.Data[d]) / n
				}
			}
			if !near(a.Scores[p], want, 1e-3*max(1, math.Abs(want))) {
				t.Errorf("%s: token %d has %v, by midpoints %v", name, p, a.Scores[p], want)
			}
		}
	}
}

// A feature that equals its baseline gets nothing (dummy), and a question turned round gets the opposite.
func TestIntegratedAxioms(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		target, foil := token.ID(2), token.ID(6)
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "#7", Target: []token.ID{target}, Foil: []token.ID{foil}}
		a := run(t, m, gradient.Integrated{}, q)
		for _, p := range []int{3, 4} { // these are token 7
			if a.Scores[p] != 0 {
				t.Errorf("%s: token %d is its own baseline, but has %v", name, p, a.Scores[p])
			}
		}
		q.Target, q.Foil = []token.ID{foil}, []token.ID{target}
		b := run(t, m, gradient.Integrated{}, q)
		for i := range a.Scores {
			if !near(a.Scores[i], -b.Scores[i], 1e-5) {
				t.Errorf("%s: feature %d has %v one way and %v the other", name, i, a.Scores[i], b.Scores[i])
			}
		}
	}
}

// Groups get what their tokens get, and tokens in no group stay as they are.
func TestGroups(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "mean", Tolerance: 1e-4}
		single := run(t, m, gradient.Integrated{}, q)
		q.Groups = [][]int{{0, 6}, {1, 2}, {3, 4, 5}}
		grouped := run(t, m, gradient.Integrated{}, q)
		want := []float64{single.Scores[0] + single.Scores[6], single.Scores[1] + single.Scores[2], sum(single.Scores[3:6])}
		for i := range want {
			if !near(grouped.Scores[i], want[i], 1e-3*max(1, math.Abs(want[i]))) {
				t.Errorf("%s: group %d has %v, its tokens %v", name, i, grouped.Scores[i], want[i])
			}
		}
		q.Groups = [][]int{{2}}
		part := run(t, m, gradient.Integrated{}, q)
		if c := part.Evidence.Completeness; !c.Holds || part.Base == single.Base {
			t.Errorf("%s: one token alone: %+v, base %v", name, c, part.Base)
		}
	}
}

// A rule too coarse for the model says so, and how to cure it.
func TestCoarseRuleIsFlagged(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		a := run(t, m, gradient.Integrated{Steps: 1}, explain.Question{IDs: explaintest.IDs(), Baseline: "mean",
			Tolerance: 1e-4})
		if a.Evidence.Completeness.Holds || len(a.Warnings) == 0 ||
			!strings.Contains(a.Warnings[0], "leave the number of steps out") {
			t.Errorf("%s: one step is said to be enough: %+v %v", name, a.Evidence.Completeness, a.Warnings)
		}
	}
}

func TestSequential(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, baseline := range []string{"#5", "mean,zero"} {
			q := explain.Question{IDs: explaintest.IDs(), Baseline: baseline, Tolerance: 1e-3}
			a := run(t, m, gradient.Sequential{}, q)
			p, err := explain.Prepare(context.Background(), m, q)
			if err != nil {
				t.Fatal(err)
			}
			game := p.Game()
			for f, got := range a.Scores {
				c := make(explain.Coalition, len(a.Scores))
				for i := range c {
					c[i] = i != f
				}
				v, err := game.Values(context.Background(), []explain.Coalition{c})
				if err != nil {
					t.Fatal(err)
				}
				if want := a.Value - v[0]; !near(got, want, 2e-3*max(1, math.Abs(want))) {
					t.Errorf("%s, %s: feature %d has %v, but its removal changes %v", name, baseline, f, got, want)
				}
			}
		}
	}
}

func TestSaliencyAndInputXGradient(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		q := explain.Question{IDs: ids, Objective: explain.LogProb}
		target := run(t, m, gradient.Saliency{}, q).Target.ID
		g, err := m.Gradient(context.Background(), [][]token.ID{ids},
			[]lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: token.ID(target), Weight: 1}}}}, []lm.Tap{"embed"})
		if err != nil {
			t.Fatal(err)
		}
		l1, l2, product := run(t, m, gradient.Saliency{Norm: 1}, q), run(t, m, gradient.Saliency{}, q),
			run(t, m, gradient.InputXGradient{}, q)
		for p := range ids {
			var one, two, dot float64
			for d, v := range g.Grad["embed"].Index(0, p).Data {
				one += math.Abs(float64(v))
				two += float64(v) * float64(v)
				dot += float64(v) * float64(g.At["embed"].Index(0, p).Data[d])
			}
			if !near(l1.Scores[p], one, 1e-6*one) || !near(l2.Scores[p], math.Sqrt(two), 1e-6*one) ||
				!near(product.Scores[p], dot, 1e-6) {
				t.Errorf("%s: token %d: %v %v %v, want %v %v %v", name, p, l1.Scores[p], l2.Scores[p], product.Scores[p], one,
					math.Sqrt(two), dot)
			}
		}
		if l1.Evidence.Completeness != nil || product.Evidence.Completeness != nil {
			t.Errorf("%s: completeness is claimed for a method that does not promise it", name)
		}
	}
}

// With little noise SmoothGrad is saliency; with much, it depends on the seed, and on nothing else.
func TestSmooth(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs()}
		plain, calm := run(t, m, gradient.Saliency{}, q), run(t, m, gradient.Smooth{Samples: 10, Noise: 1e-4}, q)
		for i := range plain.Scores {
			if !near(plain.Scores[i], calm.Scores[i], 1e-2*max(plain.Scores[i], 0.01)) {
				t.Errorf("%s: feature %d has %v without noise, %v with little", name, i, plain.Scores[i], calm.Scores[i])
			}
		}
		first, again := run(t, m, gradient.Smooth{Samples: 20}, q), run(t, m, gradient.Smooth{Samples: 20}, q)
		q.Seed, q.Memory = 1, 1
		other := run(t, m, gradient.Smooth{Samples: 20}, q)
		if !slices.Equal(first.Scores, again.Scores) || slices.Equal(first.Scores, other.Scores) {
			t.Errorf("%s: the seed does not decide the result", name)
		}
	}
}

// When all baselines are the same text, expected gradients are a noisy estimate of integrated gradients.
func TestExpected(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "#5"}
		reference := make([]token.ID, len(q.IDs))
		for i := range reference {
			reference[i] = 5
		}
		want := run(t, m, gradient.Integrated{}, q)
		got := run(t, m, gradient.Expected{Samples: 400, References: [][]token.ID{reference}}, q)
		for i := range want.Scores {
			if !near(got.Scores[i], want.Scores[i], 0.02*max(1, math.Abs(want.Scores[i]))) {
				t.Errorf("%s: feature %d has %v +- %v, integrated %v", name, i, got.Scores[i], got.Spread[i], want.Scores[i])
			}
		}
		if !near(got.Base, want.Base, 1e-4) {
			t.Errorf("%s: base %v, want %v", name, got.Base, want.Base)
		}
		random := run(t, m, gradient.Expected{Samples: 300}, q)
		if c := random.Evidence.Completeness; c.Relative > 0.5 {
			t.Errorf("%s: random baselines: %+v", name, c)
		}
	}
}

// A budget holds, and one that is below the first round is said to.
func TestBudget(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, tolerance := range []float64{0.01, 1e-9} {
			q := explain.Question{IDs: explaintest.IDs(), Tolerance: tolerance, FirstToken: explain.ScoreFirst}
			for _, budget := range []int{1, 13, 14, 64, 500} {
				a := run(t, m, gradient.Integrated{Budget: budget}, q)
				filling, others := 2*95, 20 // points that fill up a query, and the rows of preparation and evidence
				if rows := a.Cost.ForwardRows + a.Cost.BackwardRows; rows > max(budget, 32)+filling+others {
					t.Errorf("%s: %d rows, where the budget is %d", name, rows, budget)
				}
				said := slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.Contains(w, "takes at least the 14") })
				if said != (budget < 14) {
					t.Errorf("%s: budget %d: warnings %q", name, budget, a.Warnings)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	m := explaintest.Models(t)["lstm"]
	q := explain.Question{IDs: explaintest.IDs()}
	for _, tt := range []struct {
		method explain.Method
		want   string
	}{
		{gradient.Saliency{Norm: 3}, "no norm 3"},
		{gradient.Integrated{Steps: -1}, "must be positive"},
		{gradient.Integrated{Steps: 1e9}, "more than any integral needs"},
		{gradient.Sequential{Budget: -1}, "must be positive"},
		{gradient.Smooth{Samples: 2}, "at least 5"},
		{gradient.Expected{Samples: 1}, "at least 2"},
		{gradient.Expected{References: [][]token.ID{{1}}}, "has 1 tokens, the input 7"},
	} {
		if _, err := explaintest.Explain(context.Background(), m, q, tt.method); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.method, err, tt.want)
		}
	}
}
