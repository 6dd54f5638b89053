package lm

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/token"
)

// oneBillion has the shape of Llama 3.2 1B.
var oneBillion = Config{
	Arch: Transformer, Vocab: 128256, Width: 2048, Layers: 16, Heads: 32, KVHeads: 8, Inner: 8192, Context: 2048,
	Tied: true, Norm: net.RMSNorm, Gated: true, Activation: net.SiLU, Rope: net.Rope{Theta: 5e5},
	NoBias: net.Projections{QKV: true, Out: true, MLP: true},
}

// noise is a source of random numbers, whose matrices are stored as one kind.
type noise struct{ kind number.Kind }

func (n noise) Kind(p net.Param) number.Kind {
	if len(p.Dims) == 1 {
		return number.F32
	}
	return n.kind
}

func (n noise) Hash(context.Context, Config) (string, error) { return "", nil }

func (n noise) Fill(p net.Param, to []float32) error {
	if len(p.Dims) == 1 {
		for i := range to {
			to[i] = 1
		}
		return nil
	}
	size, err := n.kind.Size(p.Size())
	if err != nil {
		return err
	}
	raw := make([]byte, size)
	if err := n.Raw(p, raw); err != nil {
		return err
	}
	return number.Floats(to, n.kind, raw)
}

func (n noise) Raw(_ net.Param, to []byte) error {
	block, err := n.kind.Size(n.kind.Block())
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 0; i+8 <= len(to); i += 8 {
		bits := rng.Uint64()
		if n.kind == number.BF16 {
			bits = bits&0x80ff80ff80ff80ff | 0x3c003c003c003c00 // -0.03 to 0.03, without small ones
		}
		binary.LittleEndian.PutUint64(to[i:], bits)
	}
	if n.kind == number.Q4_K {
		for at := 0; at < len(to); at += block { // its scale, and the scale of its offsets
			binary.LittleEndian.PutUint32(to[at:], 0x04000080)
		}
	}
	return nil
}

// BenchmarkHeld is what a model of 1.2 billion random numbers takes, stored as bfloat16 or Q4_K: the processor's
// seconds to hold them, and for the first and the next answer and gradient by the embeddings of a text of 32 tokens,
// and the highest memory of the process. So run one at a time: -bench 'Held/BF16/file$'.
func BenchmarkHeld(b *testing.B) {
	e := backendtest.Engine(b)
	for _, kind := range []number.Kind{number.BF16, number.Q4_K} {
		for _, weights := range []string{Float32, AsFile} {
			b.Run(string(kind)+"/"+weights, func(b *testing.B) {
				start := processorSeconds()
				m, err := assemble(b.Context(), e, oneBillion, nil, noise{kind}, Options{Weights: weights})
				if err != nil {
					b.Fatal(err)
				}
				defer m.Close()
				b.ReportMetric(processorSeconds()-start, "s-to-hold")
				b.ReportMetric(peak(b, "VmHWM:"), "GB-peak-to-hold")
				b.ReportMetric(peak(b, "VmRSS:"), "GB-held")
				row := make([]token.ID, 32)
				for i := range row {
					row[i] = token.ID(i * 4001)
				}
				q := Query{Rows: [][]token.ID{row}, Logits: LastLogits,
					Of: []Objective{{Unit: LogProb, Terms: []Term{{Pos: -1, ID: 5, Weight: 1}}}}}
				by := q
				by.Wrt = []Tap{"embed"}
				for _, x := range []struct {
					name string
					q    Query
				}{{"answer", q}, {"gradient", by}} {
					for _, which := range []string{"first", "next"} {
						start := processorSeconds()
						if _, err := m.Run(context.Background(), x.q); err != nil {
							b.Fatal(err)
						}
						b.ReportMetric(processorSeconds()-start, "s-"+which+"-"+x.name)
					}
					b.ReportMetric(peak(b, "VmHWM:"), "GB-peak-"+x.name)
				}
			})
		}
	}
}

// peak reads a line of Linux's account of the process' memory.
func peak(b *testing.B, name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), name)
	kB, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kB / 1e6
}
