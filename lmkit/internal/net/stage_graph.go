package net

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// values are the inputs or the outputs of a stage by name.
type values map[string]*Node

// How is how an engine computes a stage.
type How struct {
	Loops    bool // it has While and DynamicSlice
	BFloat16 bool // products with weights round both factors to bfloat16, and add up in float32
}

// Build returns the graph of a stage: the outputs of its signature from the inputs of its signature.
func Build(c Config, s Stage, how How, in []*Node) []*Node {
	c = c.WithDefaults()
	sig := s.Signature(c)
	if want := len(sig.Params) + len(sig.Inputs); len(in) != want {
		panic(fmt.Errorf("%s takes %d inputs, and got %d", s.Key(), want, len(in)))
	}
	p := &pass{config: c, weights: Weights{}, loop: loopOf(how.Loops), bfloat16: how.BFloat16,
		want: map[string]bool{}, seen: map[string]*Node{}, edits: map[string][]edit{},
		tables: map[string]*Node{}}
	for i, name := range sig.Params {
		p.weights[name] = in[i]
	}
	named := values{}
	for i, name := range sig.Inputs {
		named[name] = in[len(sig.Params)+i]
	}
	out := s.graph(p, named)
	nodes := make([]*Node, len(sig.Outputs))
	for i, name := range sig.Outputs {
		if nodes[i] = out[name]; nodes[i] == nil {
			panic(fmt.Errorf("%s does not compute %q", s.Key(), name))
		}
	}
	return nodes
}

// open prepares the pass for what is opened, in a batch of B rows.
func (p *pass) open(o Opening, in values, g *Graph, B int) {
	p.rules = o.Rules
	if o.Rules.Conserve() {
		p.one = leaf(Ones(g, shapes.Make(dtypes.Float32, B)))
	}
	for _, s := range o.Edits {
		weight, source := p.rowMajor(s.Tap, in[s.Weight()]), in[s.Source()]
		e := edit{weight: weight}
		if !s.Add {
			e.keep = OneMinus(weight)
		}
		switch s.From {
		case FromRow:
			e.donors = source
		case FromAlong:
			e.along = source
		default:
			e.add = Mul(weight, p.rowMajor(s.Tap, source))
		}
		p.edits[s.Tap] = append(p.edits[s.Tap], e)
	}
	for _, t := range slices.Concat(o.Taps, o.Wrt, o.Linear) {
		p.want[t] = true
	}
	if o.Some {
		p.places = in[Places]
	}
	p.coefficients = map[string]*Node{}
	for _, t := range o.Linear {
		p.coefficients[t] = p.rowMajor(t, in[Coefficients(t)])
	}
}

// read adds the objective's linear part to it: the sum of activations times their coefficients, of each row. y [B] is
// the rest of the objective; nil: there is none.
func (p *pass) read(taps []string, y *Node) *Node {
	for _, t := range taps {
		x := p.rowMajor(t, Mul(p.recorded(t), p.coefficients[t]))
		x = ReduceSum(Reshape(x, x.Shape().Dimensions[0], -1), -1) // [B]
		if y != nil {
			x = Add(y, x)
		}
		y = x
	}
	return y
}

// record adds activations to the outputs.
func (p *pass) record(taps []string, out values) {
	for _, t := range taps {
		out[At(t)] = p.some(t, p.rowMajor(t, p.recorded(t)))
	}
}

// some returns an activation, or the gradient by one, at the tokens that are asked for.
func (p *pass) some(tap string, x *Node) *Node {
	axis := p.config.tokenAxis(tap)
	if p.places == nil || axis < 0 {
		return x
	}
	if axis == 1 {
		return pickMany(x, p.places)
	}
	order := make([]int, x.Rank()) // [B, H, T, S]: to [B, T, H, S], and back
	for i := range order {
		order[i] = i
	}
	order[1], order[axis] = axis, 1
	return TransposeAllDims(pickMany(TransposeAllDims(x, order...), p.places), order...)
}

// differentiate adds gradients of the sum of y to the outputs: by activations, by the constant one where relevance is
// conserved, and by others, which have the names of their gradients.
func (p *pass) differentiate(y *Node, wrt []string, others, out values) {
	var names []string
	var by []*Node
	for _, t := range wrt {
		names, by = append(names, By(t)), append(by, p.recorded(t))
	}
	if p.one != nil {
		names, by = append(names, ByOne), append(by, p.one)
	}
	for _, name := range slices.Sorted(maps.Keys(others)) { // in one order, so that the program is always the same
		names, by = append(names, name), append(by, others[name])
	}
	grads := Gradient(ReduceAllSum(y), by...)
	for i, name := range names {
		out[name] = grads[i]
	}
	for _, t := range wrt {
		out[By(t)] = p.some(t, p.rowMajor(t, out[By(t)]))
	}
}
