package gradient_test

import (
	"context"
	"fmt"
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
func shaped(t *testing.T, x *explain.Matrix) {
	t.Helper()
	explaintest.CheckMatrix(t, x)
	if len(x.Tokens) == 0 || x.Cost.BackwardRows == 0 {
		t.Errorf("a matrix of %d tokens that cost %+v", len(x.Tokens), x.Cost)
	}
}

// matrix answers a question by a method that scores pairs.
func matrix(m *lm.Model, method explain.MatrixMethod, q explain.Question) (*explain.Matrix, error) {
	return explain.ExplainMatrix(context.Background(), m, q, method)
}

// Each row is the saliency of the text up to there, asked by itself; what comes later does not matter at all.
func TestPredictions(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		for _, objective := range explain.Objectives {
			for _, x := range []gradient.Predictions{{}, {Norm: 1}, {TimesInput: true}} {
				target := token.ID(11)
				all, err := matrix(m, x, explain.Question{IDs: ids, Target: []token.ID{target}, Objective: objective})
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
					one := run(t, m, method, explain.Question{IDs: ids[:i+1], Target: []token.ID{next}, Objective: objective})
					if !near(all.RowValues[i], one.Value, 1e-5) || all.Rows[i] != one.Target.Text || all.Unit != one.Unit {
						t.Errorf("%s: prediction %d is %v of %s (%s), alone %v of %s (%s)", name, i, all.RowValues[i], all.Rows[i],
							all.Unit, one.Value, one.Target.Text, one.Unit)
					}
					for j, s := range all.Values[i] {
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
				if _, err := matrix(m, x, explain.Question{IDs: ids}); err == nil ||
					!strings.Contains(err.Error(), "not computed from tokens") {
					t.Errorf("%s: got error %v", info.Name, err)
				}
				continue
			}
			q := explain.Question{IDs: ids, Baseline: "mean", Tolerance: 1e-3,
				Objective: explain.Objectives[k%len(explain.Objectives)]}
			got, err := matrix(m, x, q)
			if err != nil {
				t.Fatal(err)
			}
			shaped(t, got)
			sum := 0.0
			for _, s := range got.ColumnSums() {
				sum += s
			}
			if c := got.Evidence.Completeness; !c.Holds && math.Abs(got.Value-got.Base) > 1e-4 ||
				!near(sum-(got.Value-got.Base), c.Error, 1e-9) {
				t.Errorf("%s, %s: %v of %v - %v: %+v", name, info.Name, sum, got.Value, got.Base, c)
			}
			if heads := strings.Contains(info.Axes, "H"); heads != (len(got.Rows) == len(ids) && len(got.Columns) == 2 &&
				got.Axes[1] == "head") {
				t.Errorf("%s has axes %s, its matrix %v (%v)", info.Name, info.Axes, got.Columns, got.Axes)
			}
		}
		q := explain.Question{IDs: ids, Baseline: "zero,mean,#2", Tolerance: 1e-4}
		got, err := matrix(m, gradient.Activation{Tap: "embed"}, q)
		if err != nil {
			t.Fatal(err)
		}
		want := run(t, m, gradient.Integrated{}, q)
		for i, s := range want.Scores {
			if !near(got.Values[i][0], s, 1e-3*max(1, math.Abs(s))) {
				t.Errorf("%s: token %d has %v at the embedding, by integrated gradients %v", name, i, got.Values[i][0], s)
			}
		}
	}
}

// The base is the objective when the activation alone is as on the baseline: here by copying it from another row.
func TestActivationBase(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	ids := explaintest.IDs()
	got, err := matrix(m, gradient.Activation{Tap: "block.1.attn.z"}, explain.Question{IDs: ids, Baseline: "#5",
		Objective: explain.LogProb})
	if err != nil {
		t.Fatal(err)
	}
	five := make([]token.ID, len(ids))
	for i := range five {
		five[i] = 5
	}
	p, err := explain.Prepare(context.Background(), m, explain.Question{IDs: ids, Baseline: "#5",
		Objective: explain.LogProb})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{ids, five}, Of: []lm.Objective{p.Objective},
		Edits: []lm.Edit{{Tap: "block.1.attn.z", Rows: []int{0}, With: lm.FromRow(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	if !near(got.Base, a.Values[0], 1e-5) {
		t.Errorf("the base is %v, want %v", got.Base, a.Values[0])
	}
}

func TestMatrixErrors(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	q := explain.Question{IDs: explaintest.IDs()}
	if _, err := matrix(m, gradient.Predictions{Norm: 3}, q); err == nil || !strings.Contains(err.Error(), "no norm 3") {
		t.Errorf("got error %v", err)
	}
	for _, tt := range []struct {
		x    gradient.Activation
		want string
	}{
		{gradient.Activation{Tap: "block.9.attn.z"}, "did you mean block.0.attn.z"},
		{gradient.Activation{Tap: "embed", Steps: -1}, "must be positive"},
	} {
		if _, err := matrix(m, tt.x, q); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.x, err, tt.want)
		}
	}
	coarse, err := matrix(m, gradient.Activation{Tap: "block.0.resid.mid", Steps: 1},
		explain.Question{IDs: q.IDs, Baseline: "mean", Tolerance: 1e-6})
	if err != nil {
		t.Fatal(err)
	}
	if coarse.Evidence.Completeness.Holds || len(coarse.Warnings) == 0 {
		t.Errorf("one step is said to be enough: %+v", coarse.Evidence.Completeness)
	}
}

// Layers adds up to value - base in every row, begins with integrated gradients and ends at the last token; Heads adds
// up to what the activations of heads do.
func TestLayersAndHeads(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "mean,#5", Tolerance: 1e-3}
		got, err := matrix(m, gradient.Layers{}, q)
		if err != nil {
			t.Fatal(err)
		}
		shaped(t, got)
		if n := m.Config().Layers + 1; len(got.Rows) != n || len(got.Columns) != len(q.IDs) ||
			!got.Evidence.Completeness.Holds {
			t.Errorf("%s: %d rows, %d columns, %+v", name, len(got.Rows), len(got.Columns), got.Evidence.Completeness)
		}
		for i, row := range got.Values {
			if !near(sum(row), got.Value-got.Base, 2e-3*math.Abs(got.Value-got.Base)) {
				t.Errorf("%s: row %d adds up to %v, want %v", name, i, sum(row), got.Value-got.Base)
			}
		}
		for i, s := range run(t, m, gradient.Integrated{}, q).Scores {
			if !near(got.Values[0][i], s, 2e-3*max(1, math.Abs(s))) {
				t.Errorf("%s: token %d has %v at the input, by integrated gradients %v", name, i, got.Values[0][i], s)
			}
		}
		last := got.Values[len(got.Values)-1]
		for i, s := range last[:len(last)-1] {
			if s != 0 {
				t.Errorf("%s: token %d has %v behind the last layer, where only the last token is read", name, i, s)
			}
		}
		heads, err := matrix(m, gradient.Heads{}, q)
		if m.Config().Arch == lm.LSTM {
			if err == nil || !strings.Contains(err.Error(), "no attention heads") {
				t.Errorf("got error %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		shaped(t, heads)
		total := 0.0
		for l, row := range heads.Values {
			one, err := matrix(m, gradient.Activation{Tap: fmt.Sprintf("block.%d.attn.z", l)}, q)
			if err != nil {
				t.Fatal(err)
			}
			for h, s := range one.ColumnSums() {
				if !near(row[h], s, 1e-6) {
					t.Errorf("layer %d, head %d has %v, at its activation %v", l, h, row[h], s)
				}
			}
			total += one.Value - one.Base
		}
		if p := heads.Promise; !near(p.Total, total, 1e-6) || !heads.Evidence.Completeness.Holds {
			t.Errorf("heads promise %+v, want %v: %+v", p, total, heads.Evidence.Completeness)
		}
		single, err := matrix(m, gradient.Heads{Layers: []int{1}}, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(single.Values) != 1 || !near(single.Values[0][0], heads.Values[1][0], 1e-6) {
			t.Errorf("of layer 1 alone %v, of all %v", single.Values, heads.Values)
		}
		if _, err := matrix(m, gradient.Heads{Layers: []int{2}}, q); err == nil ||
			!strings.Contains(err.Error(), "no layer 2; there are 0 to 1") {
			t.Errorf("got error %v", err)
		}
	}
}

// The parts of the carried state, and the tokens behind the cut, add up to value - base.
func TestCarriedMatrix(t *testing.T) {
	m := explaintest.Models(t)["lstm"]
	c := gradient.Carried{Cut: 3}
	q := explain.Question{IDs: explaintest.IDs(), Baseline: "mean,#5", Tolerance: 1e-3}
	got, err := matrix(m, c, q)
	if err != nil {
		t.Fatal(err)
	}
	shaped(t, got)
	a, err := c.Explain(context.Background(), m, q)
	if err != nil {
		t.Fatal(err)
	}
	parts, n := 0.0, 2*m.Config().Layers
	for _, row := range got.Values[:n] {
		parts += row[0]
	}
	if !near(parts, a.Scores[0], 1e-9) || len(got.Rows) != n+len(a.Scores)-1 ||
		!near(got.Values[n][0], a.Scores[1], 1e-9) || !got.Evidence.Completeness.Holds {
		t.Errorf("the matrix %v of %v, the scores %v", got.Values, got.Rows, a.Scores)
	}
}
