package gradient

import (
	"context"
	"math"
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

// integrate is, for each line, the integral over it of the gradient times (input - baseline), split over the features:
// [lines][features]. All points run in one query.
func integrate(ctx context.Context, p *explain.Problem, lines []line, points []point) ([][]float64, error) {
	q := lm.Query{Rows: rows(p, len(points)), Of: []lm.Objective{p.LM()}, Wrt: []lm.Tap{embed}}
	for i, x := range points {
		l := lines[x.line]
		q.Edits = append(q.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: l.positions, Keep: x.at, With: lm.FromValues(l.baseline)})
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(lines))
	for l := range lines {
		out[l] = make([]float64, len(p.Features))
	}
	inside := make([][]bool, len(lines))
	for l := range lines {
		inside[l] = make([]bool, len(p.IDs))
		for _, t := range lines[l].positions {
			inside[l][t] = true
		}
	}
	for i, x := range points {
		g := a.Grad[embed].Index(i)
		base := lines[x.line].baseline.Data
		for f, feature := range p.Features {
			for _, t := range feature.Tokens {
				if !inside[x.line][t] {
					continue
				}
				input, grad := p.Embeddings.Index(t).Data, g.Index(t).Data
				sum := 0.0
				for d := range grad {
					sum += (float64(input[d]) - float64(base[d])) * float64(grad[d])
				}
				out[x.line][f] += x.weight * sum
			}
		}
	}
	return out, nil
}

// gauss is the Gauss-Legendre rule of n points on [from, to] of a line.
func gauss(line, n int, from, to float64) []point {
	at, weight := make([]float64, n), make([]float64, n)
	legendre(at, weight, from, to)
	ps := make([]point, n)
	for i := range ps {
		ps[i] = point{line, at[i], weight[i]}
	}
	return ps
}

// panel is a piece of a line, with its integral.
type panel struct {
	line     int
	from, to float64
	scores   []float64 // one a feature; nil: not computed yet
}

const panelPoints = 8

// refine integrates along lines by Gauss-Legendre panels of 8 points that are halved until halving changes nothing
// that matters: less than tolerance relative to both the sum of the scores and their sizes. It spends at most budget
// points (but at least 24 a line), and returns the scores of each line.
func refine(ctx context.Context, p *explain.Problem, lines []line, tolerance float64, budget int) (scores [][]float64, err error) {
	done := make([][]float64, len(lines)) // what is accepted
	open := make([]panel, len(lines))     // what is to be looked at
	var both []panel                      // open ones and their halves: the first round computes them at once
	for l := range lines {
		done[l] = make([]float64, len(p.Features))
		both = append(both, panel{line: l, from: 0, to: 1}, panel{line: l, from: 0, to: 0.5}, panel{line: l, from: 0.5, to: 1})
	}
	if err := compute(ctx, p, lines, both); err != nil {
		return nil, err
	}
	spent := len(both) * panelPoints
	var halves []panel
	for l := range lines {
		open[l] = both[3*l]
		halves = append(halves, both[3*l+1:3*l+3]...)
	}
	for {
		total := totals(done, halves)
		var still []panel
		for i, o := range open {
			a, b := halves[2*i], halves[2*i+1]
			if settled(o.scores, a.scores, b.scores, total[o.line], tolerance/float64(len(open))) {
				add(done[o.line], a.scores)
				add(done[o.line], b.scores)
			} else {
				still = append(still, a, b)
			}
		}
		open, halves = still, nil
		if spent += 2 * len(open) * panelPoints; len(open) == 0 || spent > budget {
			return totals(done, open), nil
		}
		for _, o := range open {
			m := (o.from + o.to) / 2
			halves = append(halves, panel{line: o.line, from: o.from, to: m}, panel{line: o.line, from: m, to: o.to})
		}
		if err := compute(ctx, p, lines, halves); err != nil {
			return nil, err
		}
	}
}

// compute integrates over panels. The number of points is rounded up to 24, 48, 96, ..., as each other number would be
// another program to compile, which takes longer than running it.
func compute(ctx context.Context, p *explain.Problem, lines []line, panels []panel) error {
	var points []point
	own := make([]line, len(panels)) // each panel is a line of its own to integrate
	for i, x := range panels {
		own[i] = lines[x.line]
		points = append(points, gauss(i, panelPoints, x.from, x.to)...)
	}
	size := 3 * panelPoints
	for size < len(points) {
		size *= 2
	}
	for len(points) < size {
		points = append(points, point{line: 0, at: 1, weight: 0})
	}
	scores, err := integrate(ctx, p, own, points)
	for i := range scores {
		panels[i].scores = scores[i]
	}
	return err
}

// settled says whether a panel's two halves agree with the whole.
func settled(whole, a, b, total []float64, tolerance float64) bool {
	var off, offSize, sum, size float64
	for f := range whole {
		d := whole[f] - a[f] - b[f]
		off += d
		offSize += math.Abs(d)
		sum += total[f]
		size += math.Abs(total[f])
	}
	return math.Abs(off) <= tolerance*max(math.Abs(sum), 1e-6) && offSize <= tolerance*max(size, 1e-6)
}

func totals(done [][]float64, open []panel) [][]float64 {
	out := make([][]float64, len(done))
	for l := range done {
		out[l] = slices.Clone(done[l])
	}
	for _, o := range open {
		add(out[o.line], o.scores)
	}
	return out
}

func add(to, x []float64) {
	for i := range to {
		to[i] += x[i]
	}
}
