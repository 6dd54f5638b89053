package net

import . "github.com/gomlx/gomlx/core/graph"

// Learning is the loss of some predictions, and its gradient by every parameter: what a step of training goes by.
type Learning struct{}

// Targets is the name of the tokens that are to come after each token: int32 [B, T], negative where none is scored.
const Targets = "targets"

// Key names the program.
func (Learning) Key() string { return "learning" }

// Signature lists IDs and Targets [B, T] to the mean loss in nats, and its gradient by each parameter under By of its
// name.
func (Learning) Signature(c Config) Signature {
	all := c.paramsOf(func(Param) bool { return true })
	return Signature{Params: all, Inputs: []string{IDs, Targets},
		Outputs: append([]string{Objective}, outputs(nil, all)...)}
}

func (Learning) graph(p *pass, in values) values {
	var by []*Node
	all := p.config.Params()
	for _, param := range all {
		x := leaf(p.weights.get(param.Name))
		p.weights[param.Name] = x
		by = append(by, x)
	}
	loss := p.loss(Batch{IDs: in[IDs], Targets: in[Targets]}).Mean
	out := values{Objective: loss}
	for i, g := range Gradient(loss, by...) {
		out[By(all[i].Name)] = g
	}
	return out
}
