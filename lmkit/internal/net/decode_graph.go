package net

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Step is one step of generation as one program: it reads the newest tokens of each row, and chooses the next one.
type Step struct {
	Opening // edits alone
	Choice
	Memory bool // earlier tokens are not read again: what they left is taken, and returned with what these leave
}

// Key names the program.
func (k Step) Key() string { return fmt.Sprintf("step %+v", k) }

// Signature lists all parameters, the newest tokens [B, T] and the numbers of the choice, to the choice and the logits
// of the last tokens [B, V]. Of earlier tokens a layer knows MemoryOf: keys and values [B, S, G, K], or an LSTM's
// hidden state and cell [B, H].
func (k Step) Signature(c Config) Signature {
	s := Signature{
		Params:  c.paramsOf(func(Param) bool { return true }),
		Inputs:  append([]string{IDs, Length, Chosen}, k.Choice.inputs()...),
		Outputs: []string{Report, Chosen, Logits},
	}
	s.Inputs = append(s.Inputs, k.Opening.inputs()...)
	if k.Memory && c.Attends() {
		s.Inputs = append(s.Inputs, CacheAt)
	}
	for l := range c.Layers {
		if first, second := MemoryOf(l); k.Memory {
			s.Inputs, s.Outputs = append(s.Inputs, first, second), append(s.Outputs, first, second)
		}
	}
	return s
}

// MemoryOf returns the names of what a layer knows of earlier tokens.
func MemoryOf(l int) (first, second string) {
	return fmt.Sprintf("%s %d", Keys, l), fmt.Sprintf("%s %d", Vals, l)
}

func (k Step) graph(p *pass, in values) values {
	first, second := make([]*Node, p.config.Layers), make([]*Node, p.config.Layers)
	for l := range first {
		a, b := MemoryOf(l)
		first[l], second[l] = in[a], in[b]
	}
	switch {
	case p.config.Recurrent():
		p.state = &state{hidden: first, cell: second, length: in[Length]}
	case k.Memory:
		p.cache = &cache{at: in[CacheAt], keys: first, vals: second}
	}
	p.open(k.Opening, in, in[IDs].Graph(), in[IDs].Shape().Dimensions[0])
	h := forward(p, p.weights.embed(chosen(in[IDs], in[Chosen]))) // [B, T, D]
	out := values{}
	k.choose(p.output(pick(h, AddScalar(in[Length], -1))), in, out)
	if p.config.Recurrent() {
		first, second = p.state.lastHidden, p.state.lastCell
	}
	for l := range first {
		a, b := MemoryOf(l)
		out[a], out[b] = first[l], second[l]
	}
	return out
}

// Choice is the end of a step of generation: it chooses the next token of each row.
type Choice struct {
	Random     bool // by Draws at a temperature, Heat; else the most likely one
	TopK, TopP bool // the filters of Sampling
}

// inputs lists the numbers that a choice takes.
func (k Choice) inputs() (names []string) {
	for _, x := range []struct {
		is   bool
		name string
	}{{k.Random, Heat}, {k.TopK, FilterK}, {k.TopP, FilterP}, {k.Random, Draws}} {
		if x.is {
			names = append(names, x.name)
		}
	}
	return names
}

// choose adds the choice from logits [B, V] to the outputs.
func (k Choice) choose(logits *Node, in, out values) {
	s := Sampling{Temperature: in[Heat], TopK: in[FilterK], TopP: in[FilterP], Draws: in[Draws]}
	ids, logProbs := Choose(logits, s)
	out[Report] = Stack([]*Node{Bitcast(ids, logProbs.DType()), logProbs}, 0)
	out[Chosen], out[Logits] = ids, logits
}

// chosen returns ids [B, T] with the row's own chosen token [B] where an ID is below 0.
func chosen(ids, own *Node) *Node {
	own = BroadcastToDims(ExpandAxes(own, -1), ids.Shape().Dimensions...)
	return Where(GreaterOrEqual(ids, ZerosLike(ids)), ids, own)
}

