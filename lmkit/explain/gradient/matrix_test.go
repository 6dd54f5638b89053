package gradient_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// shaped fails where a matrix does not hold what it says.
func shaped(t *testing.T, x *gradient.Matrix) {
	t.Helper()
	if len(x.Scores) != x.Dims[0] || len(x.Rows) != x.Dims[0] || len(x.Columns) != x.Dims[1] || len(x.Tokens) == 0 || x.Unit == "" || x.ModelHash == "" {
		t.Errorf("a matrix %v with %d rows of scores, labels %v and %v", x.Dims, len(x.Scores), x.Rows, x.Columns)
	}
	for _, row := range x.Scores {
		if len(row) != x.Dims[1] {
			t.Errorf("a row of %d scores in a matrix %v", len(row), x.Dims)
		}
	}
	if x.Cost.ForwardRows == 0 || x.Cost.BackwardRows == 0 || x.Cost.EstimatedRows == 0 {
		t.Errorf("the cost was not counted: %+v", x.Cost)
	}
}

// Each row is the saliency of the text up to there, asked by itself; what comes later does not matter at all.
func TestPredictions(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		for _, objective := range explain.Objectives {
			for _, x := range []gradient.Predictions{{}, {Norm: 1}, {TimesInput: true}} {
				target := token.ID(11)
				all, err := x.Matrix(context.Background(), m, explain.Question{IDs: ids, Target: &target, Objective: objective})
				if err != nil {
					t.Fatal(err)
				}
				shaped(t, all)
				for i := range ids {
					next := target
					if i+1 < len(ids) {
						next = ids[i+1]
					}
					var method explain.Method = gradient.Saliency{Norm: x.Norm}
					if x.TimesInput {
						method = gradient.InputXGradient{}
					}
					one := run(t, m, method, explain.Question{IDs: ids[:i+1], Target: &next, Objective: objective})
					if !near(all.Values[i], one.Value, 1e-5) || all.Rows[i] != one.Target.Text || all.Unit != one.Unit {
						t.Errorf("%s: prediction %d is %v of %s (%s), alone %v of %s (%s)", name, i, all.Values[i], all.Rows[i], all.Unit, one.Value, one.Target.Text, one.Unit)
					}
					for j, s := range all.Scores[i] {
						if j > i && s != 0 {
							t.Errorf("%s: prediction %d depends on token %d by %v", name, i, j, s)
						}
						if j <= i && !near(s, one.Scores[j], 1e-5*max(1, math.Abs(s))) {
							t.Errorf("%s, %s: prediction %d, token %d has %v, alone %v", name, objective, i, j, s, one.Scores[j])
						}
					}
				}
			}
		}
	}
}

// Scores add up at every activation, for all objectives; at the embedding they are integrated gradients.
func TestActivation(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		for k, info := range m.Taps() {
			x := gradient.Activation{Tap: info.Name}
			if !strings.Contains(info.Axes, "T") {
				if _, err := x.Matrix(context.Background(), m, explain.Question{IDs: ids}); err == nil || !strings.Contains(err.Error(), "not computed from tokens") {
					t.Errorf("%s: got error %v", info.Name, err)
				}
				continue
			}
			q := explain.Question{IDs: ids, Baseline: "mean", Tolerance: 1e-3, Objective: explain.Objectives[k%len(explain.Objectives)]}
			got, err := x.Matrix(context.Background(), m, q)
			if err != nil {
				t.Fatal(err)
			}
			shaped(t, got)
			sum := 0.0
			for _, s := range got.ColumnSums() {
				sum += s
			}
			if c := got.Completeness; !c.Holds && math.Abs(got.Values[0]-*got.Base) > 1e-4 || !near(sum-(got.Values[0]-*got.Base), c.Error, 1e-9) {
				t.Errorf("%s, %s: %v of %v - %v: %+v", name, info.Name, sum, got.Values[0], *got.Base, c)
			}
			if heads := strings.Contains(info.Axes, "H"); heads != (got.Dims == [2]int{len(ids), 2} && got.Axes[1] == "head") {
				t.Errorf("%s has axes %s, its matrix %v (%v)", info.Name, info.Axes, got.Dims, got.Axes)
			}
		}
		q := explain.Question{IDs: ids, Baseline: "zero,mean,#2", Tolerance: 1e-4}
		got, err := gradient.Activation{Tap: "embed"}.Matrix(context.Background(), m, q)
		if err != nil {
			t.Fatal(err)
		}
		want := run(t, m, gradient.Integrated{}, q)
		for i, s := range want.Scores {
			if !near(got.Scores[i][0], s, 1e-3*max(1, math.Abs(s))) {
				t.Errorf("%s: token %d has %v at the embedding, by integrated gradients %v", name, i, got.Scores[i][0], s)
			}
		}
	}
}

// The base is the objective when the activation alone is as on the baseline: here by copying it from another row.
func TestActivationBase(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	ids := explaintest.IDs()
	got, err := gradient.Activation{Tap: "block.1.attn.z"}.Matrix(context.Background(), m, explain.Question{IDs: ids, Baseline: "#5", Objective: explain.LogProb})
	if err != nil {
		t.Fatal(err)
	}
	five := make([]token.ID, len(ids))
	for i := range five {
		five[i] = 5
	}
	p, err := explain.Prepare(context.Background(), m, explain.Question{IDs: ids, Baseline: "#5", Objective: explain.LogProb})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{ids, five}, Of: []lm.Objective{p.Objective},
		Edits: []lm.Edit{{Tap: "block.1.attn.z", Rows: []int{0}, With: lm.FromRow(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	if !near(*got.Base, a.Values[0], 1e-5) {
		t.Errorf("the base is %v, want %v", *got.Base, a.Values[0])
	}
}

func TestMatrixErrors(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	q := explain.Question{IDs: explaintest.IDs()}
	if _, err := (gradient.Predictions{Norm: 3}).Matrix(context.Background(), m, q); err == nil || !strings.Contains(err.Error(), "no norm 3") {
		t.Errorf("got error %v", err)
	}
	for _, tt := range []struct {
		x    gradient.Activation
		want string
	}{
		{gradient.Activation{Tap: "block.9.attn.z"}, "did you mean block.0.attn.z"},
		{gradient.Activation{Tap: "embed", Steps: -1}, "must be positive"},
	} {
		if _, err := tt.x.Matrix(context.Background(), m, q); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.x, err, tt.want)
		}
	}
	coarse, err := gradient.Activation{Tap: "block.0.resid.mid", Steps: 1}.Matrix(context.Background(), m, explain.Question{IDs: q.IDs, Baseline: "mean", Tolerance: 1e-6})
	if err != nil {
		t.Fatal(err)
	}
	if coarse.Completeness.Holds || len(coarse.Warnings) == 0 {
		t.Errorf("one step is said to be enough: %+v", coarse.Completeness)
	}
}
