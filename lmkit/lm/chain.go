package lm

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// chainFrom is from which size on a Transformer runs as a chain of programs: one for the input, one for each kind of
// layer, one for the end. They compile in the time of one layer, and take the memory of one. But each call of a
// program costs some 50 microseconds, which shows where layers are small, and few layers compile as fast together.
var chainFrom = struct{ layers, params int }{layers: 6, params: 1 << 20} // params is those of one layer

// chained reports whether the model runs as a chain of programs. The results are the same to rounding.
func (m *Model) chained() bool {
	c := m.config
	if m.slices > 1 {
		return true
	}
	if !c.Attends() || c.Layers < chainFrom.layers {
		return false
	}
	n := 0
	for _, p := range c.Params() {
		if p.Part == "block.0" {
			n += product(p.Dims)
		}
	}
	return n >= chainFrom.params
}

// chain is the programs of a query, in the order in which they run.
type chain struct {
	run    *run
	embed  *stage
	layers []*stage
	plain  links // the input and the layers without what is opened
	end    ending
	read   [][]string // the activations that the residual stream is, by how many layers come before it
	some   *stage     // takes the tokens that are asked for from them; nil: all are

	// What is differentiated by: the gradient goes down from the end to the lowest part with an opened activation.
	lowest    int // the first layer that it reaches; as many as there are if it stays in the end
	backs     []*stage
	embedBack *stage // nil unless it goes down to the input
	residuals bool   // layers keep what their gradient needs; else that is computed again
	compile   time.Duration
}

// chain returns how batches with room for size rows run as a chain.
func (r *run) chain(size int) *chain {
	m := r.model
	L := m.config.Layers
	c := &chain{run: r, lowest: r.opening.Lowest(L), backs: make([]*stage, L)}
	c.residuals = r.keepsResiduals(size)
	opening, read := r.opening.Between(L)
	c.read = read
	if r.opening.Some {
		c.some = m.stage(net.Some{})
	}
	known := map[string]*stage{} // equal layers are one program
	one := func(s net.Stage) *stage {
		key := s.Key()
		if known[key] == nil {
			known[key] = m.stage(s)
		}
		return known[key]
	}
	in := opening.Within(net.EmbedPart)
	c.embed, c.plain.embed = one(net.Embed{Opening: in.Forwards()}), one(net.Embed{})
	if len(in.Wrt) > 0 {
		c.embedBack = one(net.Embed{Opening: in.Backwards(), Back: true})
	}
	for l := range L {
		in := opening.Within(net.BlockPart(l))
		layer := net.Layer{
			Opening: in.Forwards(), Kind: m.config.Pattern[l], Last: r.prediction.Last && l == L-1,
			Keep: c.residuals && l >= c.lowest,
		}
		c.layers = append(c.layers, one(layer))
		c.plain.layers = append(c.plain.layers, one(net.Layer{Kind: layer.Kind}))
		if l >= c.lowest {
			layer.Opening, layer.Back, layer.Below = in.Backwards(), true, l > c.lowest || c.embedBack != nil
			c.backs[l] = one(layer)
		}
	}
	in = opening.Within(net.EndPart)
	c.end = m.ending(in, r.prediction, c.lowest < L || c.embedBack != nil)
	if !c.end.asks() { // nothing is asked after the last layer with an activation that is
		for n := L; n > 0 && len(read[n]) == 0 && !opening.Within(net.BlockPart(n-1)).Asks(); n-- {
			c.layers = c.layers[:n-1]
		}
	}
	return c
}

// execute runs a batch through the chain, and collects what comes out.
func (c *chain) execute(in *inputs) (time.Duration, error) {
	c.compile = 0
	from := make([]named, len(c.layers)) // what the gradient of each layer takes
	defer func() {
		for _, n := range from {
			n.free()
		}
	}()
	stream, err := c.forwards(in, from)
	if err != nil {
		return c.compile, err
	}
	call := c.caller(in)
	by, err := c.end.run(c.run.model, call, named{net.Stream: stream})
	program.Free(stream)
	if err != nil {
		return c.compile, err
	}
	return c.compile, c.backwards(in, from, by[net.ByStream])
}

// forwards runs the layers, and returns the last one's residual stream. Of the layers that have a gradient it keeps
// what that takes.
func (c *chain) forwards(in *inputs, from []named) (stream *tensors.Tensor, err error) {
	stream, first, err := c.begin(in)
	if err != nil {
		return nil, err
	}
	for l := first; l < len(c.layers); l++ {
		s := c.layers[l]
		if err := c.reads(in, l, stream); err != nil {
			program.Free(stream)
			return nil, err
		}
		x := named{net.Stream: stream}
		outs, err := c.call(in, net.BlockPart(l), s, x)
		if err != nil {
			x.free()
			return nil, err
		}
		stream = outs[net.Stream]
		if c.backs[l] == nil {
			x.free()
			continue
		}
		delete(outs, net.Stream)
		maps.Copy(x, outs)
		from[l] = x
	}
	if err := c.reads(in, len(c.layers), stream); err != nil {
		program.Free(stream)
		return nil, err
	}
	return stream, nil
}

