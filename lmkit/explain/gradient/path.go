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

// slopes is, for each point, the derivative of the objective along its line, split over the features: the gradient times
// (input - baseline) [points][features].
func slopes(ctx context.Context, p *explain.Problem, lines []line, points []point) ([][]float64, error) {
	q := lm.Query{Rows: p.Rows(len(points)), Of: []lm.Objective{p.Objective}, Wrt: []lm.Tap{embed}}
	for i, x := range points {
		l := lines[x.line]
		q.Edits = append(q.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: l.positions, Keep: x.at, With: lm.FromValues(l.baseline)})
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

// panel is a piece of a line, and what is known of its integral.
type panel struct {
	line     int
	from, to float64
	rule     int         // the finest rule that was computed
	slopes   [][]float64 // at its points, in the order of nodes
}

// scores is the integral by a rule.
func (x *panel) scores(rule int) []float64 {
	sum := make([]float64, len(x.slopes[0]))
	for i, s := range x.slopes[:rules[rule]] {
		add(sum, nodes[i].weight[rule]*(x.to-x.from), s)
	}
	return sum
}

// change is how much the finest rule differs from the one before, summed over the features.
func (x *panel) change() (size float64) {
	now := x.scores(x.rule)
	for f, before := range x.scores(x.rule - 1) {
		size += math.Abs(now[f] - before)
	}
	return size
}

// refine integrates slopes along lines: by 7 points, and where they do not do, by 15, by 31, and then by halves of the line,
// and so on. (For a small tolerance, 15 points are the first: 7 rarely do.) They do when the scores of a line add up
// to its total within the tolerance, relative, and the last rule changed the scores, relative to their sizes, by so
// little that its own error is expected to be within the tolerance, too: a rule of twice the degree squares the error
// of what is smooth. Sizes of errors may add up to sqrt(M) times the tolerance for M features: their sum is then about
// within it. refine spends at most budget points (but at least the first a line), and returns the scores of each line.
func refine(slopes func([]point) ([][]float64, error), totals []float64, tolerance float64, budget int) ([][]float64, error) {
	panels := make([]*panel, len(totals))
	for l := range panels {
		panels[l] = &panel{line: l, to: 1, rule: firstRule(tolerance) - 1}
	}
	open := panels
	for spent := 0; ; {
		var points []point
		for _, x := range open {
			x.rule++
			for _, n := range nodes[len(x.slopes):rules[x.rule]] {
				points = append(points, point{line: x.line, at: x.from + (x.to-x.from)*n.at})
			}
		}
		at, err := slopes(points)
		if err != nil {
			return nil, err
		}
		for _, x := range open {
			n := rules[x.rule] - len(x.slopes)
			x.slopes, at = append(x.slopes, at[:n]...), at[n:]
		}
		if spent += len(points); spent >= budget {
			break
		}
		panels, open = unsettled(panels, totals, tolerance)
		if len(open) == 0 {
			break
		}
	}
	return sums(panels, len(totals)), nil
}

// unsettled is the panels of all lines, those to be halved halved, and which of them are to be computed more finely.
func unsettled(panels []*panel, totals []float64, tolerance float64) (all, open []*panel) {
	scores := sums(panels, len(totals))
	for l, total := range totals {
		own := slices.DeleteFunc(slices.Clone(panels), func(x *panel) bool { return x.line != l })
		sum, size, largest := 0.0, 0.0, 0.0
		for _, s := range scores[l] {
			sum += s
			size += math.Abs(s)
		}
		for _, x := range own {
			largest = max(largest, x.change())
		}
		// Each panel has its share of the line's allowance.
		allowed := math.Sqrt(tolerance*math.Sqrt(float64(len(scores[l])))) * max(size, 1e-6) / float64(len(own))
		if math.Abs(sum-total) > tolerance*max(math.Abs(total), 1e-6) {
			allowed = min(allowed, largest/2)
		}
		for _, x := range own {
			switch {
			case x.change() <= allowed:
				all = append(all, x)
			case x.rule < len(rules)-1:
				all, open = append(all, x), append(open, x)
			default:
				m := (x.from + x.to) / 2
				halves := []*panel{{line: l, from: x.from, to: m}, {line: l, from: m, to: x.to}}
				all, open = append(all, halves...), append(open, halves...)
			}
		}
	}
	return all, open
}

// sums is the scores of each line.
func sums(panels []*panel, lines int) [][]float64 {
	out := make([][]float64, lines)
	for _, x := range panels {
		s := x.scores(x.rule)
		if out[x.line] == nil {
			out[x.line] = make([]float64, len(s))
		}
		add(out[x.line], 1, s)
	}
	return out
}

func firstRule(tolerance float64) int {
	if tolerance < 0.003 {
		return 2
	}
	return 1
}

// together runs few points in queries of one size, and many rounded up to 48, 96, ...: another number of rows is another
// program to compile, which takes longer than running it.
func together(points []point, size int, slopes func([]point) ([][]float64, error)) (all [][]float64, err error) {
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
