package explain_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// deep returns a Transformer of four layers with random weights, the embedding of whose first position is large times
// as large as it would be.
func deep(t *testing.T, large float32) *lm.Model {
	t.Helper()
	e := backendtest.PureGo(t)
	c := lm.Config{Arch: lm.Transformer, Vocab: 13, Width: 16, Layers: 4, Heads: 2, Context: 20}
	plain, err := lm.New(e, c, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	weights, err := plain.Weights()
	if err != nil {
		t.Fatal(err)
	}
	first := weights["pos_embed.weight"].Index(0).Data
	for i := range first {
		first[i] *= large
	}
	m, err := lm.FromWeights(e, c, nil, weights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// A first token that is the model's attention sink is held, unless the question says otherwise, and every result says
// so.
func TestFirstToken(t *testing.T) {
	for _, c := range []struct {
		large float32
		first string
		held  bool
	}{{1, "", false}, {1, explain.HoldFirst, true}, {400, "", true}, {400, explain.ScoreFirst, false}} {
		m := deep(t, c.large)
		q := explain.Question{IDs: explaintest.IDs(), Baseline: "mean,zero", FirstToken: c.first}
		as, err := explain.Explain(context.Background(), m, q, gradient.Integrated{}, perturb.Occlusion{})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range as {
			explaintest.Check(t, a)
			scored := slices.ContainsFunc(a.Features, func(f explain.Feature) bool { return slices.Contains(f.Tokens, 0) })
			if scored == c.held || (a.Evidence.Held != nil) != c.held {
				t.Fatalf("%+v: held %+v, features %+v", c, a.Evidence.Held, a.Features)
			}
			if e := a.Evidence.Completeness; e != nil && !e.Holds {
				t.Errorf("%+v: %s: %+v", c, a.Method.Name, e)
			}
			if !c.held {
				continue
			}
			if h := a.Evidence.Held; math.Abs(h.Effect-effect(t, m, q, a)) > 1e-4 {
				t.Errorf("%+v: the effect is %v, should be %v", c, h.Effect, effect(t, m, q, a))
			}
			if measured := a.Evidence.Held.Sink != nil; measured != (c.first == "") || measured &&
				*a.Evidence.Held.Sink < explain.SinkRatio {
				t.Errorf("%+v: a sink of %v", c, a.Evidence.Held.Sink)
			}
		}
	}
}

// effect returns what Held.Effect should be: the same, asked for as a feature of its own.
func effect(t *testing.T, m *lm.Model, q explain.Question, a *explain.Attribution) float64 {
	t.Helper()
	q.FirstToken, q.Groups = "", [][]int{{0}}
	target, foil := token.ID(a.Target.ID), token.ID(a.Foil.ID)
	q.Target, q.Foil = []token.ID{target}, []token.ID{foil}
	p, err := explain.Prepare(context.Background(), m, q)
	if err != nil {
		t.Fatal(err)
	}
	return p.Value - p.Base()
}

// A text that has nothing but the first token is explained by it, with a warning; or not at all, where it must be held.
func TestNothingButTheFirstToken(t *testing.T) {
	m := deep(t, 400)
	q := explain.Question{IDs: []token.ID{4}, Baseline: "mean"}
	a, err := explaintest.Explain(context.Background(), m, q, perturb.Occlusion{})
	if err != nil || len(a.Features) != 1 || len(a.Warnings) == 0 || a.Evidence.Held != nil {
		t.Errorf("%+v, %v", a, err)
	}
	q.FirstToken = explain.HoldFirst
	if _, err := explaintest.Explain(context.Background(), m, q, perturb.Occlusion{}); err == nil {
		t.Error("a text of one token was explained without it")
	}
}
