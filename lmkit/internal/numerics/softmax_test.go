package numerics

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The fit ends where the gradient is 0, which finite differences agree is its minimum; no step away from it is better.
func TestFitSoftmax(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var X [][]float64
	var y []int
	for range 200 {
		x := []float64{rng.NormFloat64(), 5 * rng.NormFloat64(), rng.NormFloat64()}
		class := 0
		if x[0]+0.3*rng.NormFloat64() > 0 {
			class = 1
		}
		if x[2] > 1 {
			class = 2
		}
		X, y = append(X, x), append(y, class)
	}
	fit := FitSoftmax(X, y, 3, 0.01)
	if fit.Gradient > 1e-4 {
		t.Errorf("the gradient is %v", fit.Gradient)
	}
	f := softmaxLoss{X: X, y: y, C: 3, D: 4, l2: 0.01}
	var w []float64
	for _, row := range fit.W {
		w = append(w, row...)
	}
	best, _ := f.at(w)
	at := make([]float64, len(w))
	for i := range at {
		at[i] = rng.NormFloat64()
	}
	_, g := f.at(at)
	for i := range w {
		for _, step := range []float64{0.05, -0.05} {
			moved := append([]float64{}, w...)
			moved[i] += step
			if v, _ := f.at(moved); v < best-1e-9 {
				t.Errorf("weight %d: the loss is %v, and %v beside it", i, best, v)
			}
		}
		up, down := append([]float64{}, at...), append([]float64{}, at...)
		up[i], down[i] = up[i]+1e-5, down[i]-1e-5
		a, _ := f.at(up)
		b, _ := f.at(down)
		if d := (a - b) / 2e-5; math.Abs(d-g[i]) > 1e-6 {
			t.Errorf("the gradient by weight %d is %v, by differences %v", i, g[i], d)
		}
	}
	right := 0
	for i, x := range X {
		if fit.Class(x) == y[i] {
			right++
		}
	}
	if right < 170 {
		t.Errorf("%d of 200 are right", right)
	}
}

// Where the classes have one mean in every direction, nothing linear tells them apart: the fit is the share of each.
func TestFitSoftmaxOfNothing(t *testing.T) {
	X := [][]float64{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {2, 2}, {-2, -2}}
	fit := FitSoftmax(X, []int{0, 0, 1, 1, 0, 0}, 2, 0.1)
	for _, x := range X {
		if fit.Class(x) != 0 {
			t.Errorf("%v has class 1", x)
		}
	}
}
