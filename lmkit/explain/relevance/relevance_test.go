package relevance_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/relevance"
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

func sum(xs []float64) float64 {
	s := 0.0
	for _, x := range xs {
		s += x
	}
	return s
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*max(1, math.Abs(b)) }

// family is the methods that conserve relevance, by model.
var family = map[string][]explain.Method{
	"gpt2": {relevance.AttnLRP{}, relevance.CPLRP{}},
	"lstm": {relevance.LRP{}, relevance.LRPHalf{}},
}

func ids(n int) []token.ID { return append(explaintest.IDs(), 3, 1, 11, 2, 8)[:n] }

// Scores of GIM are its gradient times the difference from the baseline: turned round, the question gets the opposite
// answer, and a token that is the baseline has nothing.
func TestGIM(t *testing.T) {
	ms := explaintest.Models(t)
	target, foil := []token.ID{2}, []token.ID{6}
	q := explain.Question{IDs: ids(7), Target: target, Foil: foil, Baseline: "#7"}
	a := run(t, ms["gpt2"], relevance.GIM{}, q)
	q.Target, q.Foil = foil, target
	b := run(t, ms["gpt2"], relevance.GIM{}, q)
	for i, f := range a.Features {
		if !near(a.Scores[i], -b.Scores[i], 1e-4) {
			t.Errorf("token %d has %v one way and %v the other", i, a.Scores[i], b.Scores[i])
		}
		if is := a.Tokens[f.Tokens[0]].ID == 7; is != (a.Scores[i] == 0) {
			t.Errorf("token %d, #%d, has %v against the baseline #7", i, a.Tokens[f.Tokens[0]].ID, a.Scores[i])
		}
	}
	q.Baseline = "#7,mean"
	if c := run(t, ms["gpt2"], relevance.GIM{}, q); len(c.Spread) != len(c.Scores) {
		t.Error("several baselines have no spread")
	}
	_, err := explaintest.Explain(context.Background(), ms["lstm"], explain.Question{IDs: ids(4)}, relevance.GIM{})
	if err == nil || !strings.Contains(err.Error(), "is for a Transformer") {
		t.Error(err)
	}
}

// Tokens and constants share the value without loss, for inputs of any length; turned round, the question gets the
// opposite answer.
func TestRelevanceIsConserved(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, method := range family[name] {
			for n := 1; n <= 12; n += 3 {
				target, foil := token.ID(n), token.ID((n+5)%13)
				a := run(t, m, method, explain.Question{IDs: ids(n), Target: []token.ID{target},
					Foil: []token.ID{foil}, Tolerance: 1e-3})
				c := a.Evidence.Completeness
				if c == nil || !c.Holds || !near(sum(a.Scores), a.Value-a.Base, 1e-3) {
					t.Errorf("%s of %d tokens: scores %v, value %v, base %v: %+v", method.Name(), n, a.Scores, a.Value, a.Base, c)
				}
				b := run(t, m, method, explain.Question{IDs: ids(n), Target: []token.ID{foil}, Foil: []token.ID{target}})
				for i := range a.Scores {
					if !near(a.Scores[i], -b.Scores[i], 1e-4) {
						t.Errorf("%s: token %d has %v one way and %v the other", method.Name(), i, a.Scores[i], b.Scores[i])
					}
				}
			}
		}
	}
}

// A contrast is the difference of its two logits, and so are the relevances.
func TestRelevanceIsLinear(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, method := range family[name] {
			target, foil := token.ID(2), token.ID(6)
			contrast := run(t, m, method, explain.Question{IDs: ids(7), Target: []token.ID{target}, Foil: []token.ID{foil}})
			a := run(t, m, method, explain.Question{IDs: ids(7), Target: []token.ID{target}, Objective: explain.Logit})
			b := run(t, m, method, explain.Question{IDs: ids(7), Target: []token.ID{foil}, Objective: explain.Logit})
			for i, s := range contrast.Scores {
				if !near(a.Scores[i]-b.Scores[i], s, 1e-4) {
					t.Errorf("%s: token %d has %v - %v, in the contrast %v", method.Name(), i, a.Scores[i], b.Scores[i], s)
				}
			}
			if !near(a.Base-b.Base, contrast.Base, 1e-4) {
				t.Errorf("%s: constants took %v - %v, in the contrast %v", method.Name(), a.Base, b.Base, contrast.Base)
			}
		}
	}
}

// Features get what their tokens get, and what is in no feature is the base's.
func TestGroups(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, method := range append(family[name], relevance.DeepLIFT{}) {
			q := explain.Question{IDs: ids(7), Tolerance: 1e-3}
			single := run(t, m, method, q)
			q.Groups = [][]int{{0, 6}, {1, 2}, {3, 4, 5}}
			grouped := run(t, m, method, q)
			for i, g := range q.Groups {
				want := 0.0
				for _, k := range g {
					want += single.Scores[k]
				}
				if !near(grouped.Scores[i], want, 1e-4) {
					t.Errorf("%s: group %d has %v, its tokens %v", method.Name(), i, grouped.Scores[i], want)
				}
			}
			q.Groups = [][]int{{2, 5}}
			part := run(t, m, method, q)
			if c := part.Evidence.Completeness; !c.Holds || near(part.Base, single.Base, 1e-6) {
				t.Errorf("%s: two tokens alone: %+v, base %v", method.Name(), c, part.Base)
			}
		}
	}
}

