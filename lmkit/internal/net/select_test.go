package net

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// What is not selected does not matter, whatever it is: padding may hold infinities.
func TestSelectingPassesNothingElse(t *testing.T) {
	inf := float32(math.Inf(1))
	got := evaluate(t, func(g *Graph) []*Node {
		xs := Const(g, [][][]float32{{{1, 2}, {3, 4}, {inf, -inf}}, {{5, 6}, {inf, inf}, {inf, inf}}}) // [B, T, D]
		length := Const(g, []int32{2, 1})
		p := &pass{last: AddScalar(length, -1)}
		return []*Node{p.asked(xs), atLast(TransposeAllDims(xs, 1, 0, 2), length)}
	})
	for _, x := range got {
		same(t, "the last tokens", x, 3, 4, 5, 6)
	}
}

// A target that is not counted adds nothing to the loss and its gradient, whatever its logits are.
func TestLossOfUncountedLogits(t *testing.T) {
	got := evaluate(t, func(g *Graph) []*Node {
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		logits := Const(g, [][]float32{{0, 0}, {inf, 0}, {nan, nan}, {0, 0}})
		mean, count := crossEntropy(logits, Const(g, []int32{1, -1, -1, 0}))
		return append([]*Node{mean, count}, Gradient(mean, logits)...)
	})
	same(t, "loss", got[0], float32(math.Ln2))
	same(t, "count", got[1], 2)
	same(t, "gradient", got[2], 0.25, -0.25, 0, 0, 0, 0, -0.25, 0.25)
}
