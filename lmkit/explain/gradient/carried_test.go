package gradient_test

import (
	"context"
	"encoding/json"
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

// Wherever a text is cut, the state has what the tokens before the cut have in the uncut text, and the tokens behind it
// keep their scores.
func TestCarriedAddsUpToTheUncutText(t *testing.T) {
	m := explaintest.Models(t)["lstm"]
	ids := append(explaintest.IDs(), explaintest.IDs()...)
	before, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{{3, 8}}, Final: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []explain.Question{
		{IDs: ids, Baseline: "mean", Tolerance: 1e-3},
		{IDs: ids, Baseline: "zero,#5", Tolerance: 1e-3, Objective: explain.LogProb},
		{IDs: ids, Baseline: "#5", Tolerance: 1e-3, State: &before.States[0]},
		{IDs: ids, Baseline: "mean", Tolerance: 1e-3, Groups: [][]int{{0, 2}, {3}, {12, 13}}},
	} {
		uncut := run(t, m, gradient.Integrated{}, q)
		size := 0.0
		for _, s := range uncut.Scores {
			size += math.Abs(s)
		}
		for _, cut := range []int{4, 7, 12} {
			var want []float64
			first := 0.0
			for i, f := range uncut.Features {
				if f.Tokens[0] < cut {
					first += uncut.Scores[i]
				} else {
					want = append(want, uncut.Scores[i])
				}
			}
			want = slices.Concat([]float64{first}, want)
			a, err := gradient.Carried{Cut: cut}.Explain(context.Background(), m, q)
			if err != nil {
				t.Fatal(err)
			}
			explaintest.Check(t, a)
			if len(a.Scores) != len(want) {
				t.Fatalf("%d scores, want %d", len(a.Scores), len(want))
			}
			for i, s := range a.Scores {
				if !near(s, want[i], 3e-3*size) {
					t.Errorf("baseline %s, cut after %d: feature %d (%s) has %v, uncut %v", q.Baseline, cut, i, a.Features[i].Text, s,
						want[i])
				}
			}
			if c := a.Evidence.Completeness; c == nil || !c.Holds {
				t.Errorf("cut after %d: the scores do not add up: %+v", cut, c)
			}
			var settings struct{ State map[string]float64 }
			if err := json.Unmarshal(a.Method.Settings, &settings); err != nil {
				t.Fatal(err)
			}
			parts := 0.0
			for _, v := range settings.State {
				parts += v
			}
			if len(settings.State) != 2*m.Config().Layers || !near(parts, a.Scores[0], 1e-9) {
				t.Errorf("the parts of the state add up to %v, its score is %v: %v", parts, a.Scores[0], settings.State)
			}
		}
	}
}

func TestCarriedErrors(t *testing.T) {
	ms := explaintest.Models(t)
	q := explain.Question{IDs: explaintest.IDs()}
	for _, tt := range []struct {
		model  string
		method gradient.Carried
		groups [][]int
		want   string
	}{
		{"gpt2", gradient.Carried{Cut: 2}, nil, "no state over a cut"},
		{"lstm", gradient.Carried{}, nil, "a cut after 0 of 7 tokens"},
		{"lstm", gradient.Carried{Cut: 7}, nil, "a token on either side"},
		{"lstm", gradient.Carried{Cut: 2, Steps: -1}, nil, "must be positive"},
		{"lstm", gradient.Carried{Cut: 2}, [][]int{{1, 2}}, "both sides of the cut"},
		{"lstm", gradient.Carried{Cut: 2}, [][]int{{3}}, "no feature lies before the cut"},
	} {
		q.Groups = tt.groups
		if _, err := tt.method.Explain(context.Background(), ms[tt.model], q); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.method, err, tt.want)
		}
	}
}
