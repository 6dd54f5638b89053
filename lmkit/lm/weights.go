package lm

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// How weights are held in memory, and what products with them are computed in.
const (
	Float32  = "float32" // 4 bytes a number
	AsFile   = "file"    // matrices as their file has them: 16-bit numbers, or quantised blocks
	BFloat16 = "bf16"    // factors of 2 bytes, of which 8 bits are significant, and sums in float32
)

// Options says how a model is opened. The zero value has sane defaults.
type Options struct {
	// Weights is Float32 or AsFile; "": Float32. What is held as the file has it takes less memory, and becomes float32
	// in the program of each layer, whenever it runs: the results are those of Float32 to rounding.
	Weights string
	// Precision is Float32 or BFloat16; "": Float32. In BFloat16, both factors of each product of an activation and a
	// matrix of weights are rounded to 8 significant bits, forward and backward, and what they add up to is float32; all
	// else is float32. It is for Transformers on XLA, and faster where the processor multiplies matrices of them (AMX);
	// elsewhere it takes half as long again as float32. Explanations say what it changes of the input's value.
	Precision string
}

// Validate says what is wrong with options, if anything.
func (o Options) Validate() error {
	if !slices.Contains([]string{"", Float32, AsFile}, o.Weights) {
		return fmt.Errorf("weights are held as %s or %s, not as %q", Float32, AsFile, o.Weights)
	}
	if !slices.Contains([]string{"", Float32, BFloat16}, o.Precision) {
		return fmt.Errorf("products are computed in %s or %s, not in %q", Float32, BFloat16, o.Precision)
	}
	return nil
}

// source is what a model's weights come from.
type source interface {
	// Fill writes the numbers of a parameter.
	Fill(p net.Param, to []float32) error
	// Kind is how they are stored, if Raw writes them as they are; else F32.
	Kind(p net.Param) number.Kind
	Raw(p net.Param, to []byte) error
	// Hash identifies the model. It may be called while others are, and ends when ctx does.
	Hash(ctx context.Context, c Config) (string, error)
}

// inMemory is a source of numbers that Go holds.
type inMemory map[string]Array

func (g inMemory) Fill(p net.Param, to []float32) error {
	copy(to, g[p.Name].Data)
	return nil
}

func (g inMemory) Kind(net.Param) number.Kind { return number.F32 }

func (g inMemory) Raw(p net.Param, to []byte) error {
	copy(to, number.Bytes(g[p.Name].Data))
	return nil
}

func (g inMemory) Hash(_ context.Context, c Config) (string, error) {
	return format.HashOf(c, func(param string) []float32 { return g[param].Data })
}

// assemble makes a model of weights that it takes one at a time. The context's [progress.Func] hears how many of their
// numbers are there. When ctx ends, nothing is left of the model.
func assemble(
	ctx context.Context, e *backend.Engine, c Config, tok token.Tokenizer, from source, o Options,
) (*Model, error) {
	c = c.WithDefaults()
	if err := cmp.Or(c.Validate(), o.Validate(), o.computable(e, c)); err != nil {
		return nil, err
	}
	if tok != nil && tok.Size() != c.Vocab && !lacksOnlySpecial(tok, c.Vocab) {
		return nil, fmt.Errorf("the tokenizer has %d tokens, but the model's vocabulary %d", tok.Size(), c.Vocab)
	}
	if err := o.fitsAs(c, from); err != nil {
		return nil, err
	}
	m := &Model{precision: o.Precision, opened: &opened{
		config: c, tokenizer: tok, engine: e, ends: sortEnds(token.Ends(tok), c.Vocab), taps: tapsOf(c), weights: named{},
		programs: program.NewCache(e, program.Bound{Bytes: defaultMemory() / 2}),
	}}
	var hashed sync.WaitGroup
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hashed.Go(func() { m.hash, failed = from.Hash(ctx, c) })
	var err error
	numbers := map[number.Kind]int{} // held as each kind
	there, all := int64(0), int64(0)
	for _, p := range c.Params() {
		all += int64(p.Size())
	}
	for _, p := range c.Params() {
		progress.From(ctx).At("opening the model", there, all, "parameters")
		if err = ctx.Err(); err != nil {
			break
		}
		kind := o.kind(p, from)
		var t *tensors.Tensor
		if t, err = hold(e, p, kind, from); err != nil {
			break
		}
		m.params, m.weights[p.Name] = append(m.params, t), t
		numbers[kind] += p.Size()
		there += int64(p.Size())
	}
	if err != nil {
		cancel() // what is hashed now is not needed
	}
	hashed.Wait()
	if err = cmp.Or(err, failed); err != nil {
		program.Free(m.params...)
		return nil, err
	}
	progress.From(ctx).At("opening the model", all, all, "parameters")
	m.held, m.slices = shares(numbers), slicesOf(c, m.weights[c.OutputMatrix()].DType())
	return m, nil
}

