package gradient

import (
	"context"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

type tokenID = token.ID

// line is a straight path of embeddings: from the baseline at 0 to the input at 1, for the tokens at positions; the
// other tokens stay.
type line struct {
	positions []int
	baseline  lm.Array // [D]
}

// point is a place on a line, and its weight in an integral.
type point struct {
	line   int
	at     float64
	weight float64
}

// slopes is, for each point, the derivative of the objective along its line, split over the features: the gradient
// times (input - baseline) [points][features].
func slopes(ctx context.Context, p *explain.Problem, lines []line, points []point) ([][]float64, error) {
	q := lm.Query{Rows: p.Rows(len(points)), Of: []lm.Objective{p.Objective}, Wrt: []lm.Tap{embed}}
	for i, x := range points {
		l := lines[x.line]
		q.Edits = append(q.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: l.positions, Keep: x.at,
			With: lm.FromValues(l.baseline)})
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(points))
	for i, x := range points {
		inside := make([]bool, len(p.IDs))
		for _, t := range lines[x.line].positions {
			inside[t] = true
		}
		g, base := a.Grad[embed].Index(i), lines[x.line].baseline.Data
		out[i] = make([]float64, len(p.Features))
		for f, feature := range p.Features {
			for _, t := range feature.Tokens {
				if !inside[t] {
					continue
				}
				input, grad := p.Embeddings.Index(t).Data, g.Index(t).Data
				for d := range grad {
					out[i][f] += (float64(input[d]) - float64(base[d])) * float64(grad[d])
				}
			}
		}
	}
	return out, nil
}

// integrate is, for each line, the integral over it of its slopes: [lines][features]. All points run in one query.
func integrate(ctx context.Context, p *explain.Problem, lines []line, points []point) ([][]float64, error) {
	at, err := slopes(ctx, p, lines, points)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(lines))
	for l := range lines {
		out[l] = make([]float64, len(p.Features))
	}
	for i, x := range points {
		add(out[x.line], x.weight, at[i])
	}
	return out, nil
}

// gauss returns the Gauss-Legendre rule of n points on [from, to] of a line.
func gauss(line, n int, from, to float64) []point {
	at, weight := make([]float64, n), make([]float64, n)
	legendre(at, weight, from, to)
	ps := make([]point, n)
	for i := range ps {
		ps[i] = point{line, at[i], weight[i]}
	}
	return ps
}

// inQueries asks for slopes in queries of few different sizes, since another number of rows is another program to
// compile, which takes longer than running it: up to four queries of size points, or queries of 48, 96, 192 ...
// points, enough for all at once. Points that fill up a query are computed and dropped.
func inQueries(points []point, size int, slopes func([]point) ([][]float64, error)) (all [][]float64, err error) {
	if len(points) > 4*size {
		for size = 48; size < len(points); {
			size *= 2
		}
	}
	for chunk := range slices.Chunk(points, size) {
		n := len(chunk)
		for len(chunk) < size {
			chunk = append(slices.Clip(chunk), point{})
		}
		at, err := slopes(chunk)
		if err != nil {
			return nil, err
		}
		all = append(all, at[:n]...)
	}
	return all, nil
}

func add(to []float64, times float64, x []float64) {
	for i := range to {
		to[i] += times * x[i]
	}
}
