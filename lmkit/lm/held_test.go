package lm

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/number"
)

// storedKinds are the kinds that matrices are held as, and where a block of each has scales: float16 numbers.
var storedKinds = []struct {
	number.Kind
	halves []int
}{
	{number.F16, []int{0}}, {number.BF16, []int{0}}, {number.Q4_0, []int{0}}, {number.Q4_1, []int{0, 2}},
	{number.Q5_0, []int{0}}, {number.Q5_1, []int{0, 2}}, {number.Q8_0, []int{0}}, {number.Q2_K, []int{80, 82}},
	{number.Q3_K, []int{108}}, {number.Q4_K, []int{0, 2}}, {number.Q5_K, []int{0, 2}}, {number.Q6_K, []int{208}},
}

// stored is a source of random numbers: those of matrix number i are stored as the kind number i, and so on around.
type stored struct {
	kinds map[string]number.Kind
	raw   map[string][]byte
}

func newStored(t *testing.T, c Config, seed uint64) stored {
	t.Helper()
	s := stored{map[string]number.Kind{}, map[string][]byte{}}
	rng := rand.New(rand.NewPCG(seed, 1))
	matrix := 0
	for _, p := range c.WithDefaults().Params() {
		if len(p.Dims) == 1 {
			s.kinds[p.Name] = number.F32
			data := make([]float32, p.Size())
			for i := range data {
				data[i] = float32(p.Init.Value + 0.1*rng.NormFloat64())
			}
			s.raw[p.Name] = number.Bytes(data)
			continue
		}
		k := storedKinds[matrix%len(storedKinds)]
		matrix++
		size, err := k.Size(p.Size())
		if err != nil {
			t.Fatal(err)
		}
		block, _ := k.Size(k.Block())
		raw := make([]byte, size)
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		for at := 0; at < size; at += block {
			for _, half := range k.halves {
				bits := uint16(0x1400 + rng.IntN(0x400)) // about 0.001 to 0.002
				switch {
				case k.Kind == number.F16:
					bits = uint16(0x2800+rng.IntN(0x800)) | uint16(rng.IntN(2))<<15 // 0.03 to 0.12
				case k.Kind == number.BF16:
					bits = uint16(0x3d00+rng.IntN(0x100)) | uint16(rng.IntN(2))<<15 // likewise
				case k.Kind == number.Q4_0 || k.Kind == number.Q4_1 || k.Kind == number.Q5_0 || k.Kind == number.Q5_1:
					bits += 0x0c00 // about 0.01
				}
				binary.LittleEndian.PutUint16(raw[at+half:], bits)
			}
		}
		s.kinds[p.Name], s.raw[p.Name] = k.Kind, raw
	}
	return s
}

func (s stored) Fill(p net.Param, to []float32) error {
	return number.Floats(to, s.kinds[p.Name], s.raw[p.Name])
}
func (s stored) Kind(p net.Param) number.Kind                 { return s.kinds[p.Name] }
func (s stored) Raw(p net.Param, to []byte) error             { copy(to, s.raw[p.Name]); return nil }
func (s stored) Hash(context.Context, Config) (string, error) { return "", nil }

// heldShapes are models whose matrices have rows of whole blocks.
var heldShapes = map[string]Config{
	"llama": {
		Arch: Transformer, Vocab: 17, Width: 256, Layers: 3, Heads: 8, KVHeads: 4, HeadWidth: 32, Inner: 256, Context: 24,
		Norm: net.RMSNorm, Gated: true, Activation: net.SiLU, Rope: net.Rope{Theta: 100},
		NoBias: net.Projections{QKV: true, Out: true, MLP: true},
	},
	"gpt2": {Arch: Transformer, Vocab: 17, Width: 256, Layers: 3, Heads: 4, Inner: 256, Context: 24, Tied: true},
	"lstm": {Arch: LSTM, Vocab: 17, Width: 256, Layers: 2, Hidden: 256},
}

