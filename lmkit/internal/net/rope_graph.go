package net

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// normed returns queries or keys x [B, T, n, K] through a norm, if the model has one for them.
func (p *pass) normed(name string, x *Node) *Node {
	switch p.config.QKNorm {
	case EachHead:
		return norm(p.in(name), x)
	case AllHeads:
		d := x.Shape().Dimensions
		return Reshape(norm(p.in(name), Reshape(x, d[0], d[1], -1)), d...)
	}
	return x
}

// turned returns queries or keys x [B, T, n, K], each pair of numbers of each head turned by its angle at the token's
// position (see Rope); last as in positions.
func (p *pass) turned(name string, x, last *Node) *Node {
	rope := p.config.RopeOf(p.kind())
	if rope.Theta == 0 {
		return x
	}
	half := rope.Width / 2
	at := ConvertDType(p.positions(x.Graph(), x.Shape().Dimensions[1], last), dtypes.Float32) // [1 or B, T]
	turn := Mul(ExpandAxes(at, 2, 3), lift(Const(x.Graph(), rope.frequencies()), x))          // [1 or B, T, 1, half]
	cos, sin := MulScalar(Cos(turn), rope.Magnitude), MulScalar(Sin(turn), rope.Magnitude)
	part := func(from, to int) *Node { return SliceAxis(x, -1, AxisRange(from, to)) }
	a, b := part(0, half), part(half, rope.Width)
	parts := []*Node{Sub(Mul(a, cos), Mul(b, sin)), Add(Mul(b, cos), Mul(a, sin))}
	if K := p.config.HeadWidth; rope.Width < K {
		parts = append(parts, part(rope.Width, K))
	}
	return p.tap(name+"_rot", Concatenate(parts, -1))
}
