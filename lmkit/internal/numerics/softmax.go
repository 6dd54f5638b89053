package numerics

import (
	"math"
	"slices"
)

// Softmax is multinomial logistic regression: the probability of class c at x is proportional to exp(W[c].(x, 1)).
type Softmax struct {
	W        [][]float64 // [C][D+1]; the last number of each is a bias
	Gradient float64     // the largest number of the loss's gradient where the fit ended: 0 at its minimum
}

// FitSoftmax fits the mean cross-entropy plus l2/2 times the squares of all weights but the biases, which has one
// minimum, by limited-memory BFGS (Liu and Nocedal, 1989). X is [N][D], y the class of each, of C.
func FitSoftmax(X [][]float64, y []int, C int, l2 float64) Softmax {
	D := len(X[0]) + 1
	f := softmaxLoss{X: X, y: y, C: C, D: D, l2: l2}
	w := make([]float64, C*D)
	value, g := f.at(w)
	var ss, ys [][]float64 // the last steps, and how the gradient changed over them
	for range 300 {
		if maxAbs(g) < 1e-5 {
			break
		}
		d := direction(g, ss, ys)
		slope := dotOf(d, g)
		step, next, nextValue, nextG := 1.0, []float64(nil), 0.0, []float64(nil)
		for range 30 { // until the loss falls by enough
			next = plus(w, step, d)
			if nextValue, nextG = f.at(next); nextValue <= value+1e-4*step*slope {
				break
			}
			step /= 2
		}
		if nextValue >= value {
			break // rounding
		}
		s, change := plus(next, -1, w), plus(nextG, -1, g)
		if dotOf(s, change) > 1e-12 {
			ss, ys = append(ss, s), append(ys, change)
			if len(ss) > 10 {
				ss, ys = ss[1:], ys[1:]
			}
		}
		w, value, g = next, nextValue, nextG
	}
	out := Softmax{Gradient: maxAbs(g)}
	for c := range slices.Chunk(w, D) {
		out.W = append(out.W, c)
	}
	return out
}

// Class returns the likeliest class at x.
func (s Softmax) Class(x []float64) int {
	scores := s.Scores(x)
	return slices.Index(scores, slices.Max(scores))
}

// Scores returns the logit of each class.
func (s Softmax) Scores(x []float64) (scores []float64) {
	for _, w := range s.W {
		scores = append(scores, dotOf(w[:len(x)], x)+w[len(x)])
	}
	return scores
}

type softmaxLoss struct {
	X    [][]float64
	y    []int
	C, D int
	l2   float64
}

// at returns the loss and its gradient at weights [C*D].
func (f softmaxLoss) at(w []float64) (value float64, g []float64) {
	g = make([]float64, len(w))
	p, n := make([]float64, f.C), float64(len(f.X))
	for i, x := range f.X {
		top := math.Inf(-1)
		for c := range p {
			row := w[c*f.D : (c+1)*f.D]
			p[c] = dotOf(row[:len(x)], x) + row[len(x)]
			top = max(top, p[c])
		}
		sum := 0.0
		for c := range p {
			sum += math.Exp(p[c] - top)
		}
		value += (top + math.Log(sum) - p[f.y[i]]) / n
		for c := range p {
			by := math.Exp(p[c]-top) / sum
			if c == f.y[i] {
				by--
			}
			by /= n
			row := g[c*f.D : (c+1)*f.D]
			for d, v := range x {
				row[d] += by * v
			}
			row[len(x)] += by
		}
	}
	for i, v := range w {
		if i%f.D < f.D-1 {
			value += f.l2 / 2 * v * v
			g[i] += f.l2 * v
		}
	}
	return value, g
}

// direction is minus the gradient times an estimate of the inverse Hessian from the last steps.
func direction(g []float64, ss, ys [][]float64) []float64 {
	d := slices.Clone(g)
	a := make([]float64, len(ss))
	for i := len(ss) - 1; i >= 0; i-- {
		a[i] = dotOf(ss[i], d) / dotOf(ss[i], ys[i])
		d = plus(d, -a[i], ys[i])
	}
	if n := len(ss); n > 0 {
		scale := dotOf(ss[n-1], ys[n-1]) / dotOf(ys[n-1], ys[n-1])
		for i := range d {
			d[i] *= scale
		}
	}
	for i := range ss {
		d = plus(d, a[i]-dotOf(ys[i], d)/dotOf(ss[i], ys[i]), ss[i])
	}
	for i := range d {
		d[i] = -d[i]
	}
	return d
}

// plus is a + x*b.
func plus(a []float64, x float64, b []float64) []float64 {
	out := make([]float64, len(a))
	for i, v := range a {
		out[i] = v + x*b[i]
	}
	return out
}

func dotOf(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func maxAbs(x []float64) float64 {
	top := 0.0
	for _, v := range x {
		top = max(top, math.Abs(v))
	}
	return top
}
