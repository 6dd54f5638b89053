package net

import . "github.com/gomlx/gomlx/core/graph"

// norm returns gain * (x - mean)/scale + bias over the last axis, where scale = sqrt(mean of (x - mean)² + epsilon). An
// RMSNorm takes the mean for 0, and has no bias; a PlainNorm has neither gain nor bias.
func norm(p *pass, x *Node) *Node {
	c := p.config
	if c.Norm != RMSNorm {
		x = Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	}
	square := ReduceAndKeep(p.gated(x, x), ReduceMean, -1)
	scale := p.tap("scale", p.act(Sqrt, AddScalar(square, c.Epsilon))) // [..., 1]
	x = p.tap("normalized", p.scaled(x, scale))
	if gain := p.weight("weight"); gain != nil {
		if c.NormOffset != 0 {
			gain = AddScalar(gain, c.NormOffset)
		}
		x = Mul(x, lift(gain, x))
	}
	if b := p.weight("bias"); b != nil {
		x = p.bias(x, b)
	}
	return x
}
