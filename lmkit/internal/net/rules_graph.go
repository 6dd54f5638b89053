package net

import . "github.com/gomlx/gomlx/core/graph"

// How each rule passes each operation, with the formulas, is in docs/relevance-rules.md.

// The stabilisers of divisions: of a nonlinearity by its input, and of the epsilon rule (Arras et al., 2017).
const (
	tiny    = 1e-10
	epsilon = 1e-3
)

// gimTemperature is that of the softmax whose derivative GIM takes: one pattern repairs what another loses, so that
// derivatives of sharp patterns are too small (Edin et al., 2025).
const gimTemperature = 2.0

// act applies an elementwise nonlinearity. Where relevance is conserved it passes unchanged: the slope is f(x)/x.
// DeepLIFT's slope is that between input and baseline.
func (p *pass) act(f func(*Node) *Node, x *Node) *Node {
	y := f(x)
	switch {
	case p.rules.Conserve():
		return linearised(y, Div(y, stabilised(x, tiny)), x)
	case p.rules == DeepLIFT:
		return linearised(y, p.secant(f, x, y), x)
	}
	return y
}

// product returns an Einsum of two activations. (Weights use dense, which is linear.)
func (p *pass) product(equation string, a, b *Node) *Node {
	switch p.rules {
	case AttnLRP, LRPHalf, GIM:
		return halved(Einsum(equation, a, b))
	case DeepLIFT:
		return Einsum(equation, p.pairMean(a), p.pairMean(b))
	}
	return Einsum(equation, a, b)
}

// gated returns gate*signal, elementwise.
func (p *pass) gated(gate, signal *Node) *Node {
	switch p.rules {
	case AttnLRP, LRPHalf, GIM:
		return halved(Mul(gate, signal))
	case CPLRP, LRP: // the signal takes all
		return Mul(StopGradient(gate), signal)
	case DeepLIFT:
		return Mul(p.pairMean(gate), p.pairMean(signal))
	}
	return Mul(gate, signal)
}

// scaled returns x/scale. Where relevance is conserved, the scale is a constant; by GIM, too.
func (p *pass) scaled(x, scale *Node) *Node {
	switch {
	case p.rules.Conserve() || p.rules == GIM:
		return Div(x, StopGradient(scale))
	case p.rules == DeepLIFT:
		return p.gated(x, p.act(Reciprocal, scale))
	}
	return Div(x, scale)
}

// softmax over the last axis.
func (p *pass) softmax(x *Node) *Node {
	top := p.shared(StopGradient(ReduceAndKeep(x, ReduceMax, -1)))
	if p.rules == DeepLIFT {
		e := p.act(Exp, Sub(x, top))
		return p.gated(e, p.act(Reciprocal, ReduceAndKeep(e, ReduceSum, -1)))
	}
	e := Exp(Sub(x, top))
	y := Div(e, ReduceAndKeep(e, ReduceSum, -1))
	switch p.rules {
	case AttnLRP: // its first-order expansion at x is Jx + constant: the constant takes relevance as a bias does
		jx := Mul(y, Sub(x, ReduceAndKeep(Mul(y, x), ReduceSum, -1)))
		return p.take(y, Sub(y, jx))
	case CPLRP:
		return StopGradient(y)
	case GIM: // the gradient of a softer pattern s: g = s*(v - s.v)
		soft := Exp(MulScalar(StopGradient(Sub(x, top)), 1/gimTemperature))
		soft = Div(soft, ReduceAndKeep(soft, ReduceSum, -1))
		return customVJP([]*Node{x}, y, func(v *Node) []*Node {
			return []*Node{Mul(soft, Sub(v, ReduceAndKeep(Mul(soft, v), ReduceSum, -1)))}
		})
	}
	return y
}

// linear returns what a sum of contributions comes to. Under the epsilon rule a stabiliser takes a little of its
// relevance.
func (p *pass) linear(z *Node) *Node {
	if p.rules != LRP && p.rules != LRPHalf {
		return z
	}
	keep := Div(z, stabilised(z, epsilon))
	return p.take(linearised(z, keep, z), Mul(z, OneMinus(keep)))
}

