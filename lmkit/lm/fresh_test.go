package lm_test

import (
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
)

// A seed gives the same fresh model, whatever its parameters are cut into: it is drawn as its files hold it. In
// GPT-2's, queries, keys and values are side by side in one matrix [in, out].
func TestFreshModelsStayTheSame(t *testing.T) {
	transformer := lm.Config{Arch: lm.Transformer, Vocab: 11, Width: 8, Heads: 2, Layers: 2, Context: 9}
	lstm := lm.Config{Arch: lm.LSTM, Vocab: 11, Width: 8, Hidden: 6, Layers: 2}
	for _, tt := range []struct {
		c     lm.Config
		param string
		first []float32
	}{
		{transformer, "block.1.attn.q.weight", []float32{-0.013823735, -0.00429302}},
		{transformer, "block.1.attn.k.weight", []float32{0.018762719}},
		{transformer, "block.1.mlp.out.weight", []float32{0.0019581493, 0.013174016}},
		{lstm, "lstm.1.hidden.weight", []float32{0.27720922, 0.04407038, 0.32104}},
	} {
		m, err := lm.New(backendtest.PureGo(t), tt.c, nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		w, err := m.Weight(tt.param)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.first {
			if d := w.Data[i] - want; d > 1e-7 || d < -1e-7 {
				t.Errorf("%s starts %v, want %v", tt.param, w.Data[:len(tt.first)], tt.first)
				break
			}
		}
	}
}
