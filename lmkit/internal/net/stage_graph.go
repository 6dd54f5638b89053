package net

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// values are the inputs or the outputs of a stage by name.
type values map[string]*Node

// Build returns the graph of a stage: the outputs of its signature from the inputs of its signature. loops says
// whether the engine has While and DynamicSlice.
func Build(c Config, s Stage, loops bool, in []*Node) []*Node {
	c = c.WithDefaults()
	sig := s.Signature(c)
	if want := len(sig.Params) + len(sig.Inputs); len(in) != want {
		panic(fmt.Errorf("%s takes %d inputs, and got %d", s.Key(), want, len(in)))
	}
	p := &pass{config: c, weights: Weights{}, loop: loopOf(loops), want: map[string]bool{}, seen: map[string]*Node{},
		edits: map[string][]edit{}}
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
		e := edit{keep: OneMinus(weight), weight: weight}
		if s.Row {
			e.donors = source
		} else {
			e.add = Mul(weight, p.rowMajor(s.Tap, source))
		}
		p.edits[s.Tap] = append(p.edits[s.Tap], e)
	}
	for _, t := range append(append([]string{}, o.Taps...), o.Wrt...) {
		p.want[t] = true
	}
}

// record adds activations to the outputs.
func (p *pass) record(taps []string, out values) {
	for _, t := range taps {
		out[At(t)] = p.rowMajor(t, p.recorded(t))
	}
}

// differentiate adds gradients of the sum of y to the outputs: by activations, by the constant one where relevance is
// conserved, and by x if it is not nil.
func (p *pass) differentiate(y *Node, wrt []string, x *Node, out values) {
	var names []string
	var by []*Node
	for _, t := range wrt {
		names, by = append(names, By(t)), append(by, p.recorded(t))
	}
	if p.one != nil {
		names, by = append(names, ByOne), append(by, p.one)
	}
	if x != nil {
		names, by = append(names, ByStream), append(by, x)
	}
	grads := Gradient(ReduceAllSum(y), by...)
	for i, name := range names {
		out[name] = grads[i]
	}
	for _, t := range wrt {
		out[By(t)] = p.rowMajor(t, out[By(t)])
	}
}
