package net

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

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
	s.Outputs = k.Prediction.outputs()
	if k.Unit == "" {
		s.Outputs = append(s.Outputs, k.read()...)
	}
	s.Outputs = append(s.Outputs, outputs(k.Taps, k.Wrt)...)
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
	out := k.predict(p, exit(p, x), in)
	out[Objective] = p.read(k.Linear, out[Objective])
	p.record(k.Taps, out)
	by := values{}
	if k.Back {
		by[ByStream] = x
	}
	y := out[Objective]
	if y == nil { // the objective is about what comes before
		y = MulScalar(in[Stream], 0)
	}
	if k.Back || len(k.Wrt) > 0 {
		p.differentiate(y, k.Wrt, by, out)
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

// Where a float32 copy of the whole output matrix would be large, the end is cut into programs that make one of a slice
// of it at a time: Exit, then Cut once for each slice of the vocabulary, then Answers or AnswerChoice; and back
// through the gradients of Cut and Exit.

// Exit is the end up to the hidden states that are asked about.
type Exit struct {
	Opening
	Prediction
	Back bool // the gradient: by the opened activations, which it returns too, and by the residual stream
}

// Key names the program.
func (k Exit) Key() string { return fmt.Sprintf("exit %+v", k) }

// Signature lists the residual stream, positions and edits, to the hidden states or to the gradient by the stream.
func (k Exit) Signature(c Config) Signature {
	s := Signature{Inputs: append([]string{Stream}, k.Opening.inputs()...)}
	for _, name := range c.endParams() {
		if name != c.OutputMatrix() && name != outputBias {
			s.Params = append(s.Params, name)
		}
	}
	if k.Unit != "" {
		s.Inputs = append(s.Inputs, Token)
		if !k.Last {
			s.Inputs = append(s.Inputs, Position)
		}
	}
	if k.Logits == "last" && !k.Last {
		s.Inputs = append(s.Inputs, Length)
	}
	if !k.Back {
		s.Outputs = append([]string{States}, outputs(k.Taps, nil)...)
		return s
	}
	s.Inputs, s.Outputs = append(s.Inputs, ByStates), append(outputs(k.Wrt, k.Wrt), ByStream)
	if k.Rules.Conserve() {
		s.Outputs = append(s.Outputs, ByOne)
	}
	return s
}

func (k Exit) graph(p *pass, in values) values {
	x := leaf(in[Stream])
	p.open(k.Opening, in, x.Graph(), x.Shape().Dimensions[0])
	terms, others := k.asked(exit(p, x), in)
	states := slices.DeleteFunc([]*Node{terms, others}, func(h *Node) bool { return h == nil })
	out := values{States: Concatenate(states, 1)}
	if k.Back {
		p.record(k.Wrt, out)
		p.differentiate(Mul(out[States], in[ByStates]), k.Wrt, values{ByStream: x}, out)
		return out
	}
	p.record(k.Taps, out)
	return out
}

// Cut is the products of hidden states and Size rows of the output matrix, from row Start on. Where the matrix has
// fewer, the last row stands in for those beyond.
type Cut struct {
	Size int
	Back bool // the gradient by the hidden states, added to what other slices gave
}

// Key names the program.
func (k Cut) Key() string { return fmt.Sprintf("cut %+v", k) }

// Signature lists the hidden states and Start, to the products; or the gradient by these to that by the states.
func (k Cut) Signature(c Config) Signature {
	if k.Back {
		return Signature{[]string{c.OutputMatrix()}, []string{Start, ByProducts(0), ByStates}, []string{ByStates}}
	}
	return Signature{[]string{c.OutputMatrix()}, []string{Start, States}, []string{Products(0)}}
}

func (k Cut) graph(p *pass, in values) values {
	at := Add(Iota(in[Start].Graph(), shapes.Make(dtypes.Int32, k.Size), 0), in[Start])
	matrix := rows(p.weights[p.config.OutputMatrix()], MinScalar(at, p.config.Vocab-1)) // [C, D]
	if k.Back {
		return values{ByStates: Add(in[ByStates], p.times(in[ByProducts(0)], TransposeAllDims(matrix, 1, 0)))}
	}
	return values{Products(0): p.times(in[States], matrix)}
}

// whole returns the logits that the products of n slices come to: [B, R, V].
func (p *pass) whole(products []*Node) *Node {
	all := Concatenate(products, -1)
	return p.logits(Slice(all, AxisRange(), AxisRange(), AxisRange(0, p.config.Vocab)))
}

// Answers is the end from the products on.
type Answers struct {
	Prediction
	Rules  Rules
	Slices int
	Back   bool // the gradients by the hidden states, and by the products that the objective is made of
}

// Key names the program.
func (k Answers) Key() string { return fmt.Sprintf("answers %+v", k) }

// Signature lists hidden states, products and terms, to objective and logits, and to the gradients.
func (k Answers) Signature(c Config) Signature {
	s := Signature{c.outputParams(), append([]string{States}, products(Products, k.Slices)...), k.Prediction.outputs()}
	if k.Unit != "" {
		s.Inputs = append(s.Inputs, Token, Share)
	}
	if k.Back {
		s.Outputs = append(s.Outputs, ByStates)
	}
	if k.Back && k.Normalised() {
		s.Outputs = append(s.Outputs, products(ByProducts, k.Slices)...)
	}
	if k.Back && k.Rules.Conserve() {
		s.Outputs = append(s.Outputs, ByOne)
	}
	return s
}

func (k Answers) graph(p *pass, in values) values {
	states := leaf(in[States])
	p.open(Opening{Rules: k.Rules}, in, states.Graph(), states.Shape().Dimensions[0])
	by, parts := values{ByStates: states}, make([]*Node, k.Slices)
	for i := range parts {
		parts[i] = leaf(in[Products(i)])
		if k.Normalised() {
			by[ByProducts(i)] = parts[i]
		}
	}
	all, n := p.whole(parts), 0
	if k.Unit != "" {
		n = in[Token].Shape().Dimensions[1]
	}
	logits := map[*Node]*Node{}
	part := func(from, to int) (h *Node) {
		if from < to {
			h = SliceAxis(states, 1, AxisRange(from, to))
			logits[h] = SliceAxis(all, 1, AxisRange(from, to))
		}
		return h
	}
	terms, others := part(0, n), part(n, states.Shape().Dimensions[1]) // as Exit has them
	out := values{}
	k.answer(p, terms, others, func(h *Node) *Node { return logits[h] }, in, out)
	if k.Back {
		p.differentiate(out[Objective], nil, by, out)
	}
	return out
}

// AnswerChoice is the end of a step of generation from the products on.
type AnswerChoice struct {
	Choice
	Slices int
}

// Key names the program.
func (k AnswerChoice) Key() string { return fmt.Sprintf("answer choice %+v", k) }

// Signature lists the products and the numbers of the choice, to the choice and the logits [B, V].
func (k AnswerChoice) Signature(c Config) Signature {
	in := append(products(Products, k.Slices), k.inputs()...)
	return Signature{c.outputParams(), in, []string{Report, Chosen, Logits}}
}

func (k AnswerChoice) graph(p *pass, in values) values {
	parts := make([]*Node, k.Slices)
	for i := range parts {
		parts[i] = in[Products(i)]
	}
	out := values{}
	k.choose(Squeeze(p.whole(parts), 1), in, out)
	return out
}
