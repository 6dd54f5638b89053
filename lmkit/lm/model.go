// Package lm holds the language models: one compiled forward pass whose every named activation can be recorded,
// replaced, and differentiated.
package lm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/token"
)

// Config is the shape of a model. Its JSON form is config.json: Hugging Face's keys for GPT-2, PyTorch's for the LSTM.
type Config = net.Config

// The architectures.
const (
	Transformer = net.Transformer // GPT-2: pre-LayerNorm, learned positions, causal attention
	LSTM        = net.LSTM        // PyTorch's nn.Embedding, nn.LSTM, nn.Linear
)

// Tap names an activation, such as "block.2.attn.pattern", "lstm.1.gate.f" or "embed".
type Tap = string

// TapInfo describes an activation.
type TapInfo = net.TapInfo

// Array is a row-major array of numbers.
type Array struct {
	Dims []int
	Data []float32
}

// Index is the part of the array at the first axes: a.Index(b) of a [B, T, D] array is row b, [T, D]. It shares the
// numbers with a.
func (a Array) Index(at ...int) Array {
	for _, i := range at {
		n := len(a.Data) / a.Dims[0]
		a = Array{Dims: a.Dims[1:], Data: a.Data[i*n : (i+1)*n]}
	}
	return a
}

// Model is weights, a tokenizer, and the programs compiled from them. It never changes after it was made, and is safe
// for concurrent use.
type Model struct {
	config    Config
	tokenizer token.Tokenizer
	engine    *backend.Engine
	params    []*tensors.Tensor // in the order of config.Params(), on the engine
	hash      string
	training  json.RawMessage

	table struct { // of token embeddings
		once      sync.Once
		all, mean Array
		err       error
	}

	mu       sync.Mutex
	programs map[string]*executable
	clock    int // of the last use of a program
}

// New makes a model with fresh random weights: those of GPT-2 (normal, 0.02, residual projections scaled by
// 1/sqrt(2L)), or of PyTorch's word language model (uniform, 0.1 for the embedding and the head, 1/sqrt(H) in the
// LSTM). The tokenizer may be nil: the model then works on IDs alone.
func New(e *backend.Engine, c Config, tok token.Tokenizer, seed uint64) (*Model, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	ws := map[string]Array{}
	for i, p := range c.Params() {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		n := 1
		for _, d := range p.Dims {
			n *= d
		}
		a := Array{Dims: p.Dims, Data: make([]float32, n)}
		draw := initial(c, p.Name, rng)
		for k := range a.Data {
			a.Data[k] = float32(draw())
		}
		ws[p.Name] = a
	}
	return FromWeights(e, c, tok, ws)
}

// initial draws the fresh numbers of one parameter.
func initial(c Config, name string, rng *rand.Rand) func() float64 {
	uniform := func(r float64) func() float64 { return func() float64 { return r * (2*rng.Float64() - 1) } }
	constant := func(v float64) func() float64 { return func() float64 { return v } }
	if c.Arch == LSTM {
		switch {
		case name == "linear.bias":
			return constant(0)
		case strings.HasPrefix(name, "lstm."):
			return uniform(1 / math.Sqrt(float64(c.Hidden)))
		}
		return uniform(0.1)
	}
	sd := 0.02
	switch {
	case strings.HasSuffix(name, ".bias"):
		return constant(0)
	case strings.Contains(name, "ln_"):
		return constant(1)
	case strings.HasSuffix(name, "c_proj.weight"):
		sd /= math.Sqrt(float64(2 * c.Layers))
	}
	return func() float64 { return sd * rng.NormFloat64() }
}

