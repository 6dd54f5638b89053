package lm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/border"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// Decoder reads texts and goes on with them token by token, without reading anything twice: it keeps each layer's keys
// and values (Transformer) or hidden state and cell (LSTM) on the engine. Its logits are those that Run gives for the
// whole text, to about 1e-5 relative.
//
// On an engine without loops (pure Go), a Transformer does read its text again for every token: same logits, slower.
//
// A decoder is not safe for concurrent use. Close it before the model.
type Decoder struct {
	model   *Model
	texts   [][]token.ID // what was read (Transformer), to know its length and to read it again
	logits  [][]float32
	program *program
	release func()
	parts   []*part // none: the text is read again for every token
	closed  bool
}

// part is rows that are read together: rows of one length for a Transformer, whose cache has one length; else all.
type part struct {
	rows   []int
	at     int               // Transformer: tokens in the cache
	size   int               // Transformer: tokens that the cache has room for
	memory []*tensors.Tensor // keys and values [B, S, H, K] a layer; hidden states and cells [B, H] a layer
}

// Decode reads rows of tokens, of any lengths. About room more tokens will follow in each row: the cache gets that
// large at once (when more follow, up to the model's context, the text is read again into a larger one).
func (m *Model) Decode(ctx context.Context, rows [][]token.ID, room int) (*Decoder, error) {
	if len(rows) == 0 {
		return nil, errors.New("there are no rows to decode")
	}
	for i, r := range rows {
		if err := m.CheckRow(r); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	d := &Decoder{model: m, logits: make([][]float32, len(rows)), release: func() {}}
	if m.config.Arch == Transformer {
		for _, r := range rows {
			d.texts = append(d.texts, slices.Clone(r))
		}
		if !m.engine.Loops() {
			if err := d.again(ctx); err != nil {
				return nil, err
			}
			return d, nil
		}
	}
	var err error
	if d.program, d.release, err = m.compiled("decode", m.decodeGraph); err != nil {
		return nil, err
	}
	d.parts = parts(rows, m.config.Arch == LSTM)
	for _, p := range d.parts {
		if err := d.start(ctx, p, pick(rows, p.rows), room); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// parts groups rows by their length, unless they may all stay together.
func parts(rows [][]token.ID, together bool) []*part {
	var ps []*part
	of := map[int]*part{}
	for i, r := range rows {
		n := len(r)
		if together {
			n = 0
		}
		if of[n] == nil {
			of[n] = &part{}
			ps = append(ps, of[n])
		}
		of[n].rows = append(of[n].rows, i)
	}
	return ps
}

// decodeGraph is the program of a decoder. Inputs: the weights; ids [B, T]; at; length [B]; the memory. Outputs: the
// logits [B, V]; the memory.
func (m *Model) decodeGraph(in []*graph.Node) []*graph.Node {
	n := len(m.params)
	w := net.NewWeights(m.config, in[:n])
	logits, memory := net.Decode(m.config, w, in[n], in[n+1], in[n+2], in[n+3:], m.engine.Loops())
	return append([]*graph.Node{logits}, memory...)
}

// Logits returns the logits of each row's next token, V of a row. Push makes new ones, and leaves these as they are.
func (d *Decoder) Logits() [][]float32 { return d.logits }

// Room is how many more tokens every row can take: what is left of a Transformer's context.
func (d *Decoder) Room() int {
	if d.model.config.Arch == LSTM {
		return math.MaxInt
	}
	return d.model.config.Context - longest(d.texts)
}

// Push reads the next token of every row. It fails, and changes nothing, when ctx has ended, an ID is wrong, or the
// context is full. After any other error the decoder is closed.
func (d *Decoder) Push(ctx context.Context, ids []token.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.closed {
		return errors.New("the decoder is closed")
	}
	if len(ids) != len(d.logits) {
		return fmt.Errorf("%d tokens were given for %d rows; give one a row", len(ids), len(d.logits))
	}
	for i, id := range ids {
		if id < 0 || int(id) >= d.model.config.Vocab {
			return fmt.Errorf("row %d: token #%d is outside the vocabulary of %d", i, id, d.model.config.Vocab)
		}
	}
	if d.Room() < 1 {
		return fmt.Errorf("the model reads at most %d tokens: start again from the last part of the text, or train with a longer context", d.model.config.Context)
	}
	if err := d.push(ctx, ids); err != nil {
		d.Close()
		return err
	}
	return nil
}

func (d *Decoder) push(ctx context.Context, ids []token.ID) error {
	for i := range d.texts {
		d.texts[i] = append(d.texts[i], ids[i])
	}
	d.logits = make([][]float32, len(d.logits))
	if d.parts == nil {
		return d.again(ctx)
	}
	for _, p := range d.parts {
		var err error
		if d.texts != nil && p.at == p.size {
			err = d.start(ctx, p, pick(d.texts, p.rows), p.size)
		} else {
			next := make([][]token.ID, len(p.rows))
			for k, i := range p.rows {
				next[k] = ids[i : i+1]
			}
			err = d.read(p, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// again reads the whole texts, without a memory.
func (d *Decoder) again(ctx context.Context) error {
	a, err := d.model.Run(ctx, Query{Rows: d.texts, Logits: LastLogits})
	if err != nil {
		return err
	}
	for i, l := range a.Logits {
		d.logits[i] = l.Data
	}
	return nil
}

// start reads the texts of a part into an empty memory.
func (d *Decoder) start(ctx context.Context, p *part, texts [][]token.ID, room int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, B := d.model.config, border.Bucket(len(p.rows), 1)
	dims := []int{B, c.Hidden}
	if c.Arch == Transformer {
		n := longest(texts)
		p.at, p.size = 0, min(border.Bucket(n+min(max(room, 1), c.Context), 64), c.Context)
		dims = []int{B, p.size, c.Heads, c.Width / c.Heads}
	}
	border.Free(p.memory...)
	p.memory = nil
	zeros := make([]float32, product(dims))
	for range 2 * c.Layers {
		t, err := border.Put(d.model.engine, zeros, dims...)
		if err != nil {
			return err
		}
		p.memory = append(p.memory, t)
	}
	return d.read(p, texts)
}

// read reads more tokens of a part's rows. Rows may have different lengths when the memory is empty or an LSTM's.
// What pads the tokens gets into a cache, but no token attends to what is after it, and the next one overwrites it.
func (d *Decoder) read(p *part, next [][]token.ID) error {
	B, T := border.Bucket(len(next), 1), longest(next)
	n := T
	if T > 1 {
		T = border.Bucket(T, 8)
	}
	if p.size > 0 {
		T = min(T, p.size)
	}
	ids, length := make([]int32, B*T), make([]int32, B)
	for k := range length {
		length[k] = 1
	}
	for k, row := range next {
		length[k] = int32(len(row))
		for t, id := range row {
			ids[k*T+t] = int32(id)
		}
	}
	var in []*tensors.Tensor
	defer func() { border.Free(in...) }()
	for _, a := range []struct {
		dims []int
		data []int32
	}{{[]int{B, T}, ids}, {nil, []int32{int32(p.at)}}, {[]int{B}, length}} {
		t, err := border.Put(d.model.engine, a.data, a.dims...)
		if err != nil {
			return err
		}
		in = append(in, t)
	}
	outs, _, err := d.program.Run(slices.Concat(d.model.params, in, p.memory))
	if err != nil {
		return err
	}
	border.Free(p.memory...)
	p.memory, p.at = outs[1:], p.at+n
	data, dims, err := border.Copy(d.model.engine, outs[0])
	border.Free(outs[0])
	if err != nil {
		return err
	}
	for k, i := range p.rows {
		d.logits[i] = slices.Clone(data[k*dims[1] : (k+1)*dims[1]])
	}
	return nil
}

// State returns an LSTM's state after the tokens that were read, of each row.
func (d *Decoder) State() ([]State, error) {
	c := d.model.config
	if c.Arch != LSTM {
		return nil, fmt.Errorf("a %s has no state to carry; only an LSTM has", c.Arch)
	}
	if d.closed {
		return nil, errors.New("the decoder is closed")
	}
	states := make([]State, len(d.logits))
	for i := range states {
		states[i] = State{Hidden: Array{Dims: []int{c.Layers, c.Hidden}}, Cell: Array{Dims: []int{c.Layers, c.Hidden}}}
	}
	for k, t := range d.parts[0].memory {
		data, _, err := border.Copy(d.model.engine, t)
		if err != nil {
			return nil, err
		}
		for i := range states {
			to := &states[i].Hidden
			if k >= c.Layers {
				to = &states[i].Cell
			}
			to.Data = append(to.Data, data[i*c.Hidden:(i+1)*c.Hidden]...)
		}
	}
	return states, nil
}

// Close frees the engine's memory that the decoder holds. The logits stay.
func (d *Decoder) Close() {
	if d.closed {
		return
	}
	d.closed = true
	for _, p := range d.parts {
		border.Free(p.memory...)
	}
	d.release()
}

func pick(rows [][]token.ID, at []int) [][]token.ID {
	out := make([][]token.ID, len(at))
	for k, i := range at {
		out[k] = rows[i]
	}
	return out
}
