package lm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// Decoder reads texts, chooses the next token of each, and goes on with it, without reading anything twice: it keeps
// each layer's keys and values (Transformer) or hidden state and cell (LSTM) on the engine. There the choice is made
// too, and the chosen token read: what comes back for a token is its ID and its log-probability. The logits are those
// that Run gives for the whole text, to about 1e-5 relative.
//
// On an engine without loops (pure Go), a Transformer does read its text again for every token: same logits, slower.
//
// A decoder is not safe for concurrent use. After its model is closed it reads no more tokens; close it all the same.
type Decoder struct {
	model    *Model
	sampling Sampling
	rows     int
	closed   bool

	// What was read.
	texts   [][]token.ID // Transformer: the tokens, to read them again
	seen    []int        // of each row: how many of its tokens were read
	steps   int          // how many choices were made before this one
	choices []Choice     // of the next tokens

	// What stays on the engine.
	settings named            // the numbers of the sampling
	edits    map[string]named // of each part of the model, or of the whole: what replaces activations
	lasting  []replacement    // the edits
	weights  [][]float32      // of each of them: the weights that are on the engine
	on       named            // what a step reads of its own choices: Chosen for each row, and the lengths 1
	last     named            // what the last step left: the chosen tokens [B], the logits [B, V]
	memory   []named          // of each layer: keys and values [B, S, G, K], or hidden state and cell [B, H]
	at       int              // tokens in a Transformer's memory
	size     int              // tokens that it has room for; 0: there is none, and texts are read again

	opening net.Opening

	// The programs: the whole step, or the links of a chain.
	step  *stage
	links links
	// groups are the layers by the handful, for one token a row; nil where a layer is opened, or nothing is kept.
	groups []group
	end    ending
}

// Chosen stands for the token that a decoder has chosen.
const Chosen token.ID = -1

// Decode reads rows of tokens, and chooses what comes next. A Transformer's rows have one length, an LSTM's any. About
// room more tokens will follow in each row: the cache gets that large at once (when more follow, up to the model's
// context, the text is read again into a larger one). Edits hold at every token, of the rows and of what follows, or at
// their Positions, which count from the rows' beginnings on into what follows. Their sources are given values or
// directions, one an activation, and are the same for all tokens.
func (m *Model) Decode(
	ctx context.Context, rows [][]token.ID, room int, s Sampling, edits ...Edit,
) (*Decoder, error) {
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
			return nil, fmt.Errorf("row %d has %d tokens, and row 0 %d: "+
				"a Transformer goes on with rows of one length; cut them, and push what is left over",
				i, len(r), len(rows[0]))
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lasting, err := m.lasting(edits, len(rows))
	if err != nil {
		return nil, err
	}
	d := &Decoder{model: m, sampling: s.reduced(m.config.Vocab), rows: len(rows), edits: map[string]named{},
		lasting: lasting, weights: make([][]float32, len(lasting))}
	d.opening.Edits = slots(lasting)
	if m.config.Attends() {
		for _, r := range rows {
			d.texts = append(d.texts, slices.Clone(r))
		}
	}
	d.compile()
	hears, n := progress.From(ctx), int64(len(rows)*longest(rows))
	hears.At("reading the prompt", 0, n, "tokens")
	err = d.heed(ctx, func() error {
		if err := d.prepare(); err != nil {
			return err
		}
		if err := d.putSources(); err != nil {
			return err
		}
		return d.start(rows, room)
	})
	if err != nil {
		return nil, err
	}
	hears.At("reading the prompt", n, n, "tokens")
	return d, nil
}

// heed does work with the decoder, which is closed if it fails. When ctx ends it returns at once, and the work ends by
// itself.
func (d *Decoder) heed(ctx context.Context, work func() error) error {
	done, err := d.model.use()
	if err != nil {
		return err
	}
	defer done()
	err = d.model.heed(ctx, func() error {
		err := work()
		if err != nil {
			d.free()
		}
		return err
	}, d.free)
	if err != nil {
		d.closed = true
	}
	return err
}

// compile names the programs of a step.
func (d *Decoder) compile() {
	m, choice := d.model, d.sampling.choice()
	memory := m.config.Recurrent() || m.engine.Loops()
	if !m.chained() {
		d.step = m.stage(net.Step{Opening: d.opening, Choice: choice, Memory: memory})
		return
	}
	layer := net.Layer{}
	if memory {
		layer.Memory = net.Cached
	}
	d.links.embed = m.stage(net.Embed{Opening: d.opening.Within(net.EmbedPart), Reads: memory})
	for l := range m.config.Layers {
		layer.Kind, layer.Opening = m.config.Pattern[l], d.opening.Within(net.BlockPart(l))
		d.links.layers = append(d.links.layers, m.stage(layer))
	}
	if memory && len(d.opening.Edits) == 0 {
		d.groups = m.groups()
	}
	d.end = m.choosing(choice)
}

// Choices is the next token of each row. Push makes new ones, and leaves these as they are.
func (d *Decoder) Choices() []Choice { return d.choices }

// Logits copies the logits of each row's next token from the engine, V of a row.
func (d *Decoder) Logits() ([][]float32, error) {
	if d.closed {
		return nil, errors.New("the decoder is closed")
	}
	data, dims, err := program.Copy(d.model.engine, d.last[net.Logits])
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

// Push reads the next token of every row: the one that is given, or the chosen one in its place where ids has Chosen.
// It fails, and changes nothing, when ctx has ended before, an ID is wrong, or the context is full. After any other
// error, and when ctx ends meanwhile, the decoder is closed, and nothing else is to be asked of it.
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
		return fmt.Errorf("the model reads at most %d tokens: "+
			"start again from the last part of the text, or train with a longer context",
			d.model.config.Context)
	}
	return d.heed(ctx, func() error { return d.push(ids) })
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
	for _, x := range d.memory {
		for k, name := range []string{net.Keys, net.Vals} {
			data, _, err := program.Copy(d.model.engine, x[name])
			if err != nil {
				return nil, err
			}
			for i := range states {
				to := []*Array{&states[i].Hidden, &states[i].Cell}[k]
				to.Data = append(to.Data, data[i*c.Hidden:(i+1)*c.Hidden]...)
			}
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
	d.free()
}

// free gives the engine's memory back.
func (d *Decoder) free() {
	d.forget()
	for _, x := range []*named{&d.last, &d.settings, &d.on} {
		x.free()
		*x = nil
	}
	for _, x := range d.edits {
		x.free()
	}
	d.edits = nil
}
