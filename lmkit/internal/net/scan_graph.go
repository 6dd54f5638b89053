package net

import (
	"fmt"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// step is one turn of a recurrence: an index known to Go (unrolled) or only to the program (While).
type step struct {
	t       int
	dynamic *Node
}

// of returns xs[t]; xs [T, ...], or [1, ...] for what is the same at every step.
func (s step) of(xs *Node) *Node {
	d := xs.Shape().Dimensions
	if d[0] == 1 {
		return Reshape(s.bring(xs), d[1:]...)
	}
	if s.dynamic == nil {
		return Reshape(Slice(xs, AxisElem(s.t)), d[1:]...)
	}
	return Reshape(DynamicSlice(xs, origin(s.dynamic, len(d)), append([]int{1}, d[1:]...)), d[1:]...)
}

// bring makes a value of the enclosing program usable in the body: GoMLX's binary operations refuse captured values,
// DynamicSlice takes them.
func (s step) bring(x *Node) *Node {
	if s.dynamic == nil {
		return x
	}
	return DynamicSlice(x, origin(Const(x.Graph(), int32(0)), x.Rank()), x.Shape().Dimensions)
}

// origin returns the start indices [first, 0, 0, ...].
func origin(first *Node, rank int) []*Node {
	at := []*Node{first}
	for len(at) < rank {
		at = append(at, Const(first.Graph(), int32(0)))
	}
	return at
}

// scanBody computes one turn from the carried values: the next ones, and what is stacked over time.
type scanBody func(s step, carry []*Node) (next, emit []*Node)

// loopFunc runs body T times, carrying state and stacking what it emits (shapes emits) along a new first axis, like
// jax.lax.scan. backwards counts down. Inside a body only these are allowed: Mul, Add, Sub, Sigmoid, Tanh, Slice,
// Concatenate, Reshape, Gather, DynamicSlice, Const, and Einsum with captured weights. Helpers that make scalars
// (AddScalar, OneMinus, ...) are not: GoMLX caches scalars a graph, and one made in a body leaks out of it.
type loopFunc func(T int, backwards bool, carry []*Node, emits []shapes.Shape, body scanBody) (last, stacked []*Node)

func unrolledLoop(T int, backwards bool, carry []*Node, emits []shapes.Shape, body scanBody) ([]*Node, []*Node) {
	rows := make([][]*Node, len(emits))
	for i := range rows {
		rows[i] = make([]*Node, T)
	}
	for i := range T {
		t := i
		if backwards {
			t = T - 1 - i
		}
		var emit []*Node
		carry, emit = body(step{t: t}, carry)
		for k, e := range emit {
			rows[k][t] = e
		}
	}
	stacked := make([]*Node, len(emits))
	for k := range rows {
		stacked[k] = Stack(rows[k], 0)
	}
	return carry, stacked
}

func whileLoop(T int, backwards bool, carry []*Node, emits []shapes.Shape, body scanBody) ([]*Node, []*Node) {
	g := carry[0].Graph()
	n := len(carry)
	state := append([]*Node{Const(g, int32(0))}, carry...)
	for _, e := range emits {
		state = append(state, Zeros(g, shapes.Make(e.DType, append([]int{T}, e.Dimensions...)...)))
	}
	params := func(g *Graph) []*Node {
		ps := make([]*Node, len(state))
		for i, s := range state {
			ps[i] = Parameter(g, fmt.Sprintf("s%d", i), s.Shape())
		}
		return ps
	}
	cond := NewClosure(g, func(g *Graph) []*Node {
		return []*Node{LessThan(params(g)[0], Const(g, int32(T)))}
	})
	turn := NewClosure(g, func(g *Graph) []*Node {
		ps := params(g)
		t := ps[0]
		if backwards {
			t = Sub(Const(g, int32(T-1)), t)
		}
		next, emit := body(step{dynamic: t}, ps[1:1+n])
		out := append([]*Node{Add(ps[0], Const(g, int32(1)))}, next...)
		for k, e := range emit {
			xs := ps[1+n+k]
			out = append(out, DynamicUpdateSlice(xs, ExpandAxes(e, 0), origin(t, xs.Rank())))
		}
		return out
	})
	last := While(cond, turn, state...)
	return last[1 : 1+n], last[1+n:]
}
