package net

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend/backendtest"
)

// What the code takes for granted of GoMLX. When one of these fails after an upgrade, look at what customVJP, leaf and
// whileLoop say they stand on before anything else.

func evaluate(t *testing.T, f func(g *Graph) []*Node) [][]float32 {
	t.Helper()
	exec, err := NewExec(backendtest.Engine(t).Backend, func(g *Graph) []*Node { return f(g) })
	if err != nil {
		t.Fatal(err)
	}
	outs, err := exec.Call()
	if err != nil {
		t.Fatal(err)
	}
	var values [][]float32
	for _, o := range outs {
		values = append(values, tensors.MustCopyFlatData[float32](o))
	}
	return values
}

func same(t *testing.T, what string, got []float32, want ...float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("GoMLX: %s: %v, want %v", what, got, want)
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			t.Fatalf("GoMLX: %s: %v, want %v", what, got, want)
		}
	}
}

func TestCustomGradientsReplaceTheirs(t *testing.T) {
	calls := 0
	out := evaluate(t, func(g *Graph) []*Node {
		calls = 0 // a graph may be built more than once
		a, b := Const(g, []float32{1, 2}), Const(g, []float32{3, 4})
		// Not the product's gradients, so that theirs cannot be mistaken for ours; and a chain of two, since each waits for
		// the other's callback.
		twice := func(x, y *Node) *Node {
			return customVJP([]*Node{x, y}, Mul(x, y), func(v *Node) []*Node {
				calls++
				return []*Node{MulScalar(v, 10), MulScalar(v, 100)}
			})
		}
		y := twice(twice(a, b), b)
		grads := Gradient(ReduceAllSum(MulScalar(y, 2)), a, b)
		return append([]*Node{y}, grads...)
	})
	same(t, "the value of customVJP", out[0], 9, 32)
	same(t, "customVJP's gradient by the first", out[1], 200, 200)
	same(t, "customVJP's gradient by the second", out[2], 200+2000, 200+2000)
	if calls != 2 {
		t.Errorf("GoMLX called a custom gradient back %d times for 2 nodes", calls)
	}
}

func TestLeavesHaveGradientsOfTheirOwn(t *testing.T) {
	out := evaluate(t, func(g *Graph) []*Node {
		x := Const(g, []float32{1, 2})
		l := leaf(Mul(x, x))
		return Gradient(ReduceAllSum(MulScalar(l, 3)), l, x)
	})
	same(t, "the gradient by a leaf", out[0], 3, 3)
	same(t, "the gradient by what a leaf copies", out[1], 0, 0)
}

// A recurrence gives the same, unrolled and as a loop, forwards and backwards.
func TestLoopsAgree(t *testing.T) {
	if !backendtest.Engine(t).Loops() {
		t.Skip("this engine has no loops: recurrences run unrolled")
	}
	for _, backwards := range []bool{false, true} {
		out := evaluate(t, func(g *Graph) []*Node {
			xs := MulScalar(IotaFull(g, shapes.Make(dtypes.Float32, 5, 2)), 0.1)
			w := Const(g, [][]float32{{0.5, -0.3}, {0.2, 0.4}})
			body := func(s step, carry []*Node) (next, emit []*Node) {
				h := Tanh(Add(s.of(xs), Reshape(Einsum("bd,de->be", Reshape(carry[0], 1, 2), w), 2)))
				return []*Node{h}, []*Node{h}
			}
			var outs []*Node
			for _, loop := range []loopFunc{unrolledLoop, whileLoop} {
				last, stacked := loop(5, backwards, []*Node{Const(g, []float32{0.3, 0.7})},
					[]shapes.Shape{shapes.Make(dtypes.Float32, 2)}, body)
				outs = append(outs, last[0], Reshape(stacked[0], 10))
			}
			return outs
		})
		same(t, "a loop's last state", out[2], out[0]...)
		same(t, "a loop's states", out[3], out[1]...)
	}
}
