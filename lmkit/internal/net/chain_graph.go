package net

import (
	"fmt"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// A Transformer runs as a chain of programs: Embed, then Layer once for each layer with that layer's parameters, then
// End; and back through the gradients of Layer and Embed. Layers that nothing is opened in are one program, so that
// compiling takes the time of one layer, and so that opening one layer costs one small program more.

// Embed turns tokens into the residual stream that the first layer reads.
type Embed struct {
	Opening
	Tree  bool // the rows are nodes of a tree
	Reads bool // a step of generation: CacheAt tokens stand before, and Chosen ones may be among these
	Back  bool // the gradient: by the opened activations, which it returns too, from that by the residual stream
}

// Key names the program.
func (k Embed) Key() string { return fmt.Sprintf("embed %+v", k) }

// Signature lists tokens and edits, to the residual stream or to gradients.
func (k Embed) Signature(c Config) Signature {
	s := Signature{Params: c.embedParams(), Inputs: append([]string{IDs}, k.inputs()...)}
	if k.Reads {
		s.Inputs = append(s.Inputs, CacheAt, Chosen)
	}
	if k.Tree {
		s.Inputs = append(s.Inputs, Which, Table, Path, Begin)
	}
	if k.Back {
		s.Inputs = append(s.Inputs, ByStream)
		s.Outputs = outputs(k.Wrt, k.Wrt)
		return s
	}
	s.Outputs = append(append([]string{Stream}, k.read()...), outputs(k.Taps, nil)...)
	return s
}

// read lists the part of the objective that a forward pass adds up.
func (o Opening) read() []string {
	if len(o.Linear) == 0 {
		return nil
	}
	return []string{Objective}
}

func (k Embed) graph(p *pass, in values) values {
	ids := in[IDs]
	p.open(k.Opening, in, ids.Graph(), ids.Shape().Dimensions[0])
	p.one = nil // nothing here is constant
	switch {
	case k.Reads:
		p.cache = &cache{at: in[CacheAt]}
		ids = chosen(ids, in[Chosen])
	case k.Tree:
		p.replace(in)
		p.grow(in)
	}
	out := values{Stream: entry(p, p.weights.embed(ids))}
	if k.Back {
		p.record(k.Wrt, out)
		p.differentiate(p.upTo(k.Linear, in, out[Stream]), k.Wrt, nil, out)
		return out
	}
	p.record(k.Taps, out)
	out[Objective] = p.read(k.Linear, nil)
	return out
}

// upTo returns what a stage with a residual stream as its result differentiates: the stream times the gradient by it
// that came from above, and the objective's linear part within the stage. Only its gradient means something.
func (p *pass) upTo(reads []string, in values, stream *Node) *Node {
	y := Mul(stream, in[ByStream])
	if len(reads) == 0 {
		return y
	}
	return Add(ReduceAllSum(y), ReduceAllSum(p.read(reads, nil)))
}

// Layer is one layer of the residual stream.
type Layer struct {
	Opening
	Kind   byte   // the layer's letter in Config.Pattern
	Last   bool   // it returns the last token of each row alone; of a tree the tokens that are asked for [R, Q, D]
	Keep   bool   // the residuals for the gradient are returned, or taken
	Memory Memory // what is known of earlier tokens
	Back   bool   // the gradient: by the opened activations, which it returns too, from that by what the layer returned
	Below  bool   // the gradient by the layer's input is asked for, too
}

// Memory says what a layer knows of earlier tokens.
type Memory string

// The memories of a layer.
const (
	NoMemory Memory = ""       // there are none
	Cached   Memory = "cached" // Keys and Vals have room for more: those of these tokens are written at CacheAt
	InTree   Memory = "tree"   // the rows are nodes of a tree, which go on from each other
)

// Key names the program.
func (k Layer) Key() string { return fmt.Sprintf("layer %+v", k) }

// Signature lists the residual stream and the edits, to the next stream or to the gradient by this one.
func (k Layer) Signature(c Config) Signature {
	s := Signature{Params: c.blockParams(), Inputs: append([]string{Stream}, k.inputs()...)}
	if k.Last && k.Memory != InTree {
		s.Inputs = append(s.Inputs, Length)
	}
	switch k.Memory {
	case Cached:
		s.Inputs = append(s.Inputs, Keys, Vals, CacheAt)
	case InTree:
		s.Inputs = append(s.Inputs, Path, Begin)
		if k.Last {
			s.Inputs = append(s.Inputs, Leaf, Offset)
		}
	}
	var residuals []string
	if k.Keep {
		for _, t := range c.residuals() {
			residuals = append(residuals, kept(t))
		}
	}
	if k.Back {
		s.Inputs = append(append(s.Inputs, residuals...), ByStream)
		s.Outputs = outputs(k.Wrt, k.Wrt)
		if k.Below {
			s.Outputs = append(s.Outputs, ByStream)
		}
		if k.Rules.Conserve() {
			s.Outputs = append(s.Outputs, ByOne)
		}
		return s
	}
	s.Outputs = append(append(append([]string{Stream}, residuals...), k.read()...), outputs(k.Taps, nil)...)
	if k.Memory == Cached {
		s.Outputs = append(s.Outputs, Keys, Vals)
	}
	return s
}

func (k Layer) graph(p *pass, in values) values {
	x := leaf(in[Stream])
	p.open(k.Opening, in, x.Graph(), x.Shape().Dimensions[0])
	p.layer = strings.IndexByte(p.config.Pattern, k.Kind)
	if k.Last && k.Memory != InTree {
		p.last = AddScalar(in[Length], -1)
	}
	k.recall(p, in)
	if k.Back && k.Keep {
		p.known = map[string]*Node{}
		for _, t := range p.config.residuals() {
			p.known[t] = in[kept(t)]
		}
	}
	if k.Keep && !k.Back {
		for _, t := range p.config.residuals() {
			p.want[t] = true
		}
	}
	out := values{Stream: block(p, x)}
	if k.Last && k.Memory == InTree {
		out[Stream] = p.perText(out[Stream], in)
	}
	if k.Back {
		by := values{}
		if k.Below {
			by[ByStream] = x
		}
		p.record(k.Wrt, out)
		p.differentiate(p.upTo(k.Linear, in, out[Stream]), k.Wrt, by, out)
		return out
	}
	p.record(k.Taps, out)
	out[Objective] = p.read(k.Linear, nil)
	if k.Keep {
		for _, t := range p.config.residuals() {
			out[kept(t)] = p.recorded(t)
		}
	}
	if k.Memory == Cached {
		out[Keys], out[Vals] = p.cache.keys[p.layer], p.cache.vals[p.layer]
	}
	return out
}

// Layers are layers of a step of generation that stand one after the other, as one program: what calling a
// program costs is a quarter of the time in which a layer reads one token.
type Layers struct {
	Kinds string // a letter a layer, as in Config.Pattern
}

// Key names the program.
func (k Layers) Key() string { return "layers " + k.Kinds }

// Signature lists the residual stream and, of each layer, its parameters (ParamOf) and what it knows of earlier tokens
// (MemoryOf), counted from the first of these layers; to the next stream and memories.
func (k Layers) Signature(c Config) Signature {
	s := Signature{Inputs: []string{Stream, CacheAt}, Outputs: []string{Stream}}
	for i := range k.Kinds {
		for _, name := range c.blockParams() {
			s.Inputs = append(s.Inputs, ParamOf(i, name))
		}
		first, second := MemoryOf(i)
		s.Inputs, s.Outputs = append(s.Inputs, first, second), append(s.Outputs, first, second)
	}
	return s
}

// ParamOf returns the name of a parameter of layer i of Layers.
func ParamOf(i int, name string) string { return fmt.Sprintf("%d.%s", i, name) }

func (k Layers) graph(p *pass, in values) values {
	x, n := in[Stream], len(k.Kinds)
	p.open(Opening{}, in, x.Graph(), x.Shape().Dimensions[0])
	p.config.Pattern, p.weights = k.Kinds, Weights(in)
	p.cache = &cache{at: in[CacheAt], keys: make([]*Node, n), vals: make([]*Node, n)}
	out := values{}
	for i := range n {
		first, second := MemoryOf(i)
		p.cache.keys[i], p.cache.vals[i] = in[first], in[second]
		layer := *p
		layer.scope, layer.layer = ParamOf(i, ""), i
		x = block(&layer, x)
		out[first], out[second] = p.cache.keys[i], p.cache.vals[i]
	}
	out[Stream] = x
	return out
}

// recall gives the pass what is known of earlier tokens.
func (k Layer) recall(p *pass, in values) {
	switch k.Memory {
	case Cached:
		p.cache = &cache{at: in[CacheAt], keys: make([]*Node, p.layer+1), vals: make([]*Node, p.layer+1)}
		p.cache.keys[p.layer], p.cache.vals[p.layer] = in[Keys], in[Vals]
	case InTree:
		p.grow(in)
	}
}

// Some is the residual stream at the tokens of Places alone.
type Some struct{}

// Key names the program.
func (Some) Key() string { return "some" }

// Signature lists the stream and the places, to a stream [B, P, D].
func (Some) Signature(Config) Signature {
	return Signature{nil, []string{Stream, Places}, []string{Stream}}
}

func (Some) graph(_ *pass, in values) values { return values{Stream: pickMany(in[Stream], in[Places])} }

// Spread is the residual stream of rows of a batch (Parent) as that of a larger batch.
type Spread struct{}

// Key names the program.
func (Spread) Key() string { return "spread" }

// Signature lists the stream [U, T, D] and Parent [B], to a stream [B, T, D].
func (Spread) Signature(Config) Signature {
	return Signature{nil, []string{Stream, Parent}, []string{Stream}}
}

func (Spread) graph(_ *pass, in values) values {
	return values{Stream: takeRows(in[Stream], in[Parent], 0)}
}