// Sampling is how a compiled step chooses tokens: numbers that it is given as it runs. The zero value takes the most
// likely one.
type Sampling struct {
	Temperature *Node // scalar: logits are divided by it
	Draws       *Node // [B]: where each row's choice is, from 0 to 1, when the probabilities stand end to end by ID
	TopK        *Node // scalar: choose among so many tokens; nil: all
	TopP        *Node // scalar: then among the fewest of these with this share of the probability; nil: all
}

// Choose takes a token in each row of logits [B, V]; of equally likely ones the lower ID is before the higher. It
// returns the IDs, int32 [B], and the log-probabilities of these tokens before temperature and filters [B]: NaN in a
// row whose logits are not all finite.
func Choose(logits *Node, s Sampling) (ids, logProbs *Node) {
	top := ReduceAndKeep(logits, ReduceMax, -1) // [B, 1]
	finite := ReduceLogicalAnd(IsFinite(logits), -1)
	if s.Temperature == nil {
		V := logits.Shape().Dimensions[1]
		i := places(logits)
		ids = ReduceMin(Where(Equal(logits, top), i, scalar(i, float64(V-1))), -1)
	} else {
		ids = s.draw(logits, top)
	}
	logits = Sub(logits, top) // logits minus their largest lose nothing where they are all large
	logProbs = Sub(pick(logits, ids), Reshape(Log(rowSum(Exp(logits))), -1))
	return ids, Where(finite, logProbs, scalar(logProbs, math.NaN()))
}

// draw chooses at random among the tokens that the filters leave.
func (s Sampling) draw(logits, top *Node) *Node {
	weights := Exp(Div(Sub(logits, top), s.Temperature)) // [B, V], proportional to the probabilities
	if s.TopK != nil {
		weights = Where(largest(logits, OnesLike(weights), Add(ZerosLike(top), s.TopK)), weights, ZerosLike(weights))
	}
	if s.TopP != nil {
		share := Mul(rowSum(weights), s.TopP)
		weights = Where(largest(logits, weights, Max(share, scalar(share, 1e-30))), weights, ZerosLike(weights))
	}
	return reach(weights, Mul(ExpandAxes(s.Draws, -1), rowSum(weights)), GreaterThan)
}

// largest marks the fewest tokens of each row that weigh need [B, 1] or more together, the likeliest first: what
// sorting would give, but found by halving, as sorting a vocabulary takes longer than a step of a small model.
func largest(logits, weights, need *Node) *Node {
	order := ordered(logits)
	border := atBorder(order, weights, need) // [B, 1]
	above, equal := GreaterThan(order, border), Equal(order, border)
	zero := ZerosLike(weights)
	rest := Sub(need, rowSum(Where(above, weights, zero)))
	last := reach(Where(equal, weights, zero), rest, GreaterOrEqual)
	return Or(above, And(equal, LessOrEqual(places(weights), ExpandAxes(last, -1))))
}

// atBorder returns the largest number such that the entries of order [B, V] from it up weigh need: [B, 1]; or a
// smaller one with the same entries, or with some more that weigh nothing.
func atBorder(order, weights, need *Node) *Node {
	state := []*Node{ReduceAndKeep(order, ReduceMin, -1), ReduceAndKeep(order, ReduceMax, -1), order, weights, need}
	params := func(g *Graph) []*Node {
		ps := make([]*Node, len(state))
		for i, name := range []string{"low", "high", "order", "weights", "need"} {
			ps[i] = Parameter(g, name, state[i].Shape())
		}
		return ps
	}
	// Sums are dot products here: GoMLX cannot reduce inside a loop.
	apart := NewClosure(state[0].Graph(), func(g *Graph) []*Node {
		ps := params(g)
		open := Reshape(ConvertDType(LessThan(ps[0], ps[1]), dtypes.Float32), -1)
		return []*Node{GreaterThan(Einsum("b,b->", open, open), Const(g, float32(0)))}
	})
	halve := NewClosure(state[0].Graph(), func(g *Graph) []*Node {
		ps := params(g)
		low, high, order, weights, need := ps[0], ps[1], ps[2], ps[3], ps[4]
		middle := Sub(high, Div(Sub(high, low), Const(g, uint32(2)))) // above low, where they are apart
		weight := Einsum("bv,bv->b", ConvertDType(GreaterOrEqual(order, middle), weights.DType()), weights)
		weight = ExpandAxes(weight, -1)
		enough, below := GreaterOrEqual(weight, need), Max(low, Sub(middle, Const(g, uint32(1))))
		high = Where(Equal(weight, need), middle, Where(enough, high, below)) // exactly enough ends the search
		return []*Node{Where(enough, middle, low), high, order, weights, need}
	})
	return While(apart, halve, state...)[0]
}

