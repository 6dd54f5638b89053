package gradient

import "math"

// legendre fills in the points and weights of the Gauss-Legendre rule on [from, to]: the roots of the Legendre
// polynomial, by Newton's method. (Gonum's tables have a wrong entry at 26 points: those weights add up to 0.989.)
func legendre(at, weight []float64, from, to float64) {
	n := len(at)
	for k := range n {
		x := -math.Cos(math.Pi * (float64(k) + 0.75) / (float64(n) + 0.5)) // near the root, in ascending order
		slope := 0.0
		for range 20 {
			p, before := 1.0, 0.0 // the polynomials of degree i and i-1 at x
			for i := range n {
				p, before = (float64(2*i+1)*x*p-float64(i)*before)/float64(i+1), p
			}
			slope = float64(n) * (x*p - before) / (x*x - 1)
			step := p / slope
			x -= step
			if math.Abs(step) < 1e-15 {
				break
			}
		}
		at[k] = from + (to-from)*(x+1)/2
		weight[k] = (to - from) / ((1 - x*x) * slope * slope)
	}
}
