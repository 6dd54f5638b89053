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

// size is the sum of |score| over the features.
func (x *panel) size() (size float64) {
	for _, score := range x.scores(x.rule) {
		size += math.Abs(score)
	}
	return size
}

// price returns how many points it takes to compute a panel more finely: those of the next rule, or the first ones of
// both halves where there is none.
func (x *panel) price() int {
	if x.rule < len(rules)-1 {
		return rules[x.rule+1] - len(x.slopes)
	}
	return 2 * rules[1]
}

// outlook returns how many points it will take until a panel is settled, as far as that can be told, or rest where it
// cannot. A change below the size of the scores will be much smaller by the next rule. A larger one says nothing: if
// even the finest rule leaves one, the panel may have to be halved any number of times.
func (x *panel) outlook(rest int) int {
	switch {
	case x.change() <= x.size():
		return x.price()
	case x.rule < len(rules)-1:
		return rules[len(rules)-1] - len(x.slopes)
	}
	return rest
}

// refine integrates slopes along lines, and returns the scores of each line [lines][features]. It computes each line
// by two rules, then every panel that is not settled by the next finer rule, and halves those that the finest rule
// does not settle, until all are settled, and the lines add up together, too. It asks for no more than budget points
// (but for the first round, which is always computed): what is left of them goes to the panels that change most. totals
// is what the scores of each line must add up to. foresees hears, before each round, how many points there will be in
// all, as far as that can be told. docs/quadrature.md derives when a panel is settled, and what the tolerance promises.
func refine(
	slopes func([]point) ([][]float64, error), totals []float64, tolerance float64, budget int, foresees func(points int),
) ([][]float64, error) {
	lines := make([]integral, len(totals))
	var open []*panel
	for l, total := range totals {
		whole := &panel{line: l, to: 1, rule: firstRule(tolerance) - 1}
		lines[l] = integral{[]*panel{whole}, total}
		open = append(open, whole)
	}
	spent := 0
	foresees(len(lines) * rules[firstRule(tolerance)])
	for len(open) > 0 {
		computed, err := deepen(open, slopes)
		if err != nil {
			return nil, err
		}
		spent += computed
		var unsettled []*panel
		for l := range lines {
			unsettled = append(unsettled, lines[l].unsettled(tolerance)...)
		}
		if len(unsettled) == 0 {
			unsettled = together(lines, tolerance)
		}
		foreseen := spent
		for _, x := range unsettled {
			foreseen += x.outlook(budget)
		}
		open = nil
		for _, x := range affordable(unsettled, budget-spent) {
			open = append(open, lines[x.line].refined(x)...)
		}
		if len(open) > 0 {
			foresees(min(foreseen, budget))
		}
	}
	out := make([][]float64, len(lines))
	for l := range lines {
		out[l] = lines[l].scores()
	}
	return out, nil
}

// together returns the panels that must be computed more finely though each line is settled by itself: none where the
// scores of all lines add up to the sum of their totals within the tolerance, and else those that change most. Where
// totals have different signs their sum is small, and errors that are small for each line are not for the sum.
func together(lines []integral, tolerance float64) (open []*panel) {
	sum, total, largest := 0.0, 0.0, 0.0
	for _, l := range lines {
		total += l.total
		for _, s := range l.scores() {
			sum += s
		}
		for _, x := range l.panels {
			largest = max(largest, x.change())
		}
	}
	if math.Abs(sum-total) <= tolerance*max(math.Abs(total), smallest) {
		return nil
	}
	for _, l := range lines {
		for _, x := range l.panels {
			if x.change() >= largest/2 {
				open = append(open, x)
			}
		}
	}
	return open
}

// affordable returns the panels that budget points are enough for, in the order in which they were given: where they
// are not enough for all, those that change most.
func affordable(panels []*panel, budget int) (chosen []*panel) {
	worst := slices.SortedStableFunc(slices.Values(panels), func(a, b *panel) int {
		return cmp.Compare(b.change(), a.change())
	})
	most := 0
	for most < len(worst) && worst[most].price() <= budget {
		budget -= worst[most].price()
		most++
	}
	for _, x := range panels {
		if slices.Contains(worst[:most], x) {
			chosen = append(chosen, x)
		}
	}
	return chosen
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

// unsettled returns the panels that must be computed more finely.
func (l *integral) unsettled(tolerance float64) (open []*panel) {
	allowed := l.allowance(tolerance)
	for _, x := range l.panels {
		if x.change() > allowed {
			open = append(open, x)
		}
	}
	return open
}

// refined returns what must be computed next of a panel: the panel itself, or its halves, which take its place, where
// there is no finer rule for it.
func (l *integral) refined(x *panel) []*panel {
	if x.rule < len(rules)-1 {
		return []*panel{x}
	}
	middle := (x.from + x.to) / 2
	halves := []*panel{{line: x.line, from: x.from, to: middle}, {line: x.line, from: middle, to: x.to}}
	at := slices.Index(l.panels, x)
	l.panels = slices.Replace(l.panels, at, at+1, halves...)
	return halves
}

// smallest is the size below which scores are rounding.
const smallest = 1e-6

// allowance returns the largest change by which a panel counts as settled. With M features, P panels and scores of the
// size S = sum of |score|, that is
//
//	sqrt(tolerance * sqrt(M)) * S / P
//
// since the finest rule's error is about the square of its change (docs/quadrature.md). Where the scores do not add up
// to the total within the tolerance, it is at most half the largest change, so that the worst panels are not settled.
func (l *integral) allowance(tolerance float64) float64 {
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
