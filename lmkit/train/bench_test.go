package train

import (
	"math/rand/v2"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// BenchmarkStep trains at the sizes that are compared with PyTorch; its number is tokens a second:
//
//	go test ./lmkit/train -run - -bench Step -benchtime 200x
func BenchmarkStep(b *testing.B) {
	for _, size := range []struct {
		name   string
		model  lm.Config
		config Config
	}{
		{"nanoGPT", lm.Config{Arch: lm.Transformer, Vocab: 65, Width: 128, Heads: 4, Layers: 4, Context: 64, Tied: true},
			Config{Rows: 12}},
		{"LSTM-12k", lm.Config{Arch: lm.LSTM, Vocab: 12000, Width: 200, Hidden: 200, Layers: 2, Dropout: 0.5},
			Config{Rows: 20, Length: 35}},
		{"LSTM-29k", lm.Config{Arch: lm.LSTM, Vocab: 28782, Width: 200, Hidden: 200, Layers: 2, Dropout: 0.5},
			Config{Rows: 20, Length: 35}},
	} {
		b.Run(size.name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			stream := make(corpus.Memory, 20*35*50+20)
			for i := range stream {
				stream[i] = token.ID(rng.IntN(size.model.Vocab))
			}
			recipe := Recipe(size.model)
			recipe.Rows, recipe.Length, recipe.Steps = size.config.Rows, size.config.Length, 1_000_000
			d, err := Text(size.model, recipe, nil, stream, nil)
			if err != nil {
				b.Fatal(err)
			}
			r := startRun(b, newModel(b, backendtest.Engine(b), size.model), d, recipe, "")
			step := func() {
				if err := r.advance(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			wait := func() {
				if _, err := r.kept.copy(r.engine, program.Whole, len(r.kept[0])-1); err != nil {
					b.Fatal(err)
				}
			}
			for range 5 {
				step()
			}
			wait()
			r.recent = 0
			b.ResetTimer()
			for range b.N {
				step()
			}
			wait()
			b.ReportMetric(float64(r.recent)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}
