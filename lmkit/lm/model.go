// Package lm holds the language models: one compiled forward pass whose every named activation can be recorded,
// replaced, and differentiated.
package lm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/token"
)

// Config is the shape of a model.
type Config = net.Config

// The architectures.
const (
	Transformer = net.Transformer // a causal decoder: GPT-2, Llama and their relatives
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
	*opened
	precision string // of products with weights, as of Options.Precision
}

// opened is what a model and its views share.
type opened struct {
	config    Config
	tokenizer token.Tokenizer
	engine    *backend.Engine
	params    []*tensors.Tensor // in the order of config.Params(), on the engine
	weights   named             // the same by their names
	held      string            // how most of them are held
	slices    int               // into how many the output matrix is cut where it is used; 1: it is not
	taps      map[Tap]TapInfo
	hash      string
	padding   int        // see Padding
	ends      []token.ID // see Ends
	chat      conversations
	training  json.RawMessage

	mean struct { // of the token embeddings
		once sync.Once
		row  Array
		err  error
	}

	sink     sink
	programs *program.Cache
	users    users
}

// New makes a model with fresh random weights: those of GPT-2 (normal, 0.02, residual projections scaled by
// 1/sqrt(2L)), or of PyTorch's word language model (uniform, 0.1 for the embedding and the head, 1/sqrt(H) in the
// LSTM). The tokenizer may be nil: the model then works on IDs alone.
func New(e *backend.Engine, c Config, tok token.Tokenizer, seed uint64) (*Model, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := Fits(c, 2); err != nil {
		return nil, err
	}
	numbers := format.Fresh(c, func(i int, p net.Param, n int) []float32 {
		return fresh(p.Init, n, rand.New(rand.NewPCG(seed, uint64(i))))
	})
	ws := map[string]Array{}
	for _, p := range c.Params() {
		ws[p.Name] = Array{Dims: p.Dims, Data: numbers[p.Name]}
	}
	return FromWeights(e, c, tok, ws)
}

// fresh draws n numbers that start as x says.
func fresh(x net.Init, n int, rng *rand.Rand) []float32 {
	data := make([]float32, n)
	for k := range data {
		switch {
		case x.Normal > 0:
			data[k] = float32(x.Value + x.Normal*rng.NormFloat64())
		case x.Uniform > 0:
			data[k] = float32(x.Value + x.Uniform*(2*rng.Float64()-1))
		default:
			data[k] = float32(x.Value)
		}
	}
	return data
}

// FromWeights makes a model of given weights, named and shaped as c.Params() says.
func FromWeights(e *backend.Engine, c Config, tok token.Tokenizer, weights map[string]Array) (*Model, error) {
	c = c.WithDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for _, p := range c.Params() {
		a, ok := weights[p.Name]
		if !ok {
			return nil, fmt.Errorf("there is no weight %q, which should have shape %v", p.Name, p.Dims)
		}
		if !slices.Equal(a.Dims, p.Dims) || len(a.Data) != p.Size() {
			return nil, fmt.Errorf("weight %q has shape %v, where the configuration asks for %v", p.Name, a.Dims, p.Dims)
		}
	}
	return assemble(context.Background(), e, c, tok, inMemory(weights), Options{})
}

// Config is the model's shape.
func (m *Model) Config() Config { return m.config }

// Tokenizer is the model's tokenizer, or nil.
func (m *Model) Tokenizer() token.Tokenizer { return m.tokenizer }

// CheckText returns an error if the model cannot read a text, since it has no tokenizer.
func (m *Model) CheckText() error {
	if m.tokenizer == nil {
		return errors.New("this model has no tokenizer, and cannot read a text")
	}
	return nil
}

// Precision is what products with weights are computed in: Float32 or BFloat16.
func (m *Model) Precision() string { return cmp.Or(m.precision, Float32) }

// InFloat32 is the same model, whose products with weights are computed in float32: what Options.Precision costs can be
// measured by it. Closing either closes both.
func (m *Model) InFloat32() *Model { return &Model{opened: m.opened} }

// Engine is what the model runs on.
func (m *Model) Engine() *backend.Engine { return m.engine }

// Hash identifies the model by what its files hold, or would hold if it was saved: it is the SHA-256, in hexadecimal,
// of the configuration and of each tensor's name, number type, shape and bytes.
func (m *Model) Hash() string { return m.hash }

// Taps lists the activations that can be recorded, replaced and differentiated by, in the order of computation.
func (m *Model) Taps() []TapInfo { return m.config.Taps() }

// tapsOf is a model's activations by their names.
func tapsOf(c Config) map[Tap]TapInfo {
	taps := map[Tap]TapInfo{}
	for _, t := range c.Taps() {
		taps[t.Name] = t
	}
	return taps
}

// Tap finds an activation by its name.
func (m *Model) Tap(name Tap) (TapInfo, error) {
	if t, ok := m.taps[name]; ok {
		return t, nil
	}
	all := m.Taps()
	last := name[strings.LastIndex(name, ".")+1:]
	for _, t := range all {
		if strings.HasSuffix(t.Name, "."+last) {
			return TapInfo{}, fmt.Errorf("the model has no activation %q; did you mean %s?", name, t.Name)
		}
	}
	return TapInfo{}, fmt.Errorf("the model has no activation %q; its activations run from %s to %s (Taps lists them)",
		name, all[0].Name, all[len(all)-1].Name)
}

// Params is the number of trained numbers.
func (m *Model) Params() int {
	n := 0
	for _, p := range m.config.Params() {
		n += p.Size()
	}
	return n
}

// Tensors is the weights as they lie on the engine and are held, in the order of Config().Params(). They are not to be
// changed.
func (m *Model) Tensors() []*tensors.Tensor { return m.params }

// TokenText is how a token reads: by the tokenizer, or "#7" without one.
func (m *Model) TokenText(id token.ID) string {
	if m.tokenizer != nil {
		if s := m.tokenizer.Token(id); s != "" {
			return s
		}
	}
	return fmt.Sprintf("#%d", id)
}

// free gives the engine's memory back.
func (m *Model) free() {
	m.programs.Close()
	program.Free(m.params...)
}
