package net

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
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

// turned returns queries or keys x [B, T, n, K] of T tokens, each pair of numbers of each head turned by its angle at
// the token's position (see Rope). last is as in positions: x is then of one token a row [B, 1, n, K].
func (p *pass) turned(name string, x *Node, T int, last *Node) *Node {
	rope := p.config.RopeOf(p.kind())
	if rope.Theta == 0 {
		return x
	}
	half := rope.Width / 2
	cos, sin := p.angles(rope, x, T, last)
	part := func(from, to int) *Node { return SliceAxis(x, -1, AxisRange(from, to)) }
	a, b := part(0, half), part(half, rope.Width)
	parts := []*Node{Sub(Mul(a, cos), Mul(b, sin)), Add(Mul(b, cos), Mul(a, sin))}
	if K := p.config.HeadWidth; rope.Width < K {
		parts = append(parts, part(rope.Width, K))
	}
	return p.tap(name+"_rot", Concatenate(parts, -1))
}

// mostAngles is how many angles a program has as constants, at most: they are part of its text.
const mostAngles = 1 << 16

// angles returns cosine and sine of the angles at the tokens' positions, times the rotation's magnitude: [1 or B, T or
// 1, 1, half], of x as turned has it. They are looked up in a table that is a constant of the program: XLA would
// compute them anew for each number of each head, which took a twelfth of the time of a large model's gradient.
func (p *pass) angles(rope Rope, x *Node, T int, last *Node) (cos, sin *Node) {
	g, f := x.Graph(), rope.frequencies()
	to := p.room(T)
	if to*len(f) > mostAngles {
		at := ConvertDType(p.positions(g, T, last), dtypes.Float32) // [1 or B, T or 1]
		turn := Mul(ExpandAxes(at, 2, 3), lift(Const(g, f), x))
		return MulScalar(Cos(turn), rope.Magnitude), MulScalar(Sin(turn), rope.Magnitude)
	}
	look := func(name string, of func(float64) float64) *Node {
		all := p.table(fmt.Sprintf("%s %+v %d", name, rope, to), func() *Node {
			angles := make([]float32, 0, to*len(f))
			for t := range to {
				for _, by := range f {
					angles = append(angles, float32(of(float64(float32(t)*by))*rope.Magnitude))
				}
			}
			return Const(g, tensors.FromFlatDataAndDimensions(angles, to, len(f)))
		})
		if last != nil {
			return ExpandAxes(rows(all, p.positions(g, 1, last)), 2)
		}
		return ExpandAxes(p.placed(all, T, 0), 2)
	}
	return look("cos", math.Cos), look("sin", math.Sin)
}

// table returns a constant of the program by its name, made at most once.
func (p *pass) table(name string, make func() *Node) *Node {
	if p.tables[name] == nil {
		p.tables[name] = make()
	}
	return p.tables[name]
}

// room is how many positions the texts have that these T tokens end, at most.
func (p *pass) room(T int) int {
	switch c := p.cache; {
	case c == nil:
		return T
	case c.path != nil:
		return c.path.Shape().Dimensions[1] * T
	default:
		return c.keys[p.layer].Shape().Dimensions[1]
	}
}