// computable says why an engine cannot compute a model in the precision, if it cannot.
func (o Options) computable(e *backend.Engine, c Config) error {
	switch {
	case o.Precision != BFloat16:
		return nil
	case e.Kind == backend.Go:
		return errors.New("the pure-Go engine computes in float32 alone: choose that precision, or the engine xla")
	case c.Recurrent():
		return errors.New("an LSTM is computed in float32 alone: choose that precision")
	}
	return nil
}

// kind is how a parameter is held.
func (o Options) kind(p net.Param, from source) number.Kind {
	if o.Weights == AsFile {
		return holdable(from.Kind(p))
	}
	return number.F32
}

// holdable is the kind that a matrix is held as whose numbers are stored as k.
func holdable(k number.Kind) number.Kind {
	if size, err := k.Size(k.Block()); err == nil && (k == number.F16 || k == number.BF16 || net.Decodes(size)) {
		return k
	}
	return number.F32
}

// hold takes a parameter to the engine, and checks it.
func hold(e *backend.Engine, p net.Param, k number.Kind, from source) (*tensors.Tensor, error) {
	check := func(place int) error {
		if place < 0 {
			return nil
		}
		return fmt.Errorf("weight %q holds a number that is not finite, number %d: "+
			"the file is damaged, or its training diverged", p.Name, place)
	}
	raw := func(to []byte) error {
		return cmp.Or(from.Raw(p, to), check(number.FiniteStored(k, to)))
	}
	switch k {
	case number.F32:
		return program.Fill(e, func(to []float32) error {
			return cmp.Or(from.Fill(p, to), check(number.Finite(to)))
		}, p.Dims...)
	case number.F16:
		return hold16[float16.Float16](e, p, raw)
	case number.BF16:
		return hold16[bfloat16.BFloat16](e, p, raw)
	}
	size, err := k.Size(k.Block())
	if err != nil {
		return nil, err
	}
	return program.Fill(e, raw, p.Dims[0], p.Dims[1]/k.Block(), size)
}

// hold16 takes a parameter of 16-bit numbers to the engine.
func hold16[N float16.Float16 | bfloat16.BFloat16](
	e *backend.Engine, p net.Param, raw func(to []byte) error,
) (*tensors.Tensor, error) {
	return program.Fill(e, func(to []N) error {
		stored := make([]byte, 2*len(to))
		if err := raw(stored); err != nil {
			return err
		}
		for i := range to {
			to[i] = N(binary.LittleEndian.Uint16(stored[2*i:]))
		}
		return nil
	}, p.Dims...)
}

