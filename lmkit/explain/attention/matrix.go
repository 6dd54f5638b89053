package attention

import "math"

// Mean returns the mean of matrices of one shape.
func Mean(ms ...[][]float64) [][]float64 {
	out := make([][]float64, len(ms[0]))
	for i := range out {
		out[i] = make([]float64, len(ms[0][i]))
		for _, m := range ms {
			for j, v := range m[i] {
				out[i][j] += v / float64(len(ms))
			}
		}
	}
	return out
}

// Normalise returns m with rows that add up to 1. A row of zeros becomes that of the identity: what reads nothing keeps
// what it has.
func Normalise(m [][]float64) [][]float64 {
	out := square(len(m))
	for i, row := range m {
		sum := 0.0
		for _, v := range row {
			sum += v
		}
		if sum <= 0 {
			out[i][i] = 1
			continue
		}
		for j, v := range row {
			out[i][j] = v / sum
		}
	}
	return out
}

// Mixed returns a pattern mixed half and half with the residual connection: the mean of m and the identity, its rows
// normalised.
func Mixed(m [][]float64) [][]float64 {
	out := square(len(m))
	for i, row := range m {
		for j, v := range row {
			out[i][j] = v / 2
		}
		out[i][i] += 0.5
	}
	return Normalise(out)
}

// Product returns the product of the layers' matrices, the last layer's first: what tokens of the last layer hold of
// tokens of the input.
func Product(layers [][][]float64) [][]float64 {
	r := identity(len(layers[0]))
	for _, m := range layers {
		r = multiply(m, r)
	}
	return r
}

// Accumulate returns R after R = R + mR for each layer m, from R = identity.
func Accumulate(layers [][][]float64) [][]float64 {
	r := identity(len(layers[0]))
	for _, m := range layers {
		for i, row := range multiply(m, r) {
			for j, v := range row {
				r[i][j] += v
			}
		}
	}
	return r
}

// Contributions says how near each part of a sum y comes to it (Ferrando et al., 2022): max(0, |y| - |y - part|) in the
// L1 norm.
func Contributions(y []float64, parts [][]float64) []float64 {
	size := 0.0
	for _, v := range y {
		size += math.Abs(v)
	}
	out := make([]float64, len(parts))
	for k, part := range parts {
		off := 0.0
		for d, v := range y {
			off += math.Abs(v - part[d])
		}
		out[k] = max(0, size-off)
	}
	return out
}

// distance returns 1 minus the cosine of the angle between two vectors; 0 where either is zero.
func distance(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return max(0, 1-ab/math.Sqrt(aa*bb))
}

func square(n int) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, n)
	}
	return out
}

func identity(n int) [][]float64 {
	out := square(n)
	for i := range out {
		out[i][i] = 1
	}
	return out
}

func multiply(a, b [][]float64) [][]float64 {
	out := square(len(a))
	for i := range a {
		for k, v := range a[i] {
			if v == 0 {
				continue
			}
			for j, w := range b[k] {
				out[i][j] += v * w
			}
		}
	}
	return out
}
