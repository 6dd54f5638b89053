package net

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Batch is what a loss is computed on.
type Batch struct {
	IDs *Node // int32 [B, T]
	// Targets are int32 [B, T], one for each token; or [B, N, 2]: N targets of a row, each with the position of the
	// token that it comes after. A negative target is not counted.
	Targets      *Node
	Hidden, Cell []*Node // LSTM: the state before the first token, a layer [B, H]; nil: zeros
	Seed         *Node   // uint32 scalar: where dropout's random numbers start; nil: no dropout
}

// LossOf is the mean cross-entropy (nats a token) over the counted targets, and how many there were.
type LossOf struct {
	Mean, Count  *Node   // scalars, float32
	Hidden, Cell []*Node // LSTM: the state after the last token, detached
}

// Loss runs the model on a batch. loops says whether the engine has While and DynamicSlice.
func Loss(c Config, w Weights, b Batch, loops bool) LossOf {
	p := &pass{config: c.WithDefaults(), weights: w, loop: loopOf(loops), tables: map[string]*Node{}}
	if b.Seed != nil && c.Dropout > 0 {
		p.drop = dropout(c.Dropout, b.Seed)
	}
	return p.loss(b)
}

func (p *pass) loss(b Batch) LossOf {
	p.state = &state{hidden: b.Hidden, cell: b.Cell}
	h := forward(p, p.weights.embed(b.IDs)) // [B, T, D]
	targets := b.Targets
	if targets.Rank() == 3 { // only these tokens need the head
		h = pickMany(h, Squeeze(Slice(targets, AxisRange(), AxisRange(), AxisElem(1)), -1))
		targets = Squeeze(Slice(targets, AxisRange(), AxisRange(), AxisElem(0)), -1)
	}
	n, D := targets.Shape().Size(), h.Shape().Dimensions[2]
	logits := p.output(Reshape(h, n, D)) // [N, V]
	mean, count := crossEntropy(logits, Reshape(targets, n))
	r := LossOf{Mean: mean, Count: count}
	for l := range p.state.lastHidden {
		r.Hidden = append(r.Hidden, StopGradient(p.state.lastHidden[l]))
		r.Cell = append(r.Cell, StopGradient(p.state.lastCell[l]))
	}
	return r
}

// output returns the head: hidden states [..., D] to logits [..., V].
func (p *pass) output(h *Node) *Node {
	matrix, _ := p.weights.head(p.config)
	return p.logits(p.times(h, floats(matrix)))
}

// times returns h·Wᵀ for h [..., D] and a matrix W [C, D]: [..., C].
func (p *pass) times(h, w *Node) *Node {
	d := h.Shape().Dimensions
	y := p.matmul(Reshape(h, -1, d[len(d)-1]), w)
	return Reshape(y, append(append([]int{}, d[:len(d)-1]...), -1)...)
}

// logits returns what products with the output matrix [..., V] come to, with the bias and the cap.
func (p *pass) logits(y *Node) *Node {
	if bias := p.weights[outputBias]; bias != nil {
		y = Add(y, lift(bias, y))
	}
	return p.capped(y, p.config.LogitCap)
}

// crossEntropy returns the mean of logsumexp(logits) - logits[target] over the targets that are not negative, and how
// many these are (at least 1). Its gradient, (softmax - onehot) / count, is written out: that takes one pass over the
// [N, V] logits where autodiff takes several. A row that is not counted has the gradient 0, whatever its logits are.
func crossEntropy(logits, targets *Node) (mean, count *Node) {
	g, N, V := logits.Graph(), logits.Shape().Dimensions[0], logits.Shape().Dimensions[1]
	x := StopGradient(logits)
	is := GreaterOrEqual(targets, ZerosLike(targets)) // [N]
	counted := ConvertDType(is, x.DType())
	count = Max(ReduceAllSum(counted), scalar(x, 1))
	target := Max(targets, ZerosLike(targets))
	top := ReduceAndKeep(x, ReduceMax, -1)
	lse := Add(Log(ReduceAndKeep(Exp(Sub(x, top)), ReduceSum, -1)), top) // [N, 1]
	row := Iota(g, shapes.Make(dtypes.Int32, N, 1), 0)
	picked := Gather(x, Concatenate([]*Node{row, ExpandAxes(target, 1)}, 1)) // [N]
	out := Div(ReduceAllSum(Where(is, Sub(Reshape(lse, N), picked), ZerosLike(picked))), count)
	mean = customVJP([]*Node{logits}, out, func(v *Node) []*Node {
		onehot := Equal(Iota(g, shapes.Make(dtypes.Int32, N, V), 1), BroadcastToDims(ExpandAxes(target, 1), N, V))
		grad := Mul(Sub(Exp(Sub(x, lse)), ConvertDType(onehot, x.DType())), Div(v, count)) // [N, V]
		return []*Node{Where(BroadcastToDims(ExpandAxes(is, 1), N, V), grad, ZerosLike(grad))}
	})
	return mean, count
}

// dropout zeroes a share of x and scales up the rest. Its random numbers are a hash of (seed, place in the model,
// place in the tensor): the same whenever, wherever and in whatever order they are drawn, and cheap to fuse.
func dropout(rate float64, seed *Node) func(*Node) *Node {
	site := uint32(0)
	return func(x *Node) *Node {
		g := x.Graph()
		site++
		key := mix(BitwiseXor(seed, Const(g, site*0x9e3779b9)))
		i := Iota(g, shapes.Make(dtypes.Uint32, x.Shape().Size()), 0)
		bits := mix(BitwiseXor(mix(i), BroadcastToDims(key, x.Shape().Size())))
		bits = Reshape(bits, x.Shape().Dimensions...)
		least := BroadcastToDims(Const(g, uint32(rate*math.MaxUint32)), x.Shape().Dimensions...)
		return Where(GreaterOrEqual(bits, least), MulScalar(x, 1/(1-rate)), ZerosLike(x))
	}
}

// mix is a bijective hash of 32 bits (the finaliser of MurmurHash3, by A. Appleby).
func mix(x *Node) *Node {
	x = BitwiseXor(x, BitwiseShiftRightLogicalScalar(x, uint32(16)))
	x = Mul(x, scalarU32(x, 0x85ebca6b))
	x = BitwiseXor(x, BitwiseShiftRightLogicalScalar(x, uint32(13)))
	x = Mul(x, scalarU32(x, 0xc2b2ae35))
	return BitwiseXor(x, BitwiseShiftRightLogicalScalar(x, uint32(16)))
}

func scalarU32(like *Node, v uint32) *Node {
	return BroadcastToDims(Const(like.Graph(), v), like.Shape().Dimensions...)
}