// shares writes how many of the numbers are held as each kind, as in "Q4_1 97 %, float32 3 %".
func shares(numbers map[number.Kind]int) string {
	sum := 0
	var kinds []number.Kind
	for k, n := range numbers {
		sum += n
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b number.Kind) int {
		return cmp.Or(cmp.Compare(numbers[b], numbers[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, k := range kinds {
		name := string(k)
		if k == number.F32 {
			name = Float32
		}
		if len(kinds) == 1 {
			return name
		}
		parts = append(parts, fmt.Sprintf("%s %.2g %%", name, 100*float64(numbers[k])/float64(sum)))
	}
	return strings.Join(parts, ", ")
}

// Held says how the weights are held in memory, as in "float32", or "Q4_1 79 %, Q8_0 21 %, float32 0.026 %" of those
// that were opened AsFile.
func (m *Model) Held() string { return m.held }

// Weight copies a weight by its name.
func (m *Model) Weight(name string) (Array, error) {
	done, err := m.use()
	if err != nil {
		return Array{}, err
	}
	defer done()
	for _, p := range m.config.Params() {
		if p.Name == name {
			return m.weight(p)
		}
	}
	return Array{}, fmt.Errorf("the model has no weight %q", name)
}

// Weights copies all weights.
func (m *Model) Weights() (map[string]Array, error) {
	done, err := m.use()
	if err != nil {
		return nil, err
	}
	defer done()
	ws := map[string]Array{}
	for _, p := range m.config.Params() {
		if ws[p.Name], err = m.weight(p); err != nil {
			return nil, err
		}
	}
	return ws, nil
}

// weight copies a parameter.
func (m *Model) weight(p net.Param) (Array, error) {
	if t := m.weights[p.Name]; t.DType() == dtypes.Float32 {
		data, dims, err := program.Copy(m.engine, t)
		return Array{Dims: dims, Data: data}, err
	}
	outs, _, err := m.call(m.stage(net.Numbers{Param: p.Name}), "")
	if err != nil {
		return Array{}, err
	}
	defer outs.free()
	data, dims, err := program.Copy(m.engine, outs[net.Floats])
	return Array{Dims: dims, Data: data}, err
}

// Embeddings looks up the embeddings of tokens [N, D].
func (m *Model) Embeddings(ids ...token.ID) (Array, error) {
	done, err := m.use()
	if err != nil {
		return Array{}, err
	}
	defer done()
	return m.rows(ids)
}

// rows looks up embeddings. A model that is closed meanwhile is the caller's to prevent.
func (m *Model) rows(ids []token.ID) (Array, error) {
	V, D := m.config.Vocab, m.config.Embedding()
	if len(ids) == 0 {
		return Array{Dims: []int{0, D}}, nil
	}
	padded := make([]int32, program.Bucket(len(ids), 8))
	for i, id := range ids {
		if id < 0 || int(id) >= V {
			return Array{}, fmt.Errorf("there is no token #%d: they run from #0 to #%d", id, V-1)
		}
		padded[i] = int32(id)
	}
	in := named{}
	defer func() { in.free() }()
	if err := put(m, in, net.IDs, padded, len(padded)); err != nil {
		return Array{}, err
	}
	outs, _, err := m.call(m.stage(net.Rows{}), "", in)
	if err != nil {
		return Array{}, err
	}
	defer outs.free()
	data, _, err := program.Copy(m.engine, outs[net.Floats])
	if err != nil {
		return Array{}, err
	}
	return Array{Dims: []int{len(ids), D}, Data: data[:len(ids)*D]}, nil
}

// MeanEmbedding is the mean of the embeddings of all tokens [D]: leave it as it is.
func (m *Model) MeanEmbedding() (Array, error) {
	x := &m.mean
	x.once.Do(func() { x.row, x.err = m.meanRow() })
	return x.row, x.err
}

// meanRow adds up the table of embeddings in float64, some rows at a time.
func (m *Model) meanRow() (Array, error) {
	done, err := m.use()
	if err != nil {
		return Array{}, err
	}
	defer done()
	V, D := m.config.Vocab, m.config.Embedding()
	sum := make([]float64, D)
	all := make([]token.ID, V)
	for i := range all {
		all[i] = token.ID(i)
	}
	for ids := range slices.Chunk(all, 4096) {
		part, err := m.rows(ids)
		if err != nil {
			return Array{}, err
		}
		for i := range ids {
			for d, v := range part.Index(i).Data {
				sum[d] += float64(v)
			}
		}
	}
	mean := Array{Dims: []int{D}, Data: make([]float32, D)}
	for d, s := range sum {
		mean.Data[d] = float32(s / float64(V))
	}
	return mean, nil
}
