package net

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// A product in bfloat16 rounds both factors to 8 significant bits, and neither the sums nor the results; its gradient
// by either factor does the same with the gradient that arrives. 1.00390625 lies between two bfloat16 numbers and goes
// to the even one, 1; 1.01171875 goes to 1.015625.
func TestProductsInBFloat16(t *testing.T) {
	const down, up = 1.00390625, 1.01171875
	for _, narrows := range []bool{false, true} {
		one, more := float32(down), float32(up)
		if narrows {
			one, more = 1, 1.015625
		}
		got := evaluate(t, func(g *Graph) []*Node {
			p := &pass{bfloat16: narrows}
			x, w := Const(g, [][]float32{{down, 3}}), Const(g, [][]float32{{up, 1. / 128}, {down, 2}}) // [N, K], [M, K]
			y := p.matmul(x, w)                                                                        // [N, M]
			return append([]*Node{y}, Gradient(ReduceAllSum(Mul(y, Const(g, [][]float32{{down, up}}))), x, w)...)
		})
		same(t, "product", got[0], one*more+3./128, one*one+6)
		same(t, "gradient by x", got[1], one*more+more*one, one/128+more*2)
		same(t, "gradient by w", got[2], one*one, one*3, more*one, more*3)
	}
}
