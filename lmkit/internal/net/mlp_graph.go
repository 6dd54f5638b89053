package net

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// mlp returns the feed-forward layer: [B, T, D] to [B, T, F] to [B, T, D].
func mlp(p *pass, x *Node) *Node {
	act := activation(p.config.Activation)
	var h *Node
	if p.config.Gated {
		gate, up := p.tap("gate", p.dense("gate", x)), p.tap("up", p.dense("up", x))
		h = p.gated(p.act(act, gate), up)
	} else {
		h = p.act(act, p.tap("pre", p.dense("pre", x)))
	}
	return p.tap("out", p.dense("out", p.tap("post", h)))
}

// activation returns the function of a name, number by number.
func activation(name string) func(x *Node) *Node {
	switch name {
	case ReLU:
		return func(x *Node) *Node { return Max(x, ZerosLike(x)) }
	case SiLU:
		return func(x *Node) *Node { return Mul(x, Sigmoid(x)) }
	case GELU:
		return func(x *Node) *Node {
			return Mul(MulScalar(x, 0.5), AddScalar(Erf(MulScalar(x, 1/math.Sqrt2)), 1))
		}
	}
	return func(x *Node) *Node { // GELUTanh
		u := MulScalar(Add(x, MulScalar(Mul(x, Mul(x, x)), 0.044715)), math.Sqrt(2/math.Pi))
		return Mul(MulScalar(x, 0.5), AddScalar(Tanh(u), 1))
	}
}

// capped returns limit*tanh(x/limit), which is x where x is small, and stays within the limit; limit 0: x.
func (p *pass) capped(x *Node, limit float64) *Node {
	if limit == 0 {
		return x
	}
	return p.act(func(x *Node) *Node { return MulScalar(Tanh(MulScalar(x, 1/limit)), limit) }, x)
}
