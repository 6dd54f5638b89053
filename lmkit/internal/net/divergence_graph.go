package net

import . "github.com/gomlx/gomlx/core/graph"

// Divergence is how far what some residuals would predict is from what others do.
type Divergence struct{}

// Toward is the name of the residuals whose predictions are those to come near to: [N, D].
const Toward = "toward"

// Key names the program.
func (Divergence) Key() string { return "divergence" }

// Signature lists residuals x and Toward [N, D] to KL(predicted by Toward || predicted by x) in nats [N], and the
// gradient of its sum by x [N, D].
func (Divergence) Signature(c Config) Signature {
	return Signature{Params: c.endParams(), Inputs: []string{Stream, Toward}, Outputs: []string{Objective, ByStream}}
}

func (Divergence) graph(p *pass, in values) values {
	x := leaf(in[Stream])
	logProbs := func(x *Node) *Node { // [N, D] to [N, V]
		logits := Unembed{}.graph(p, values{Stream: x})[Logits]
		logits = Sub(logits, StopGradient(ReduceAndKeep(logits, ReduceMax, -1)))
		return Sub(logits, Log(ReduceAndKeep(Exp(logits), ReduceSum, -1)))
	}
	want, got := StopGradient(logProbs(in[Toward])), logProbs(x)
	each := ReduceSum(Mul(Exp(want), Sub(want, got)), -1) // [N]
	return values{Objective: each, ByStream: Gradient(ReduceAllSum(each), x)[0]}
}
