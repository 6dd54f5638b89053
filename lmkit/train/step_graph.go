package train

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/lm"
)

// states is the number of layers whose state is carried from batch to batch.
func states(m lm.Config) int {
	if m.Recurrent() {
		return m.Layers
	}
	return 0
}

// The scalars of one step, given as one vector.
const (
	stepSize  = iota // learning rate / (1 - beta1^t)
	rootBias         // 1 / sqrt(1 - beta2^t)
	shrink           // 1 - learning rate * weight decay
	carry            // 1: the batch continues the one before; 0: the state starts from zero
	scalarsOf        // how many there are
)

// stepGraph is one step of training. Inputs: what is kept from step to step, in the order of [keptNames]: parameters,
// first and second moments, hidden states and cells, progress [2]; then ids and targets [B, T], scalars
// [scalarsOf], seed. Outputs: what is kept, in the same order. Progress is the sum of the losses of all tokens since
// it was last zeroed, and the norm of the step's gradient before clipping.
func stepGraph(m lm.Config, c Config, loops bool, in []*Node) []*Node {
	n, L := len(m.Params()), states(m)
	take := func(k int) []*Node { xs := in[:k]; in = in[k:]; return xs }
	params, first, second, hidden, cell := take(n), take(n), take(n), take(L), take(L)
	progress, ids, targets, scalars, seed := in[0], in[1], in[2], in[3], in[4]

	b := net.Batch{IDs: ids, Targets: targets, Seed: seed}
	b.Hidden, b.Cell = scaled(hidden, element(scalars, carry)), scaled(cell, element(scalars, carry))
	loss := net.Loss(m, net.NewWeights(m, params), b, loops)
	grads := Gradient(loss.Mean, params...)

	squares := ScalarZero(ids.Graph(), loss.Mean.DType())
	for _, g := range grads {
		squares = Add(squares, ReduceAllSum(Mul(g, g)))
	}
	norm := Sqrt(squares)
	if c.Clip > 0 { // as torch.nn.utils.clip_grad_norm_
		one := ScalarOne(norm.Graph(), norm.DType())
		grads = scaled(grads, MinScalar(Div(one, MulScalar(AddScalar(norm, 1e-6), 1/c.Clip)), 1))
	}
	out := make([]*Node, 3*n, 3*n+2*L+1)
	for i := range n {
		out[i], out[n+i], out[2*n+i] = adam(c, scalars, params[i], grads[i], first[i], second[i])
	}
	out = append(append(out, loss.Hidden...), loss.Cell...)
	return append(out, Stack([]*Node{Add(element(progress, 0), Mul(loss.Mean, loss.Count)), norm}, 0))
}

// adam is one step of torch.optim.Adam or AdamW for one parameter and its moments.
func adam(c Config, scalars, p, g, first, second *Node) (_, _, _ *Node) {
	if c.WeightDecay > 0 && p.Rank() > 1 {
		if c.Optimizer == AdamW {
			p = Mul(p, element(scalars, shrink))
		} else {
			g = Add(g, MulScalar(p, c.WeightDecay))
		}
	}
	first = Add(MulScalar(first, c.Beta1), MulScalar(g, 1-c.Beta1))
	second = Add(MulScalar(second, c.Beta2), MulScalar(Mul(g, g), 1-c.Beta2))
	scale := AddScalar(Mul(Sqrt(second), element(scalars, rootBias)), c.Epsilon)
	return Sub(p, Div(Mul(first, element(scalars, stepSize)), scale)), first, second
}

// scalars is the vector of a step's scalars. Steps count from 0.
func (c Config) scalars(step, epoch int, fresh bool) []float32 {
	rate, t := c.rate(step, epoch), float64(step+1)
	s := make([]float32, scalarsOf)
	s[stepSize] = float32(rate / (1 - math.Pow(c.Beta1, t)))
	s[rootBias] = float32(1 / math.Sqrt(1-math.Pow(c.Beta2, t)))
	s[shrink] = float32(1 - rate*c.WeightDecay)
	if !fresh {
		s[carry] = 1
	}
	return s
}

// evalGraph is the loss of one batch. Inputs: parameters, hidden states, cells, ids and targets [B, T], carry
// (scalar). Outputs: the mean loss of a token and the number of tokens [2], hidden states, cells.
func evalGraph(m lm.Config, loops bool, in []*Node) []*Node {
	n, L := len(m.Params()), states(m)
	take := func(k int) []*Node { xs := in[:k]; in = in[k:]; return xs }
	params, hidden, cell := take(n), take(L), take(L)
	b := net.Batch{IDs: in[0], Targets: in[1], Hidden: scaled(hidden, in[2]), Cell: scaled(cell, in[2])}
	loss := net.Loss(m, net.NewWeights(m, params), b, loops)
	return append(append([]*Node{Stack([]*Node{loss.Mean, loss.Count}, 0)}, loss.Hidden...), loss.Cell...)
}

// element is xs[i], a scalar.
func element(xs *Node, i int) *Node { return Reshape(Slice(xs, AxisElem(i))) }

func scaled(xs []*Node, by *Node) []*Node {
	var ys []*Node // nil for none: a Transformer has no state
	for _, x := range xs {
		ys = append(ys, Mul(x, by))
	}
	return ys
}
