package lm_test

import (
	"math/rand/v2"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
)

// BenchmarkTwoBaselines is what LIME with two baselines asks of a model 64 wide: 10,000 rows of 12 tokens, each with
// an edit of its own, which replaces some embeddings by the one baseline's values or by the other's.
func BenchmarkTwoBaselines(b *testing.B) {
	c := lm.Config{Arch: lm.Transformer, Vocab: 100, Width: 64, Layers: 2, Heads: 4, Context: 16}
	m, err := lm.New(backendtest.Engine(b), c, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	text := someTokens(rng, 12, c.Vocab)
	var baselines [2]lm.Source
	for k := range baselines {
		a := lm.Array{Dims: []int{c.Width}, Data: make([]float32, c.Width)}
		for i := range a.Data {
			a.Data[i] = rng.Float32()
		}
		baselines[k] = lm.FromValues(a)
	}
	q := lm.Query{Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}}}
	for row := range 10000 {
		q.Rows = append(q.Rows, text)
		e := lm.Edit{Tap: "embed", Rows: []int{row}, Positions: []int{}, With: baselines[row%2]}
		for t := range text {
			if rng.IntN(2) == 0 {
				e.Positions = append(e.Positions, t)
			}
		}
		q.Edits = append(q.Edits, e)
	}
	short := q
	short.Rows, short.Edits = q.Rows[:200], q.Edits[:200]
	for _, q := range []lm.Query{short, q} { // the first one compiles
		if _, err := m.Run(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := m.Run(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}
