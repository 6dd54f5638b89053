package gradient

import (
	"math"
	"slices"
	"testing"
)

// Weights of every rule add up to 1, points ascend and are symmetric, and what is smooth is integrated to rounding.
func TestLegendre(t *testing.T) {
	for n := 1; n <= 300; n++ {
		at, weight := make([]float64, n), make([]float64, n)
		legendre(at, weight, 0, 1)
		sum, integral := 0.0, 0.0
		for k, x := range at {
			sum += weight[k]
			integral += weight[k] * math.Exp(x)
			if math.Abs(x+at[n-1-k]-1) > 1e-14 || math.Abs(weight[k]-weight[n-1-k]) > 1e-14 {
				t.Fatalf("points %d and %d of %d are not symmetric", k, n-1-k, n)
			}
		}
		if math.Abs(sum-1) > 1e-13 {
			t.Errorf("the weights of %d points add up to %v", n, sum)
		}
		if n > 7 && math.Abs(integral-(math.E-1)) > 1e-13 {
			t.Errorf("%d points integrate exp to %v, want %v", n, integral, math.E-1)
		}
		if !slices.IsSorted(at) || at[0] <= 0 || at[n-1] >= 1 {
			t.Errorf("the points of %d are %v", n, at)
		}
	}
}