// ordered maps floats to integers in the same order: the bits of positive ones count up, those of negative ones down.
func ordered(x *Node) *Node {
	x = Where(Equal(x, ZerosLike(x)), ZerosLike(x), x) // -0 is 0
	bits, sign := Bitcast(x, dtypes.Uint32), Const(x.Graph(), uint32(1<<31))
	return Where(LessThan(bits, sign), BitwiseXor(bits, sign), BitwiseNot(bits))
}

// reach returns, for each row of weights [B, V], the first place at which their running sum has passed x [B, 1], where
// passed(sum, x) is GreaterThan or GreaterOrEqual: [B]. It is no token of weight 0, unless all are. Two running sums
// of about sqrt(V) numbers find it, since one of V numbers would be slow: that of blocks, and that within one block.
func reach(weights, x *Node, passed func(sum, x *Node) *Node) *Node {
	B, V := weights.Shape().Dimensions[0], weights.Shape().Dimensions[1]
	m := int(math.Ceil(math.Sqrt(float64(V))))
	n := (V + m - 1) / m
	blocks := Reshape(Pad(weights, scalar(weights, 0), PadAxis{}, PadAxis{End: n*m - V}), B, n, m)
	block, before := reachDirectly(ReduceSum(blocks, -1), x, passed)
	place, _ := reachDirectly(pick(blocks, block), Sub(x, before), passed)
	return Add(MulScalar(block, float64(m)), place)
}

// reachDirectly returns reach for few weights [B, N]. before [B, 1] is the sum of what stands before the place.
func reachDirectly(weights, x *Node, passed func(sum, x *Node) *Node) (place, before *Node) {
	g, B, N := weights.Graph(), weights.Shape().Dimensions[0], weights.Shape().Dimensions[1]
	square := shapes.Make(dtypes.Int32, B, N, N)
	w := BroadcastToDims(ExpandAxes(weights, 1), B, N, N)
	sums := ReduceSum(Where(LessOrEqual(Iota(g, square, 2), Iota(g, square, 1)), w, ZerosLike(w)), -1) // [B, N]
	i := places(weights)
	// Should rounding keep the sum from reaching x
	last := ReduceMax(Where(GreaterThan(weights, ZerosLike(weights)), i, ZerosLike(i)), -1)
	place = Min(ReduceSum(Where(passed(sums, x), ZerosLike(i), OnesLike(i)), -1), last)
	earlier := Equal(i, ExpandAxes(AddScalar(place, -1), -1))
	return place, rowSum(Where(earlier, sums, ZerosLike(sums)))
}

// pick returns xs[b, at[b]] for each row b: [B, ...].
func pick(xs, at *Node) *Node {
	row := Iota(xs.Graph(), shapes.Make(at.DType(), at.Shape().Dimensions[0], 1), 0)
	return Gather(xs, Concatenate([]*Node{row, ExpandAxes(at, -1)}, -1))
}

// places returns 0, 1, 2, ... in each row, as int32, for x [B, N].
func places(x *Node) *Node {
	return Iota(x.Graph(), shapes.Make(dtypes.Int32, x.Shape().Dimensions...), 1)
}

func rowSum(x *Node) *Node { return ReduceAndKeep(x, ReduceSum, -1) }