// Weights that are held as they are stored give the answers of float32 ones, whatever is asked: activations, gradients
// by all rules, edits; as a chain of programs and as one; on both engines. Copies of them are equal to the bit.
func TestHeldAsStored(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.PureGo(t), backendtest.Engine(t)} {
		for name, c := range heldShapes {
			from := newStored(t, c, 3)
			plain, err := assemble(context.Background(), e, c, nil, from, Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(plain.Close)
			held, err := assemble(context.Background(), e, c, nil, from, Options{Weights: AsFile})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(held.Close)
			if plain.Held() != Float32 || !strings.Contains(held.Held(), "Q4_1 ") || plain.Params() != held.Params() {
				t.Errorf("%s: held as %q and %q, %d and %d numbers", name, plain.Held(), held.Held(), plain.Params(),
					held.Params())
			}
			sameWeights(t, held, plain)
			cut := cutModel(t, e, c, from)
			if want := map[string]int{Transformer: 4, LSTM: 1}[c.Arch]; cut.slices != want || held.slices != 1 {
				t.Errorf("%s: the output matrix is cut into %d and %d", name, cut.slices, held.slices)
			}
			queries := chainQueries(plain, rand.New(rand.NewPCG(1, 2)))
			for what, q := range queries {
				few := what == "by the input" || what == "edits" && c.Attends()
				if !few && name != "llama" {
					continue // the same graphs
				}
				t.Run(e.Kind+"/"+name+"/"+what, func(t *testing.T) {
					for _, way := range []func(*testing.T){chainAlways, chainNever} {
						if way(t); e != backendtest.PureGo(t) && (name != "llama" || what != "by a late one" || !plain.chained()) {
							continue // to compile all takes long
						}
						sameAnswers(t, "held as stored", ask(t, held, q), ask(t, plain, q))
					}
					if c.Attends() && (e == backendtest.PureGo(t) || name == "llama" && what == "by the end") {
						sameAnswers(t, "cut", ask(t, cut, q), ask(t, plain, q))
					}
				})
			}
		}
	}
}

// cutModel is a model whose output matrix is held as it is stored, and used five rows at a time.
func cutModel(t *testing.T, e *backend.Engine, c Config, from source) *Model {
	t.Helper()
	was := sliceBytes
	defer func() { sliceBytes = was }()
	sliceBytes = 5 * 4 * 256
	m, err := assemble(t.Context(), e, c, nil, from, Options{Weights: AsFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// Whether a model fits is asked of the bytes that are held, before any is: a model that fits as its file has it opens
// so, and as float32 names this cure.
func TestHeldFits(t *testing.T) {
	c := heldShapes["gpt2"].WithDefaults()
	from := newStored(t, c, 3)
	stored, floats := 0, 0
	for _, p := range c.Params() {
		stored, floats = stored+len(from.raw[p.Name]), floats+4*p.Size()
	}
	for _, x := range []struct {
		memory int
		o      Options
		want   string
	}{
		{floats, Options{}, ""}, {floats - 1, Options{}, "(--weights file), in " + Bytes(float64(stored))},
		{stored, Options{Weights: AsFile}, ""}, {stored - 1, Options{Weights: AsFile}, "take a smaller model"},
		{stored - 1, Options{}, "the weights take " + Bytes(float64(floats))},
	} {
		setForTest(t, &machineMemory, func() int64 { return int64(x.memory) })
		m, err := assemble(t.Context(), backendtest.PureGo(t), c, nil, from, x.o)
		if err == nil {
			m.Close()
		}
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v in %d bytes: %v, want %q", x.o, x.memory, err, x.want)
		}
	}
}

// A decoder chooses by the logits of all slices of the output matrix.
func TestCutDecodes(t *testing.T) {
	for name, c := range heldShapes {
		if c.Attends() {
			t.Run(name, func(t *testing.T) { decodeAsChain(t, cutModel(t, backendtest.PureGo(t), c, newStored(t, c, 3))) })
		}
	}
}

func ask(t *testing.T, m *Model, q Query) *Answer {
	t.Helper()
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sameWeights compares copies of weights, and rows of the embedding, to the bit.
func sameWeights(t *testing.T, got, want *Model) {
	t.Helper()
	equal := func(what string, a, b Array, err error) {
		t.Helper()
		if err != nil || len(a.Data) != len(b.Data) {
			t.Fatalf("%s: shapes %v and %v, %v", what, a.Dims, b.Dims, err)
		}
		for i, w := range b.Data {
			if math.Float32bits(a.Data[i]) != math.Float32bits(w) {
				t.Fatalf("%s: number %d is %v, want %v", what, i, a.Data[i], w)
			}
		}
	}
	a, err := got.Weights()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.Weights()
	for name := range b {
		equal(name, a[name], b[name], err)
	}
	rows, err := got.Embeddings(3, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []int{3, 16, 3} {
		equal("an embedding", rows.Index(i), b["embed.weight"].Index(id), nil)
	}
	mean, err := got.MeanEmbedding()
	other, _ := want.MeanEmbedding()
	equal("the mean", mean, other, err)
}
