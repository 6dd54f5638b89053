package lm_test

import (
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/hub/hubtest"
	"lmkit.internal/lmkit/lm"
)

// BenchmarkOpen is how long it takes until the 134,515,008 numbers of SmolLM2's GGUF file are ready on the engine, once
// that is open.
func BenchmarkOpen(b *testing.B) {
	file, e := hubtest.SmolLM2(b), backendtest.Engine(b)
	for b.Loop() {
		m, err := lm.Open(e, file)
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
