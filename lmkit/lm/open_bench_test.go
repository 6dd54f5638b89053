package lm_test

import (
	"testing"
	"time"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/hub/hubtest"
	"lmkit.internal/lmkit/lm"
)

// BenchmarkOpen is how long it takes until the 134,515,008 numbers of SmolLM2's GGUF file are ready on the engine, once
// that is open: as float32, and held as the file has them. It reports the fastest time, too, which says more on a
// machine with other work.
func BenchmarkOpen(b *testing.B) {
	file, e := hubtest.SmolLM2(b), backendtest.Engine(b)
	for _, weights := range []string{lm.Float32, lm.AsFile} {
		b.Run(weights, func(b *testing.B) {
			fastest := time.Hour
			for b.Loop() {
				start := time.Now()
				m, err := lm.Options{Weights: weights}.Open(b.Context(), e, file)
				if err != nil {
					b.Fatal(err)
				}
				fastest = min(fastest, time.Since(start))
				m.Close()
			}
			b.ReportMetric(fastest.Seconds(), "fastest-s")
		})
	}
}