// plus returns y + constant.
func (p *pass) plus(y, constant *Node) *Node {
	if p.rules.Conserve() {
		constant = Mul(constant, p.ones(y))
	}
	return Add(y, constant)
}

// bias returns y + b for y [..., N], b [N].
func (p *pass) bias(y, b *Node) *Node { return p.plus(y, lift(b, y)) }

// take returns y. On the way back it moves the relevance of constant from y to the activation one, which collects what
// no token is credited with: the gradient is that of (y - constant) + constant*one.
func (p *pass) take(y, constant *Node) *Node {
	one := p.ones(y)
	return Add(y, Mul(StopGradient(constant), Sub(one, StopGradient(one))))
}

// ones returns the activation one [B], shaped so that it multiplies y, whose axis of rows has B entries, or B*T where
// rows and tokens are one axis.
func (p *pass) ones(y *Node) *Node {
	n, B := y.Shape().Dimensions[p.rows], p.one.Shape().Dimensions[0]
	one := p.one
	if n > B {
		one = Reshape(BroadcastToDims(ExpandAxes(one, 1), B, n/B), n)
	}
	dims := make([]int, y.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[p.rows] = n
	return Reshape(one, dims...)
}

// secant returns the slope of f between the two rows of each pair: the same for both, and that in the middle where they
// hardly differ.
func (p *pass) secant(f func(*Node) *Node, x, y *Node) *Node {
	x, y = StopGradient(x), StopGradient(y)
	mid := leaf(MulScalar(Add(x, p.partner(x)), 0.5))
	tangent := Gradient(ReduceAllSum(f(mid)), mid)[0]
	dx, dy := Sub(x, p.partner(x)), Sub(y, p.partner(y))
	same := LessThan(Abs(dx), scalar(dx, 1e-6))
	return Where(same, tangent, Div(dy, Where(same, OnesLike(dx), dx)))
}

// shared returns the larger of a pair's values under DeepLIFT, else x: what both rows of a pair are shifted by alike.
func (p *pass) shared(x *Node) *Node {
	if p.rules != DeepLIFT {
		return x
	}
	return Max(x, p.partner(x))
}

// pairMean returns x; its gradient is averaged over each pair. That makes products complete: the difference of ab is
// (difference of a)*(mean of b) + (difference of b)*(mean of a).
func (p *pass) pairMean(x *Node) *Node {
	return IdentityWithCustomGradient(x, func(_, v *Node) *Node { return MulScalar(Add(v, p.partner(v)), 0.5) })
}

// partner exchanges rows 2i and 2i+1.
func (p *pass) partner(x *Node) *Node {
	dims := x.Shape().Dimensions
	axis := p.rows
	pairs := append(append(append([]int{}, dims[:axis]...), dims[axis]/2, 2), dims[axis+1:]...)
	y := Reshape(x, pairs...)
	first, second := SliceAxis(y, axis+1, AxisRange(0, 1)), SliceAxis(y, axis+1, AxisRange(1, 2))
	return Reshape(Concatenate([]*Node{second, first}, axis+1), dims...)
}

// halved returns x; half its gradient goes on: for a product, of which either factor's gradient would be all.
func halved(x *Node) *Node {
	return IdentityWithCustomGradient(x, func(_, v *Node) *Node { return MulScalar(v, 0.5) })
}

// linearised has y's value and the gradient of slope*x. (x must be finite.)
func linearised(y, slope, x *Node) *Node {
	return Add(StopGradient(y), Mul(StopGradient(slope), Sub(x, StopGradient(x))))
}

// stabilised moves x away from 0 by by.
func stabilised(x *Node, by float64) *Node {
	away := scalar(x, by)
	return Add(x, Where(LessThan(x, ZerosLike(x)), Neg(away), away))
}