// reads collects the activations that the residual stream is after n layers.
func (c *chain) reads(in *inputs, n int, stream *tensors.Tensor) error {
	if len(c.read[n]) == 0 {
		return nil
	}
	if c.some != nil {
		outs, err := c.call(in, "", c.some, named{net.Stream: stream})
		if err != nil {
			return err
		}
		defer outs.free()
		stream = outs[net.Stream]
	}
	outs := named{}
	for _, tap := range c.read[n] {
		outs[net.At(tap)] = stream
	}
	return c.run.collect(in.batch, "", outs)
}

// backwards takes the gradient by what the last layer returned down to the lowest activation that is asked for.
func (c *chain) backwards(in *inputs, from []named, by *tensors.Tensor) error {
	defer func() { program.Free(by) }()
	for l, s := range slices.Backward(c.backs) {
		if s == nil {
			return nil
		}
		outs, err := c.call(in, net.BlockPart(l), s, from[l], named{net.ByStream: by})
		if err != nil {
			return err
		}
		program.Free(by)
		from[l].free()
		by, from[l] = outs[net.ByStream], nil
	}
	if c.embedBack == nil {
		return nil
	}
	_, err := c.call(in, net.EmbedPart, c.embedBack, named{net.ByStream: by})
	return err
}

// link runs a stage on a part of the model.
func (m *Model) link(part string, s *stage, from ...named) (outs named, compile time.Duration, err error) {
	if part == net.EmbedPart || part == net.EndPart {
		part = "" // their parameters have their own names
	}
	return m.call(s, part, from...)
}

// call runs a stage on a part of the model, collects the answers among its outputs, frees these, and returns the
// others.
func (c *chain) call(in *inputs, part string, s *stage, from ...named) (named, error) {
	outs, compile, err := c.run.model.link(part, s, append(from, in.part[part], in.all())...)
	c.compile += compile
	if err != nil {
		return nil, err
	}
	prefix := part
	if part == net.EmbedPart || part == net.EndPart {
		prefix = ""
	}
	if err := c.run.collect(in.batch, prefix, outs); err != nil {
		outs.free()
		return nil, err
	}
	for name, x := range outs {
		if !net.Internal(name) {
			program.Free(x)
			delete(outs, name)
		}
	}
	return outs, nil
}

// caller returns call for a batch.
func (c *chain) caller(in *inputs) caller {
	return func(part string, s *stage, from ...named) (named, error) { return c.call(in, part, s, from...) }
}

// keepsResiduals decides whether the layers of a batch keep what their gradient needs, or compute it again: it is
// kept where it fits into the memory that the query may take, on an engine that leaves out what is not needed.
func (r *run) keepsResiduals(size int) bool {
	c := r.model.config
	bytes := 4 * int64(size) * int64(r.model.paddedLength(r.length)) * int64(c.Layers) * int64(c.Kept(true))
	return r.model.engine.Loops() && bytes <= r.memory()
}

// links are the programs that read tokens which may go on from earlier ones, up to the last layer's residual stream.
type links struct {
	embed  *stage
	layers []*stage
}

// group is layers that a decoder reads a token through as one program.
type group struct {
	*stage
	params named // of these layers, by the program's names for them
	layers int
}

// grouped is how many layers are a group, at most. More would take longer to compile, for little: SmolLM2 generates at
// 19 tokens a second a layer at a time, at 23 by 3, 6 or 15 layers.
var grouped = 6

// groups cuts the layers into groups of nearly the same size: a program, or two, or more where the layers differ.
func (m *Model) groups() (all []group) {
	L := m.config.Layers
	count := (L + grouped - 1) / grouped
	for i := range count {
		from, to := i*L/count, (i+1)*L/count
		g := group{stage: m.stage(net.Layers{Kinds: m.config.Pattern[from:to]}), params: named{}, layers: to - from}
		for l := range g.layers {
			part := net.BlockPart(from + l)
			for _, p := range m.config.Params() {
				if name, ok := strings.CutPrefix(p.Name, part); ok {
					g.params[net.ParamOf(l, name)] = m.weights[p.Name]
				}
			}
		}
		all = append(all, g)
	}
	return all
}

// stepGroups reads one token of each row as links.step does, by groups of layers.
func (d *Decoder) stepGroups(call caller, stream, tokens named, memory []named) error {
	if err := d.links.enter(call, stream, tokens); err != nil {
		return err
	}
	for _, g := range d.groups {
		outs, err := call("", g.stage, stream, recalled(memory[:g.layers]), g.params)
		if err != nil {
			return err
		}
		stream.set(net.Stream, outs[net.Stream])
		remember(memory[:g.layers], outs)
		memory = memory[g.layers:]
	}
	return nil
}

// enter makes the residual stream of tokens that the first layer reads.
func (x links) enter(call caller, stream, tokens named) error {
	outs, err := call(net.EmbedPart, x.embed, tokens)
	if err == nil {
		stream.set(net.Stream, outs[net.Stream])
	}
	return err
}

// step reads tokens. memory has what each layer knows of earlier ones; the memories and the residual stream in stream
// are replaced by the new ones.
func (x links) step(call caller, stream, tokens named, memory []named) error {
	if err := x.enter(call, stream, tokens); err != nil {
		return err
	}
	for l, s := range x.layers {
		outs, err := call(net.BlockPart(l), s, stream, memory[l], tokens)
		if err != nil {
			return err
		}
		stream.set(net.Stream, outs[net.Stream])
		delete(outs, net.Stream)
		memory[l].free()
		memory[l] = outs
	}
	return nil
}
