package perturb_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/token"
)

// additive is a game whose features each add their weight.
type additive []float64

func (w additive) Features() int { return len(w) }

func (w additive) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for i, c := range of {
		for f, in := range c {
			if in {
				out[i] += w[f]
			}
		}
	}
	return out, nil
}

// On a game that adds up, a window is worth the sum of its features, and a feature the mean over its windows.
func TestOcclusionOfAnAdditiveGame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SliceOfN(rapid.Float64Range(-10, 10), 1, 12).Draw(t, "weights")
		window := rapid.IntRange(1, 4).Draw(t, "window")
		stride := rapid.IntRange(1, window).Draw(t, "stride")
		scores, _, err := perturb.Occlusion{Window: window, Stride: stride}.Play(context.Background(), additive(w))
		if err != nil {
			t.Fatal(err)
		}
		window = min(window, len(w))
		for f := range w {
			sum, n := 0.0, 0
			for s := range len(w) - window + 1 {
				if (s%stride == 0 || s == len(w)-window) && f >= s && f < s+window {
					for _, v := range w[s : s+window] {
						sum += v
					}
					n++
				}
			}
			if math.Abs(scores[f]-sum/float64(n)) > 1e-9 {
				t.Fatalf("feature %d has %v, want %v", f, scores[f], sum/float64(n))
			}
		}
	})
}

// value computes an objective by the log-probabilities of a row, the long way round.
func TestOcclusionAgainstReplacedTokens(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, objective := range explain.Objectives {
			ids := explaintest.IDs()
			a, err := explaintest.Explain(context.Background(), m, explain.Question{IDs: ids, Objective: objective,
				Baseline: "#5"}, perturb.Occlusion{})
			if err != nil {
				t.Fatal(err)
			}
			explaintest.Check(t, a)
			rows := [][]token.ID{ids}
			for i := range ids {
				row := slices.Clone(ids)
				row[i] = 5
				rows = append(rows, row)
			}
			lp, err := m.LogProbs(context.Background(), rows)
			if err != nil {
				t.Fatal(err)
			}
			value := func(row int) float64 {
				last := lp[row].Index(len(rows[row]) - 1).Data
				v := float64(last[a.Target.ID])
				switch objective {
				case explain.Contrast:
					return v - float64(last[a.Foil.ID])
				case explain.Prob:
					return math.Exp(v)
				case explain.Loss:
					return -v
				case explain.Logit:
					return math.NaN()
				}
				return v
			}
			if objective == explain.Logit {
				continue // log-probabilities do not tell it; the contrast covers logits
			}
			if math.Abs(a.Value-value(0)) > 1e-5 {
				t.Errorf("%s %s: value %v, want %v", name, objective, a.Value, value(0))
			}
			for i := range ids {
				if want := value(0) - value(i+1); math.Abs(a.Scores[i]-want) > 1e-5 {
					t.Errorf("%s %s: token %d has %v, want %v", name, objective, i, a.Scores[i], want)
				}
			}
		}
	}
}

func TestLeaveOneOut(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		ids := explaintest.IDs()
		a, err := explaintest.Explain(context.Background(), m, explain.Question{IDs: ids, Objective: explain.LogProb},
			perturb.LeaveOneOut{})
		if err != nil {
			t.Fatal(err)
		}
		explaintest.Check(t, a)
		for i := range ids {
			rows := [][]token.ID{ids, slices.Delete(slices.Clone(ids), i, i+1)}
			lp, err := m.LogProbs(context.Background(), rows)
			if err != nil {
				t.Fatal(err)
			}
			want := float64(lp[0].Index(len(ids) - 1).Data[a.Target.ID] - lp[1].Index(len(ids) - 2).Data[a.Target.ID])
			if math.Abs(a.Scores[i]-want) > 1e-5 {
				t.Errorf("%s: token %d has %v, want %v", name, i, a.Scores[i], want)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for _, tt := range []struct {
		method explain.Method
		ids    []token.ID
		want   string
	}{
		{perturb.Occlusion{Window: 1, Stride: 2}, explaintest.IDs(), "must not leave gaps"},
		{perturb.Occlusion{Window: -1}, explaintest.IDs(), "must be positive"},
		{perturb.LeaveOneOut{}, []token.ID{3}, "nothing is left"},
	} {
		if _, err := explaintest.Explain(context.Background(), m, explain.Question{IDs: tt.ids}, tt.method); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.method, err, tt.want)
		}
	}
}
