// Package lmtest gives tests small models of every kind: random ones with every switch, and those of the families.
package lmtest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/lm"
)

// Families lists the tiny models that Hugging Face's own classes made, each with every switch of its family on and
// with random gains and biases.
var Families = []string{
	"gpt2", "llama", "llama-linear", "mistral", "qwen2", "qwen2-full", "qwen3", "qwen3-window", "gpt_neox",
	"gpt_neox-sequential", "gemma2", "gemma3_text", "olmo2", "opt", "opt-post", "phi", "phi-plain", "phi3", "phi3-window",
	"smollm3",
}

// EachModel runs a test on a model of each family, and on an LSTM of two layers. All have 13 tokens or more, and read
// 8 or more.
func EachModel(t *testing.T, e *backend.Engine, test func(t *testing.T, m *lm.Model)) {
	_, here, _, _ := runtime.Caller(0)
	data := filepath.Join(filepath.Dir(here), "..", "testdata")
	folders := []string{filepath.Join(data, "reference", "lstm")}
	for _, name := range Families {
		folders = append(folders, filepath.Join(data, "families", name))
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			m, err := lm.Open(e, folder)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Close)
			test(t, m)
		})
	}
}

// Vocab is the vocabulary of random models.
const Vocab = 13

// Switches is a small decoder with each switch at random: what no published family combines, too.
func Switches(rng *rand.Rand) lm.Config {
	flip := func() bool { return rng.IntN(2) == 0 }
	word := func(of ...string) string { return of[rng.IntN(len(of))] }
	either := func(x float64) float64 { return x * float64(rng.IntN(2)) }
	c := lm.Config{
		Arch: lm.Transformer, Vocab: Vocab, Width: 8 + 4*rng.IntN(2), Layers: 2 + rng.IntN(2),
		Context: 20, Tied: flip(),
		KVHeads: 1 + rng.IntN(2), HeadWidth: 4 + 2*rng.IntN(2), Scale: either(0.4), ScoreCap: either(2), LogitCap: either(5),
		QKNorm: word("", net.EachHead, net.AllHeads), Inner: 10, Gated: flip(),
		Activation: word(net.GELUTanh, net.GELU, net.SiLU, net.ReLU), Norm: word(net.LayerNorm, net.RMSNorm, net.PlainNorm),
		NormOffset: either(1), NormPlace: word(net.PreNorm, net.PostNorm, net.BothNorms, net.SumNorm), Epsilon: 1e-3,
		Residual: word(net.Sequential, net.Parallel), EmbedScale: either(1.7), HeadBias: flip(),
		NoBias: net.Projections{QKV: flip(), Out: flip(), MLP: flip()}, EmbedWidth: 6 * rng.IntN(2),
		Positions: word(net.Learned, net.Rotary, net.Rotary, net.NoPositions), Window: 2 + rng.IntN(2),
	}
	c.Heads = c.KVHeads * (1 + rng.IntN(3))
	if c.NormPlace == net.PreNorm && flip() {
		c.Residual = net.ParallelOne
	}
	letters := "fs"
	switch c.Positions {
	case net.Learned:
		c.PositionOffset = 2 * rng.IntN(2)
	case net.Rotary:
		letters = "fsn"
		c.Rope = net.Rope{Theta: 30, Width: 4 * rng.IntN(2), Magnitude: 1 + either(0.3),
			Scaling: word("", net.LinearScaling, net.Llama3Scaling, net.YarnScaling), Factor: 3, Low: 1, High: 4, Original: 16}
		if flip() {
			c.LocalRope = net.Rope{Theta: 7}
		}
	}
	for range c.Layers {
		c.Pattern += string(letters[rng.IntN(len(letters))])
	}
	return c.WithDefaults()
}

// Random is a model of that shape with random numbers everywhere: gains and biases, too.
func Random(t testing.TB, e *backend.Engine, c lm.Config, rng *rand.Rand) *lm.Model {
	t.Helper()
	ws := map[string]lm.Array{}
	for _, p := range c.Params() {
		n := 1
		for _, d := range p.Dims {
			n *= d
		}
		w := lm.Array{Dims: p.Dims, Data: make([]float32, n)}
		for i := range w.Data {
			spread := 0.25
			if len(p.Dims) == 2 {
				spread = 0.45
			}
			w.Data[i] = float32(p.Init.Value + spread*rng.NormFloat64())
		}
		ws[p.Name] = w
	}
	m, err := lm.FromWeights(e, c, nil, ws)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	t.Cleanup(m.Close)
	return m
}

// EachRandom runs a test on models of random shapes.
func EachRandom(t *testing.T, e *backend.Engine, n int, test func(t *testing.T, m *lm.Model, rng *rand.Rand)) {
	if testing.Short() {
		n = (n + 3) / 4
	}
	for seed := range n {
		rng := rand.New(rand.NewPCG(uint64(seed), 14))
		c := Switches(rng)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%+v", c)
				}
			})
			test(t, Random(t, e, c, rng), rng)
		})
	}
}
