package net

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// customVJP has out's value; the gradient that arrives at it is given to fn, whose results become the gradients of
// ins.
//
// It stands on two public promises of GoMLX: IdentityWithCustomGradient calls back when the gradient passes it, and
// nodes are differentiated in reverse order of creation, so that the callback of tie runs before those of the ins. The
// anchor that ties them together is never computed where the compiler folds constant conditions away.
func customVJP(ins []*Node, out *Node, fn func(v *Node) []*Node) *Node {
	var grads []*Node
	var anchor *Node
	for i, x := range ins {
		x = ReduceAllSum(IdentityWithCustomGradient(x, func(_, _ *Node) *Node { return grads[i] }))
		if anchor == nil {
			anchor = x
		} else {
			anchor = Add(anchor, x)
		}
	}
	dims := out.Shape().Dimensions
	tie := Where(BroadcastToDims(Const(out.Graph(), false), dims...), BroadcastToDims(anchor, dims...), ZerosLike(out))
	tie = IdentityWithCustomGradient(tie, func(_, v *Node) *Node { grads = fn(v); return v })
	return Add(StopGradient(out), tie)
}

// leaf returns a fresh variable with x's value. (The gradient with respect to a StopGradient node itself is silently
// zero.)
func leaf(x *Node) *Node { return Identity(StopGradient(x)) }

// lift gives v the rank of x by leading axes.
func lift(v, x *Node) *Node { return ExpandLeftToRank(v, x.Rank()) }

func scalar(like *Node, v float64) *Node { return Scalar(like.Graph(), like.DType(), v) }
