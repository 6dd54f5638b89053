package gradient

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The weights of a rule sum to the length of the interval, and integrate polynomials of degree 2n-1 exactly.
func TestGauss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 64).Draw(t, "n")
		from := rapid.Float64Range(0, 1).Draw(t, "from")
		to := from + rapid.Float64Range(1e-3, 1).Draw(t, "length")
		degree := rapid.IntRange(0, min(2*n-1, 20)).Draw(t, "degree")
		got := 0.0
		for _, p := range gauss(0, n, from, to) {
			if p.at < from || p.at > to {
				t.Fatalf("point %v outside [%v, %v]", p.at, from, to)
			}
			got += p.weight * math.Pow(p.at, float64(degree))
		}
		want := (math.Pow(to, float64(degree+1)) - math.Pow(from, float64(degree+1))) / float64(degree+1)
		if math.Abs(got-want) > 1e-10*max(1, want) {
			t.Fatalf("the integral of x^%d on [%v, %v] is %v, want %v", degree, from, to, got, want)
		}
	})
}
