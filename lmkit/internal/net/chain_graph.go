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
	Before int  // how many tokens of each text stand before these
	Reads  bool // a step of generation: CacheAt tokens stand before, and Chosen ones may be among these
	Back   bool // the gradient: by the opened activations, which it returns too, from that by the residual stream
}

// Key names the program.
func (k Embed) Key() string { return fmt.Sprintf("embed %+v", k) }

// Signature lists tokens and edits, to the residual stream or to gradients.
func (k Embed) Signature(c Config) Signature {
	s := Signature{Params: c.embedParams(), Inputs: append([]string{IDs}, k.inputs()...)}
	if k.Reads {
		s.Inputs = append(s.Inputs, CacheAt, Chosen)
	}
	if k.Back {
		s.Inputs = append(s.Inputs, ByStream)
		s.Outputs = outputs(k.Wrt, k.Wrt)
		return s
	}
	s.Outputs = append([]string{Stream}, outputs(k.Taps, nil)...)
	return s
}

func (k Embed) graph(p *pass, in values) values {
	ids := in[IDs]
	p.open(k.Opening, in, ids.Graph(), ids.Shape().Dimensions[0])
	p.one = nil // nothing here is constant
	p.cache = &cache{before: k.Before}
	if k.Reads {
		p.cache.at = in[CacheAt]
		ids = chosen(ids, in[Chosen])
	}
	out := values{Stream: entry(p, p.weights.embed(ids))}
	if k.Back {
		p.record(k.Wrt, out)
		p.differentiate(Mul(out[Stream], in[ByStream]), k.Wrt, nil, out)
		return out
	}
	p.record(k.Taps, out)
	return out
}

// Layer is one layer of the residual stream.
type Layer struct {
	Opening
	Kind   byte   // the layer's letter in Config.Pattern
	Last   bool   // it returns the last token of each row alone
	Keep   bool   // the residuals for the gradient are returned, or taken
	Memory Memory // what is known of earlier tokens
	Back   bool   // the gradient: by the opened activations, which it returns too, from that by what the layer returned
	Below  bool   // the gradient by the layer's input is asked for, too
}

// Memory says what a layer knows of earlier tokens.
type Memory string

// The memories of a layer.
const (
	NoMemory Memory = ""        // there are none
	First    Memory = "first"   // there are none, but later ones go on from these: Keys and Vals are returned
	GoesOn   Memory = "goes on" // rows go on from rows (Parent) of the Keys and Vals that an earlier call returned
	Ends     Memory = "ends"    // the same, and no later ones go on from these
	Cached   Memory = "cached"  // Keys and Vals have room for more: those of these tokens are written at CacheAt
)

// takes reports whether earlier keys and values go in, returns whether they come out with those of these tokens.
func (m Memory) takes() bool   { return m == GoesOn || m == Ends || m == Cached }
func (m Memory) returns() bool { return m == First || m == GoesOn || m == Cached }

// place returns the input that says where the tokens stand among Keys and Vals.
func (m Memory) place() string {
	if m == Cached {
		return CacheAt
	}
	return Parent
}

// Key names the program.
func (k Layer) Key() string { return fmt.Sprintf("layer %+v", k) }

// Signature lists the residual stream and the edits, to the next stream or to the gradient by this one.
func (k Layer) Signature(c Config) Signature {
	s := Signature{Params: c.blockParams(), Inputs: append([]string{Stream}, k.inputs()...)}
	if k.Last {
		s.Inputs = append(s.Inputs, Length)
	}
	if k.Memory.takes() {
		s.Inputs = append(s.Inputs, Keys, Vals, k.Memory.place())
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
	s.Outputs = append(append([]string{Stream}, residuals...), outputs(k.Taps, nil)...)
	if k.Memory.returns() {
		s.Outputs = append(s.Outputs, Keys, Vals)
	}
	return s
}

func (k Layer) graph(p *pass, in values) values {
	x := leaf(in[Stream])
	p.open(k.Opening, in, x.Graph(), x.Shape().Dimensions[0])
	p.layer = strings.IndexByte(p.config.Pattern, k.Kind)
	if k.Last {
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
	if k.Back {
		if !k.Below {
			x = nil
		}
		y := Mul(out[Stream], in[ByStream])
		p.record(k.Wrt, out)
		p.differentiate(y, k.Wrt, x, out)
		return out
	}
	p.record(k.Taps, out)
	if k.Keep {
		for _, t := range p.config.residuals() {
			out[kept(t)] = p.recorded(t)
		}
	}
	if k.Memory.returns() {
		out[Keys], out[Vals] = p.cache.keys[p.layer], p.cache.vals[p.layer]
	}
	return out
}

// recall gives the pass what is known of earlier tokens.
func (k Layer) recall(p *pass, in values) {
	if k.Memory == NoMemory {
		return
	}
	keys, vals := in[Keys], in[Vals]
	p.cache = &cache{keys: make([]*Node, p.layer+1), vals: make([]*Node, p.layer+1)}
	switch k.Memory {
	case GoesOn, Ends:
		keys, vals = takeRows(keys, in[Parent], 0), takeRows(vals, in[Parent], 0)
		p.cache.before = keys.Shape().Dimensions[1]
	case Cached:
		p.cache.at = in[CacheAt]
	}
	p.cache.keys[p.layer], p.cache.vals[p.layer] = keys, vals
}

// End is what follows the last layer: the final norm, and what is asked about the next tokens.
type End struct {
	Opening
	Prediction
	Back bool // the gradient of the objective by the residual stream is asked for, too
}

// Key names the program.
func (k End) Key() string { return fmt.Sprintf("end %+v", k) }

// Signature lists the residual stream, terms and edits, to objective and logits, activations and gradients.
func (k End) Signature(c Config) Signature {
	s := Signature{Params: c.endParams(), Inputs: append([]string{Stream}, k.Opening.inputs()...)}
	if k.Logits == "last" && !k.Last {
		s.Inputs = append(s.Inputs, Length)
	}
	s.Inputs = append(s.Inputs, k.Prediction.inputs()...)
	s.Outputs = append(k.Prediction.outputs(), outputs(k.Taps, k.Wrt)...)
	if k.Back {
		s.Outputs = append(s.Outputs, ByStream)
	}
	if k.Rules.Conserve() && (k.Back || len(k.Wrt) > 0) {
		s.Outputs = append(s.Outputs, ByOne)
	}
	return s
}

func (k End) graph(p *pass, in values) values {
	x := leaf(in[Stream])
	p.open(k.Opening, in, x.Graph(), x.Shape().Dimensions[0])
	out := values{}
	k.answer(p, exit(p, x), in, out)
	p.record(k.Taps, out)
	if !k.Back {
		x = nil
	}
	if k.Back || len(k.Wrt) > 0 {
		p.differentiate(out[Objective], k.Wrt, x, out)
	}
	return out
}

// EndChoice is what follows the last layer in a step of generation.
type EndChoice struct{ Choice }

// Key names the program.
func (k EndChoice) Key() string { return fmt.Sprintf("end choice %+v", k) }

// Signature lists the residual stream and the numbers of the choice, to the choice and the logits [B, V].
func (k EndChoice) Signature(c Config) Signature {
	return Signature{c.endParams(), append([]string{Stream, Length}, k.inputs()...), []string{Report, Chosen, Logits}}
}

func (k EndChoice) graph(p *pass, in values) values {
	out := values{}
	h := exit(p, ExpandAxes(pick(in[Stream], AddScalar(in[Length], -1)), 1)) // [B, 1, D]
	k.choose(Squeeze(p.output(h), 1), in, out)
	return out
}
