package lm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/token"
)

// Decoder reads texts, chooses the next token of each, and goes on with it, without reading anything twice: it keeps
// each layer's keys and values (Transformer) or hidden state and cell (LSTM) on the engine. There the choice is made too,
// and the chosen token read: what comes back for a token is its ID and its log-probability. The logits are those that
// Run gives for the whole text, to about 1e-5 relative.
//
// On an engine without loops (pure Go), a Transformer does read its text again for every token: same logits, slower.
//
// A decoder is not safe for concurrent use. After its model is closed it reads no more tokens; close it all the same.
type Decoder struct {
	model    *Model
	sampling Sampling
	rows     int
	steps    int          // how many choices were made before this one
	choices  []Choice     // of the next tokens
	texts    [][]token.ID // Transformer: what was read, to read it again
	at       int          // tokens in a Transformer's cache
	size     int          // tokens that the cache has room for
	key      string       // of the program
	build    buildFunc
	settings []*tensors.Tensor // of the sampling
	on       []*tensors.Tensor // an ID for each row that stands for the chosen one, [B, 1], and the length 1, [B]
	chosen   *tensors.Tensor   // [B]
	logits   *tensors.Tensor   // [B, V]
	memory   []*tensors.Tensor // keys and values [B, S, G, K] a layer; hidden states and cells [B, H] a layer
	closed   bool
}

// Chosen stands for the token that a decoder has chosen.
const Chosen token.ID = -1

