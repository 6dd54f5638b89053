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
	baseline  lm.Array      // [D]
	of        *explain.Part // whose objective is integrated; nil: the problem's
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
	q := lm.Query{Rows: p.Rows(len(points)), Wrt: []lm.Tap{embed}}
	for i, x := range points {
		l := lines[x.line]
		q.Edits = append(q.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: l.positions, Keep: x.at,
			With: lm.FromValues(l.baseline)})
	}
	ask := p.Evaluate
	if len(points) > 0 && lines[0].of != nil { // all lines have one, or none has
		ask = p.Run
		for _, x := range points {
			q.Of = append(q.Of, lines[x.line].of.Objective)
		}
	}
	a, err := ask(ctx, q)
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

// querySize returns how many points inQueries asks for at once, where there are n. Another number of rows is another
// program to compile, which takes longer than running it: so there are few sizes, size itself for few points.
func querySize(n, size int) int {
	switch {
	case n <= 4*size:
		return size
	case n <= 48:
		return 48
	}
	return 96
}

// filledUp returns how many points inQueries asks for in all, where there are n.
func filledUp(n, size int) int {
	size = querySize(n, size)
	return (n + size - 1) / size * size
}

// inQueries asks for slopes in queries of querySize points. Points that fill up a query are computed and dropped.
func inQueries(points []point, size int, slopes func([]point) ([][]float64, error)) (all [][]float64, err error) {
	size = querySize(len(points), size)
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
