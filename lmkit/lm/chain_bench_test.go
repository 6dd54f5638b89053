package lm

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// chainShapes are models of random weights.
var chainShapes = []struct {
	name string
	Config
}{
	{"2x64", Config{Arch: Transformer, Vocab: 500, Width: 64, Layers: 2, Heads: 4, Context: 64, Tied: true}},
	{"4x256", Config{Arch: Transformer, Vocab: 10000, Width: 256, Layers: 4, Heads: 4, Context: 128, Tied: true}},
	{"12x64", Config{Arch: Transformer, Vocab: 500, Width: 64, Layers: 12, Heads: 4, Context: 64, Tied: true}},
	{"gpt2", Config{Arch: Transformer, Vocab: 50257, Width: 768, Layers: 12, Heads: 12, Context: 1024, Tied: true}},
	{"llama-30x576", Config{
		Arch: Transformer, Vocab: 49152, Width: 576, Layers: 30, Heads: 9, KVHeads: 3, Inner: 1536, Context: 2048,
		Tied: true, Norm: net.RMSNorm, Gated: true, Activation: net.SiLU, Rope: net.Rope{Theta: 1e5},
		NoBias: net.Projections{QKV: true, Out: true, MLP: true},
	}},
}

// BenchmarkChain compares a Transformer as one program with the same as a chain of programs, in turns: the processor's
// seconds that the first answer takes, compiling included, and the milliseconds of the fastest of the later ones, for
// a forward pass and for the gradient by the embeddings, of one row and of eight rows of 32 tokens.
func BenchmarkChain(b *testing.B) {
	for _, x := range chainShapes {
		for _, rows := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/rows=%d", x.name, rows), func(b *testing.B) {
				for b.Loop() {
					compareChain(b, x.Config, rows)
				}
			})
		}
	}
}

func compareChain(b *testing.B, c Config, rows int) {
	before := chainFrom
	defer func() { chainFrom = before }()
	q := Query{Of: []Objective{{Unit: Logit, Terms: []Term{{Pos: -1, ID: 3, Weight: 1}}}}}
	for i := range rows {
		row := make([]token.ID, 32)
		for t := range row {
			row[t] = token.ID((i*31 + t*7919 + 13) % c.Vocab)
		}
		q.Rows = append(q.Rows, row)
	}
	by := q
	by.Wrt = []Tap{"embed"}
	ways := []struct {
		name   string
		layers int
	}{{"whole", math.MaxInt}, {"chain", 0}}
	models := make([]*Model, len(ways))
	fastest := map[string]float64{}
	run := func(w int, q Query) (wall, processor float64) {
		chainFrom.layers, chainFrom.params = ways[w].layers, 0
		start, used := time.Now(), processorSeconds()
		if _, err := models[w].Run(b.Context(), q); err != nil {
			b.Fatal(err)
		}
		return time.Since(start).Seconds(), processorSeconds() - used
	}
	for w, way := range ways {
		m, err := New(backendtest.Engine(b), c, nil, 1)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		models[w] = m
		_, forward := run(w, q)
		_, gradient := run(w, by)
		b.ReportMetric(forward, way.name+"-first-cpu-s")
		b.ReportMetric(gradient, way.name+"-grad-first-cpu-s")
	}
	for range 10 {
		for w, way := range ways {
			for name, q := range map[string]Query{way.name + "-ms": q, way.name + "-grad-ms": by} {
				wall, _ := run(w, q)
				ms := 1e3 * wall
				if old, ok := fastest[name]; !ok || ms < old {
					fastest[name] = ms
				}
			}
		}
	}
	for name, ms := range fastest {
		b.ReportMetric(ms, name)
	}
}

// processorSeconds is how long the process has used processors.
func processorSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