// Decode reads rows of tokens, and chooses what comes next. A Transformer's rows have one length, an LSTM's any. About
// room more tokens will follow in each row: the cache gets that large at once (when more follow, up to the model's
// context, the text is read again into a larger one).
func (m *Model) Decode(ctx context.Context, rows [][]token.ID, room int, s Sampling) (*Decoder, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errors.New("there are no rows to decode")
	}
	for i, r := range rows {
		if err := m.CheckRow(r); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
		if m.config.Attends() && len(r) != len(rows[0]) {
			return nil, fmt.Errorf("row %d has %d tokens, and row 0 %d: a Transformer goes on with rows of one length; cut them, and push what is left over", i, len(r), len(rows[0]))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := &Decoder{model: m, sampling: s.reduced(m.config.Vocab), rows: len(rows)}
	if m.config.Attends() {
		for _, r := range rows {
			d.texts = append(d.texts, slices.Clone(r))
		}
	}
	done, err := m.use()
	if err != nil {
		return nil, err
	}
	defer done()
	kind := d.sampling.kind()
	d.key = "decode " + kind.String()
	d.build = func(in []*graph.Node) []*graph.Node { return m.decodeGraph(kind, in) }
	if err = d.prepare(); err == nil {
		err = d.start(rows, room)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// decodeGraph is the program of a decoder. Inputs: the weights; ids [B, T]; chosen [B]; at; length [B]; of the sampling:
// temperature, top-k, top-p, as far as there are any, and draws [B]; the memory. Outputs: the choices [2, B], the bits of the IDs
// and the log-probabilities; the IDs [B]; the logits [B, V]; the memory.
func (m *Model) decodeGraph(kind samplingKind, in []*graph.Node) []*graph.Node {
	take := func(is bool) (n *graph.Node) {
		if is {
			n, in = in[0], in[1:]
		}
		return n
	}
	n := len(m.params)
	w := net.NewWeights(m.config, in[:n])
	in = in[n:]
	ids, chosen, at, length := take(true), take(true), take(true), take(true)
	s := net.Sampling{Temperature: take(kind.random), TopK: take(kind.topK), TopP: take(kind.topP), Draws: take(kind.random)}
	logits, memory := net.Decode(m.config, w, ids, chosen, at, length, in, m.engine.Loops())
	next, logProbs := net.Choose(logits, s)
	report := graph.Stack([]*graph.Node{graph.Bitcast(next, logProbs.DType()), logProbs}, 0)
	return append([]*graph.Node{report, next, logits}, memory...)
}

// Choices is the next token of each row. Push makes new ones, and leaves these as they are.
func (d *Decoder) Choices() []Choice { return d.choices }

// Logits copies the logits of each row's next token from the engine, V of a row.
func (d *Decoder) Logits() ([][]float32, error) {
	if d.closed {
		return nil, errors.New("the decoder is closed")
	}
	data, dims, err := program.Copy(d.model.engine, d.logits)
	if err != nil {
		return nil, err
	}
	rows := make([][]float32, d.rows)
	for i := range rows {
		rows[i] = data[i*dims[1] : (i+1)*dims[1]]
	}
	return rows, nil
}

// Room is how many more tokens every row can take: what is left of a Transformer's context.
func (d *Decoder) Room() int {
	if d.model.config.Recurrent() {
		return math.MaxInt
	}
	return d.model.config.Context - len(d.texts[0])
}

// Push reads the next token of every row: the one that is given, or the chosen one in its place where ids has Chosen. It
// fails, and changes nothing, when ctx has ended, an ID is wrong, or the context is full. After any other error the
// decoder is closed.
func (d *Decoder) Push(ctx context.Context, ids []token.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.closed {
		return errors.New("the decoder is closed")
	}
	if len(ids) != d.rows {
		return fmt.Errorf("%d tokens were given for %d rows; give one a row", len(ids), d.rows)
	}
	for i, id := range ids {
		if id != Chosen && (id < 0 || int(id) >= d.model.config.Vocab) {
			return fmt.Errorf("row %d: token #%d is outside the vocabulary of %d", i, id, d.model.config.Vocab)
		}
	}
	if d.Room() < 1 {
		return fmt.Errorf("the model reads at most %d tokens: start again from the last part of the text, or train with a longer context", d.model.config.Context)
	}
	done, err := d.model.use()
	if err != nil {
		return err
	}
	defer done()
	if err := d.push(ids); err != nil {
		d.Close()
		return err
	}
	return nil
}

func (d *Decoder) push(ids []token.ID) error {
	for i, t := range d.texts {
		id := ids[i]
		if id == Chosen {
			id = d.choices[i].ID
		}
		d.texts[i] = append(t, id)
	}
	d.steps++
	switch {
	case d.texts != nil && d.at == d.size: // the cache is full, or there is none
		return d.start(d.texts, d.size)
	case slices.ContainsFunc(ids, func(id token.ID) bool { return id != Chosen }):
		next := make([][]token.ID, len(ids))
		for i := range ids {
			next[i] = ids[i : i+1]
		}
		return d.readTokens(next)
	}
	return d.read(d.on[0], d.on[1], 1)
}

// prepare puts what stays the same for all steps.
func (d *Decoder) prepare() error {
	B := program.Bucket(d.rows, 1)
	ids, length := make([]int32, B), make([]int32, B)
	for i := range ids {
		ids[i], length[i] = int32(Chosen), 1
	}
	var err error
	d.on = make([]*tensors.Tensor, 2)
	if d.on[0], err = program.Put(d.model.engine, ids, B, 1); err != nil {
		return err
	}
	if d.on[1], err = program.Put(d.model.engine, length, B); err != nil {
		return err
	}
	if d.chosen, err = program.Put(d.model.engine, make([]int32, B), B); err != nil {
		return err
	}
	for _, v := range d.sampling.numbers() {
		t, err := program.Put(d.model.engine, []float32{v})
		if err != nil {
			return err
		}
		d.settings = append(d.settings, t)
	}
	return nil
}

// start reads texts into an empty memory.
func (d *Decoder) start(texts [][]token.ID, room int) error {
	c, B := d.model.config, program.Bucket(d.rows, 1)
	d.at, d.size = 0, 0
	if c.Attends() {
		if !d.model.engine.Loops() {
			return d.readTokens(texts)
		}
		d.size = cached(c, longest(texts), room)
	}
	dims := c.Memory(B, d.size)
	program.Free(d.memory...)
	d.memory = nil
	zeros := make([]float32, product(dims))
	for range 2 * c.Layers {
		t, err := program.Put(d.model.engine, zeros, dims...)
		if err != nil {
			return err
		}
		d.memory = append(d.memory, t)
	}
	return d.readTokens(texts)
}

// readTokens reads more tokens of the rows. They may have different lengths where the memory is an LSTM's. What pads
// the tokens gets into a cache, but no token attends to what is after it, and the next one overwrites it.
func (d *Decoder) readTokens(next [][]token.ID) error {
	B, T := program.Bucket(len(next), 1), longest(next)
	n := T
	if T > 1 {
		T = program.Bucket(T, 8)
	}
	if d.texts != nil {
		T = min(T, d.model.config.Context)
	}
	if d.size > 0 {
		T = min(T, d.size)
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
	in, err := program.Put(d.model.engine, ids, B, T)
	if err != nil {
		return err
	}
	defer program.Free(in)
	lengths, err := program.Put(d.model.engine, length, B)
	if err != nil {
		return err
	}
	defer program.Free(lengths)
	return d.read(in, lengths, n)
}

// read runs the program on n more tokens a row, or fewer, as length says.
func (d *Decoder) read(ids, length *tensors.Tensor, n int) error {
	at, err := program.Put(d.model.engine, []int32{int32(d.at)})
	if err != nil {
		return err
	}
	defer program.Free(at)
	in := slices.Concat(d.model.params, []*tensors.Tensor{ids, d.chosen, at, length}, d.settings)
	if d.sampling.Temperature > 0 {
		draws := make([]float32, length.Size())
		for i := range d.rows {
			draws[i] = float32(d.sampling.Draw(i, d.steps))
		}
		u, err := program.Put(d.model.engine, draws, len(draws))
		if err != nil {
			return err
		}
		defer program.Free(u)
		in = append(in, u)
	}
	outs, _, err := d.model.programs.Run(d.key, d.build, append(in, d.memory...))
	if err != nil {
		return err
	}
	program.Free(d.chosen, d.logits)
	program.Free(d.memory...)
	d.chosen, d.logits, d.memory = outs[1], outs[2], outs[3:]
	if d.size > 0 {
		d.at += n
	}
	report, _, err := program.Copy(d.model.engine, outs[0])
	program.Free(outs[0])
	if err != nil {
		return err
	}
	B := len(report) / 2
	d.choices = make([]Choice, d.rows)
	for i := range d.choices {
		d.choices[i] = Choice{ID: token.ID(math.Float32bits(report[i])), LogProb: float64(report[B+i])}
	}
	return nil
}

// State returns an LSTM's state after the tokens that were read, of each row.
func (d *Decoder) State() ([]State, error) {
	c := d.model.config
	if !c.Recurrent() {
		return nil, errNoState
	}
	if d.closed {
		return nil, errors.New("the decoder is closed")
	}
	states := make([]State, d.rows)
	for i := range states {
		states[i] = State{Hidden: Array{Dims: []int{c.Layers, c.Hidden}}, Cell: Array{Dims: []int{c.Layers, c.Hidden}}}
	}
	for k, t := range d.memory {
		data, _, err := program.Copy(d.model.engine, t)
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

// Close frees the engine's memory that the decoder holds. The choices stay.
func (d *Decoder) Close() {
	if d.closed {
		return
	}
	d.closed = true
	program.Free(d.chosen, d.logits)
	program.Free(slices.Concat(d.memory, d.settings, d.on)...)
}
