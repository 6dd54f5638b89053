package gradient

import (
	"cmp"
	"math"
	"slices"
)

// integral is what refine knows of the integral over one line: its panels, in the order of the line, and what the
// scores must add up to.
type integral struct {
	panels []*panel
	total  float64
}

// panel is a piece of a line, and the slopes at the points of the finest rule that was computed on it.
type panel struct {
	line     int
	from, to float64
	rule     int         // an index into rules
	slopes   [][]float64 // [points][features], in the order of nodes
}

// scores returns the panel's share of the integral by a rule: the sum over its points of weight times slope [features].
func (x *panel) scores(rule int) []float64 {
	sum := make([]float64, len(x.slopes[0]))
	for i, s := range x.slopes[:rules[rule]] {
		add(sum, nodes[i].weight[rule]*(x.to-x.from), s)
	}
	return sum
}

// change returns how much the finest rule differs from the one before: the sum of |difference| over the features. It
// estimates the error of the rule before, since the finest one is much closer to the truth.
func (x *panel) change() (size float64) {
	now := x.scores(x.rule)
	for f, before := range x.scores(x.rule - 1) {
		size += math.Abs(now[f] - before)
	}
	return size
}

// halves returns the two halves of a panel, on which nothing is computed yet.
func (x *panel) halves() []*panel {
	middle := (x.from + x.to) / 2
	return []*panel{{line: x.line, from: x.from, to: middle}, {line: x.line, from: middle, to: x.to}}
}

// refine integrates slopes along lines, and returns the scores of each line [lines][features]. It computes each line
// by two rules, then every panel that is not settled by the next finer rule, and halves those that the finest rule
// does not settle, until all are settled or budget points are spent (the first round is always computed). totals is
// what the scores of each line must add up to. docs/quadrature.md derives when a panel is settled, and what the
// tolerance then promises.
func refine(
	slopes func([]point) ([][]float64, error), totals []float64, tolerance float64, budget int,
) ([][]float64, error) {
	lines := make([]integral, len(totals))
	var open []*panel
	for l, total := range totals {
		whole := &panel{line: l, to: 1, rule: firstRule(tolerance) - 1}
		lines[l] = integral{[]*panel{whole}, total}
		open = append(open, whole)
	}
	for spent := 0; ; {
		computed, err := deepen(open, slopes)
		if err != nil {
			return nil, err
		}
		if spent += computed; spent >= budget {
			break
		}
		open = nil
		for l := range lines {
			open = append(open, lines[l].unsettled(tolerance)...)
		}
		if len(open) == 0 {
			break
		}
	}
	out := make([][]float64, len(lines))
	for l := range lines {
		out[l] = lines[l].scores()
	}
	return out, nil
}

// deepen computes panels by the next finer rule, all in one call of slopes, and returns how many points that took: only
// those that the rule adds.
func deepen(panels []*panel, slopes func([]point) ([][]float64, error)) (computed int, err error) {
	var points []point
	for _, x := range panels {
		x.rule++
		for _, n := range nodes[len(x.slopes):rules[x.rule]] {
			points = append(points, point{line: x.line, at: x.from + (x.to-x.from)*n.at})
		}
	}
	at, err := slopes(points)
	if err != nil {
		return 0, err
	}
	for _, x := range panels {
		added := rules[x.rule] - len(x.slopes)
		x.slopes, at = append(x.slopes, at[:added]...), at[added:]
	}
	return len(points), nil
}

// unsettled returns the panels that must be computed more finely. A panel for which there is no finer rule is
// replaced by its halves, which are among them.
func (l *integral) unsettled(tolerance float64) (open []*panel) {
	allowed := l.allowance(tolerance)
	var panels []*panel
	for _, x := range l.panels {
		replaced := []*panel{x}
		switch {
		case x.change() <= allowed:
		case x.rule < len(rules)-1:
			open = append(open, x)
		default:
			replaced = x.halves()
			open = append(open, replaced...)
		}
		panels = append(panels, replaced...)
	}
	l.panels = panels
	return open
}

// allowance returns the largest change by which a panel counts as settled. With M features, P panels and scores of the
// size S = sum of |score|, that is
//
//	sqrt(tolerance * sqrt(M)) * S / P
//
// since the finest rule's error is about the square of its change (docs/quadrature.md). Where the scores do not add up
// to the total within the tolerance, it is at most half the largest change, so that the worst panels are not settled.
func (l *integral) allowance(tolerance float64) float64 {
	const smallest = 1e-6 // sizes below this are rounding
	scores := l.scores()
	sum, size := 0.0, 0.0
	for _, s := range scores {
		sum += s
		size += math.Abs(s)
	}
	allowed := math.Sqrt(tolerance*math.Sqrt(float64(len(scores)))) * max(size, smallest) / float64(len(l.panels))
	if math.Abs(sum-l.total) > tolerance*max(math.Abs(l.total), smallest) {
		largest := slices.MaxFunc(l.panels, func(a, b *panel) int { return cmp.Compare(a.change(), b.change()) })
		allowed = min(allowed, largest.change()/2)
	}
	return allowed
}

// scores returns the line's integral by the finest rule of each panel.
func (l *integral) scores() []float64 {
	sum := make([]float64, len(l.panels[0].slopes[0]))
	for _, x := range l.panels {
		add(sum, 1, x.scores(x.rule))
	}
	return sum
}

// firstRule returns the rule to begin with, which is computed together with the one before: 7 points, or 15 for a small
// tolerance, which 7 rarely reach.
func firstRule(tolerance float64) int {
	if tolerance < 0.003 {
		return 2
	}
	return 1
}
