package numerics

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Moments is the weighted sums that a linear fit of y to x needs. They add up over parts of the data.
type Moments struct {
	Weight float64
	x      []float64     // Σ w x
	y, yy  float64       // Σ w y, Σ w y²
	xx     *mat.SymDense // Σ w x xᵀ
	xy     []float64     // Σ w y x
}

// NewMoments returns the sums over rows of M numbers; of no rows, they are zero. Rows, y and w have the same length.
func NewMoments(M int, rows [][]float64, y, w []float64) *Moments {
	m := &Moments{x: make([]float64, M), xx: mat.NewSymDense(M, nil), xy: make([]float64, M)}
	if len(rows) == 0 {
		return m
	}
	scaled := mat.NewDense(len(rows), M, nil)
	for k, row := range rows {
		m.Weight += w[k]
		m.y += w[k] * y[k]
		m.yy += w[k] * y[k] * y[k]
		root := math.Sqrt(w[k])
		for i, v := range row {
			m.x[i] += w[k] * v
			m.xy[i] += w[k] * y[k] * v
			scaled.Set(k, i, root*v)
		}
	}
	m.xx.SymOuterK(1, scaled.T())
	return m
}

// Add adds other, scaled.
func (m *Moments) Add(scale float64, other *Moments) {
	m.Weight += scale * other.Weight
	m.y += scale * other.y
	m.yy += scale * other.yy
	for i := range m.x {
		m.x[i] += scale * other.x[i]
		m.xy[i] += scale * other.xy[i]
		for j := i; j < len(m.x); j++ {
			m.xx.SetSym(i, j, m.xx.At(i, j)+scale*other.xx.At(i, j))
		}
	}
}

// Line is a linear fit: y is about Intercept + Σ Coef x.
type Line struct {
	Coef      []float64 // one for each of the columns that were chosen
	Intercept float64
	R2        float64 // 1 - what remains of the weighted variance of y / what there was; 1 where y is constant
}

// Ridge minimises Σ w (y - intercept - x·coef)² + alpha |coef|² over the chosen columns (Hoerl and Kennard, 1970). The
// intercept is free. With alpha 0, among equally good fits it is one with small coefficients.
func (m *Moments) Ridge(columns []int, alpha float64) Line {
	n := len(columns)
	if n == 0 || m.Weight == 0 {
		return Line{Intercept: m.y / max(m.Weight, math.SmallestNonzeroFloat64)}
	}
	A, b := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	trace := 0.0
	for i, c := range columns {
		b.SetVec(i, m.xy[c]-m.x[c]*m.y/m.Weight)
		for j := i; j < n; j++ {
			A.SetSym(i, j, m.xx.At(c, columns[j])-m.x[c]*m.x[columns[j]]/m.Weight)
		}
		trace += A.At(i, i)
	}
	coef := solve(A, b, alpha, trace)
	line := Line{Coef: coef.RawVector().Data, Intercept: m.y / m.Weight, R2: 1}
	for i, c := range columns {
		line.Intercept -= line.Coef[i] * m.x[c] / m.Weight
	}
	var Ac mat.VecDense
	Ac.MulVec(A, coef)
	total := m.yy - m.y*m.y/m.Weight
	if rest := total - 2*mat.Dot(coef, b) + mat.Dot(coef, &Ac); total > 1e-14*m.yy {
		line.R2 = 1 - rest/total
	}
	return line
}

// solve solves (A + alpha I) x = b; where that is close to singular, with a little more on the diagonal.
func solve(A *mat.SymDense, b *mat.VecDense, alpha, trace float64) *mat.VecDense {
	n := b.Len()
	for more := 0.0; ; more = max(more*100, 1e-12*max(trace/float64(n), 1e-300)) {
		B := mat.NewSymDense(n, nil)
		B.CopySym(A)
		for i := range n {
			B.SetSym(i, i, A.At(i, i)+alpha+more)
		}
		var chol mat.Cholesky
		x := mat.NewVecDense(n, nil)
		if chol.Factorize(B) && chol.Cond() < 1e13 && chol.SolveVecTo(x, b) == nil {
			return x
		}
		if more > 1e10*max(trace, 1) { // columns of NaN: nothing solves that
			for i := range n {
				x.SetVec(i, math.NaN())
			}
			return x
		}
	}
}