// A state from earlier text takes its part: text cut in two has the relevance of the whole.
func TestRelevanceOfAState(t *testing.T) {
	m := explaintest.Models(t)["lstm"]
	before, after := ids(12)[:5], ids(12)[5:]
	ran, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{before}, Final: true})
	if err != nil {
		t.Fatal(err)
	}
	target, foil := token.ID(2), token.ID(6)
	for _, method := range append(family["lstm"], relevance.DeepLIFT{}) {
		q := explain.Question{IDs: ids(12), Target: []token.ID{target}, Foil: []token.ID{foil}, Tolerance: 1e-3}
		whole := run(t, m, method, q)
		q.IDs, q.State = after, &ran.States[0]
		part := run(t, m, method, q)
		if !part.Evidence.Completeness.Holds {
			t.Errorf("%s: %+v", method.Name(), part.Evidence.Completeness)
		}
		if method.Name() == "deeplift" {
			continue // its baseline replaces the earlier text, too
		}
		for i, s := range part.Scores {
			if !near(s, whole.Scores[5+i], 1e-4) {
				t.Errorf("%s: token %d has %v after a state, %v after the text", method.Name(), i, s, whole.Scores[5+i])
			}
		}
	}
}

// Contributions add up to rounding, for every objective and baseline.
func TestDeepLIFTIsComplete(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, objective := range explain.Objectives {
			for _, baseline := range []string{"mean", "zero", "#5", "zero,mean,#2"} {
				for _, n := range []int{1, 7, 12} {
					a := run(t, m, relevance.DeepLIFT{}, explain.Question{IDs: ids(n), Objective: objective, Baseline: baseline,
						Tolerance: 1e-4})
					if c := a.Evidence.Completeness; c == nil || !c.Holds {
						t.Errorf("%s, %s, %s, %d tokens: %+v", name, objective, baseline, n, c)
					}
					if (a.Spread != nil) != strings.Contains(baseline, ",") {
						t.Errorf("spread %v for baseline %s", a.Spread, baseline)
					}
				}
			}
		}
	}
}

// A token that equals its baseline contributes nothing; where all are equal but one, that one gets all.
func TestDeepLIFTDummy(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		row := []token.ID{7, 7, 3, 7, 7}
		a := run(t, m, relevance.DeepLIFT{}, explain.Question{IDs: row, Baseline: "#7"})
		for i, s := range a.Scores {
			if (s == 0) != (row[i] == 7) {
				t.Errorf("%s: token %d is #%d, baseline #7, and has %v", name, i, row[i], s)
			}
		}
		if !near(a.Scores[2], a.Value-a.Base, 1e-4) {
			t.Errorf("%s: the one token that differs has %v of %v", name, a.Scores[2], a.Value-a.Base)
		}
	}
}

// The wrong architecture is an error before anything is compiled: a closed model compiles nothing.
func TestErrors(t *testing.T) {
	ms := explaintest.Models(t)
	for _, m := range ms {
		m.Close()
	}
	for _, tt := range []struct {
		model  string
		method explain.Method
		q      explain.Question
		want   string
	}{
		{"lstm", relevance.AttnLRP{}, explain.Question{IDs: ids(3)}, "attn-lrp is for a Transformer, and this model is an " +
			"LSTM; use lrp"},
		{"lstm", relevance.CPLRP{}, explain.Question{IDs: ids(3)}, "cp-lrp is for a Transformer"},
		{"gpt2", relevance.LRP{}, explain.Question{IDs: ids(3)}, "lrp is for an LSTM, and this model is a Transformer; " +
			"use attn-lrp"},
		{"gpt2", relevance.LRPHalf{}, explain.Question{IDs: ids(3)}, "lrp-half is for an LSTM"},
		{"gpt2", relevance.AttnLRP{}, explain.Question{IDs: ids(3), Objective: explain.Prob},
			"choose contrast or logit, or the method deeplift"},
	} {
		if _, err := explaintest.Explain(context.Background(), ms[tt.model], tt.q, tt.method); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want one with %q", tt.method.Name(), err, tt.want)
		}
	}
}

// The half rule hands relevance through gates whose pre-activations are near zero, where it grows without bound: the
// result says so.
func TestGrowingRelevanceIsFlagged(t *testing.T) {
	small := explaintest.Models(t)["lstm"]
	ws, err := small.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range ws {
		if strings.HasPrefix(name, "lstm.bias") {
			for i := range w.Data {
				w.Data[i] = 0
			}
		} else if strings.HasPrefix(name, "lstm.weight") {
			for i := range w.Data {
				w.Data[i] *= 3
			}
		}
	}
	m, err := lm.FromWeights(small.Engine(), small.Config(), nil, ws)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	grown := 0
	for seed := range 8 {
		row := append([]token.ID{token.ID(seed), token.ID((3 * seed) % 13)}, ids(10)...)
		a := run(t, m, relevance.LRPHalf{}, explain.Question{IDs: row})
		size := 0.0
		for _, s := range a.Scores {
			size += math.Abs(s)
		}
		flagged := len(a.Warnings) > 0 && strings.Contains(a.Warnings[0], "they grew on their way back")
		if flagged != (size > 100*math.Abs(a.Value)) {
			t.Errorf("relevances of %v for a value of %v: %v", size, a.Value, a.Warnings)
		}
		if flagged {
			grown++
		}
	}
	if grown == 0 {
		t.Error("no relevance grew: the test shows nothing")
	}
}
