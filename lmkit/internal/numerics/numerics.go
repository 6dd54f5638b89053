// Package numerics holds the small fits and statistics that explanations are made of: ridge regression, decision trees,
// means with their errors, correlations.
package numerics

import "math"

// Jackknife returns the standard error of each number from its estimates with one of len(of) equal parts of the data
// left out in turn (Tukey, 1958): sqrt((n-1)/n Σ(x - mean)²).
func Jackknife(of [][]float64) []float64 {
	n := float64(len(of))
	mean, out := make([]float64, len(of[0])), make([]float64, len(of[0]))
	for _, x := range of {
		for i, v := range x {
			mean[i] += v / n
		}
	}
	for _, x := range of {
		for i, v := range x {
			out[i] += (v - mean[i]) * (v - mean[i])
		}
	}
	for i, v := range out {
		out[i] = math.Sqrt(v * (n - 1) / n)
	}
	return out
}