// FromWeights makes a model of given weights, named and shaped as c.Params() says.
func FromWeights(e *backend.Engine, c Config, tok token.Tokenizer, weights map[string]Array) (*Model, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if tok != nil && tok.Size() != c.Vocab {
		return nil, fmt.Errorf("the tokenizer has %d tokens, but the model's vocabulary %d", tok.Size(), c.Vocab)
	}
	m := &Model{config: c, tokenizer: tok, engine: e, programs: map[string]*executable{}}
	sum := sha256.New()
	conf, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sum.Write(conf)
	var buf []byte
	for _, p := range c.Params() {
		a, ok := weights[p.Name]
		if !ok {
			return nil, fmt.Errorf("there is no weight %q, which should have shape %v", p.Name, p.Dims)
		}
		if !slices.Equal(a.Dims, p.Dims) {
			return nil, fmt.Errorf("weight %q has shape %v, where the configuration asks for %v", p.Name, a.Dims, p.Dims)
		}
		for chunk := range slices.Chunk(a.Data, 1<<16) {
			buf = buf[:0]
			for _, v := range chunk {
				if v-v != 0 {
					return nil, fmt.Errorf("weight %q holds a number that is not finite (%v): the file is damaged, or its training diverged", p.Name, v)
				}
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			sum.Write(buf)
		}
		t, err := program.Put(e, a.Data, a.Dims...)
		if err != nil {
			return nil, err
		}
		m.params = append(m.params, t)
	}
	m.hash = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}

// Config is the model's shape.
func (m *Model) Config() Config { return m.config }

// Tokenizer is the model's tokenizer, or nil.
func (m *Model) Tokenizer() token.Tokenizer { return m.tokenizer }

// Engine is what the model runs on.
func (m *Model) Engine() *backend.Engine { return m.engine }

// Hash is the SHA-256 of the configuration and the weights, in hexadecimal.
func (m *Model) Hash() string { return m.hash }

// Taps lists the activations that can be recorded, replaced and differentiated by, in the order of computation.
func (m *Model) Taps() []TapInfo { return m.config.Taps() }

// Params is the number of trained numbers.
func (m *Model) Params() int {
	n := 0
	for _, t := range m.params {
		n += t.Size()
	}
	return n
}

// Tensors is the weights as they lie on the engine, in the order of Config().Params(). They are not to be changed.
func (m *Model) Tensors() []*tensors.Tensor { return m.params }

// Weight copies a weight by its name.
func (m *Model) Weight(name string) (Array, error) {
	for i, p := range m.config.Params() {
		if p.Name == name {
			data, dims, err := program.Copy(m.engine, m.params[i])
			return Array{Dims: dims, Data: data}, err
		}
	}
	return Array{}, fmt.Errorf("the model has no weight %q", name)
}

// Weights copies all weights.
func (m *Model) Weights() (map[string]Array, error) {
	ws := map[string]Array{}
	for i, p := range m.config.Params() {
		data, dims, err := program.Copy(m.engine, m.params[i])
		if err != nil {
			return nil, err
		}
		ws[p.Name] = Array{Dims: dims, Data: data}
	}
	return ws, nil
}

// Embedding is the table of token embeddings [V, D]. It is copied from the engine once: leave it as it is.
func (m *Model) Embedding() (Array, error) {
	t := &m.table
	t.once.Do(func() {
		if t.all, t.err = m.Weight(m.config.Params()[0].Name); t.err == nil {
			t.mean = meanRow(t.all)
		}
	})
	return t.all, t.err
}

// MeanEmbedding is the mean of the table's rows [D]: leave it as it is.
func (m *Model) MeanEmbedding() (Array, error) {
	_, err := m.Embedding()
	return m.table.mean, err
}

func meanRow(table Array) Array {
	V, D := table.Dims[0], table.Dims[1]
	sum := make([]float64, D)
	for i := range V {
		for d, v := range table.Data[i*D : (i+1)*D] {
			sum[d] += float64(v)
		}
	}
	out := Array{Dims: []int{D}, Data: make([]float32, D)}
	for d, s := range sum {
		out.Data[d] = float32(s / float64(V))
	}
	return out
}

// TokenText is how a token reads: by the tokenizer, or "#7" without one.
func (m *Model) TokenText(id token.ID) string {
	if m.tokenizer != nil {
		if s := m.tokenizer.Token(id); s != "" {
			return s
		}
	}
	return fmt.Sprintf("#%d", id)
}

// Close frees the engine's memory that the model holds.
func (m *Model) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.programs {
		p.Finalize()
	}
	m.programs = nil
	program.Free(m.params...)
}

// executable is a compiled program of the model, and who uses it.
type executable struct {
	*program.Program
	users int
	used  int
}

// maxPrograms bounds the programs a model keeps: each takes about 9 MB.
const maxPrograms = 48

// executable finds or makes the program of a query; release must be called after its use.
func (m *Model) executable(k net.Program) (p *executable, release func(), err error) {
	c := m.config
	return m.compiled(k.Key(), func(in []*graph.Node) []*graph.Node { return net.Build(c, k, in) })
}

// compiled finds the program with this key, or makes it; release must be called after its use.
func (m *Model) compiled(key string, build func(in []*graph.Node) []*graph.Node) (p *executable, release func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.programs == nil {
		return nil, nil, fmt.Errorf("the model is closed")
	}
	p = m.programs[key]
	if p == nil {
		m.evict()
		b, err := program.New(m.engine, build)
		if err != nil {
			return nil, nil, err
		}
		p = &executable{Program: b}
		m.programs[key] = p
	}
	m.clock++
	p.users, p.used = p.users+1, m.clock
	return p, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		p.users--
	}, nil
}

// evict makes room for one more program, by freeing the one that was not used for longest.
func (m *Model) evict() {
	if len(m.programs) < maxPrograms {
		return
	}
	oldest := ""
	for k, p := range m.programs {
		if p.users == 0 && (oldest == "" || p.used < m.programs[oldest].used) {
			oldest = k
		}
	}
	if oldest != "" {
		m.programs[oldest].Finalize()
		delete(m.programs, oldest)
	}
}

func tensorsOf(ws map[string]Array) map[string]safetensors.Tensor {
	ts := make(map[string]safetensors.Tensor, len(ws))
	for n, a := range ws {
		ts[n] = safetensors.Tensor(a)
	}
	return ts
}
