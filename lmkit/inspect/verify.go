package inspect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
)

// estimated estimates all cells, and runs the largest ones and a random sample of the others, to say by how much the
// estimate is off where it matters, and how much it may have missed where it does not.
func (s *sweep) estimated(ctx context.Context, x *pair, first bool, pairs int) ([]float64, error) {
	L := s.p.Model.Config().Layers
	s.p.Expect(pairs * (2*L + 2*s.Verify + 20))
	est, err := s.estimate(ctx, x)
	if err != nil || !first {
		return est.values(), err
	}
	rank := est.rank()
	rest := rank[min(len(rank), s.Verify):]
	rng := rand.New(rand.NewPCG(s.p.Question.Seed, 1))
	rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	top, sample := rank[:min(len(rank), s.Verify)], rest[:min(len(rest), s.Verify)]
	exact, err := s.run(ctx, x, slices.Concat(top, sample))
	if err != nil {
		return nil, err
	}
	s.verified(est, top, sample, exact)
	steep := slices.MaxFunc(upTo(len(est.slope)), func(i, j int) int {
		return cmp.Compare(math.Abs(est.slope[i]), math.Abs(est.slope[j]))
	})
	id, err := s.slopeIdentity(ctx, x, s.cell(steep), est.slope[steep])
	s.identities = append(s.identities, id)
	s.more = append(s.more, explain.Measure{Name: "AtP", Unit: s.unit(), Values: s.square(est.slope)})
	if est.dropped != nil {
		s.more = append(s.more, explain.Measure{Name: "AtP*", Unit: s.unit(), Values: s.square(est.dropped)})
	}
	return est.values(), err
}

// values is what the matrix shows.
func (e *estimates) values() []float64 {
	if e == nil {
		return nil
	}
	return e.fixed
}

// rank returns the cells, those with the largest estimates first: by GradDrop where there is such.
func (e *estimates) rank() []int {
	by := e.dropped
	if by == nil {
		by = e.fixed
	}
	order := upTo(len(by))
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(math.Abs(by[j]), math.Abs(by[i])) })
	return order
}

// cell returns the place of a cell, counted row by row.
func (s *sweep) cell(i int) place {
	n := len(s.grid.columns)
	return s.grid.cells[i/n][i%n]
}

func (s *sweep) cellName(i int) string {
	n := len(s.grid.columns)
	return s.grid.name(i/n, i%n)
}

// run returns the effects of some cells, each a row, with the identities of any sweep.
func (s *sweep) run(ctx context.Context, x *pair, cells []int) (effects []float64, err error) {
	q := newPatches(x, s.Noising)
	var rows []int
	for _, i := range cells {
		rows = append(rows, q.add(q.from(), s.cell(i)))
	}
	checks := s.checks(q)
	a, err := s.p.Run(ctx, q.q)
	if err != nil {
		return nil, err
	}
	for _, c := range checks {
		s.identities = append(s.identities, c(a))
	}
	for _, i := range rows {
		effects = append(effects, q.effect(a, i))
	}
	return effects, nil
}

// verified writes down what the cells that were run have to say about the estimates.
func (s *sweep) verified(est *estimates, top, sample []int, exact []float64) {
	var told []string
	for n, i := range top {
		told = append(told, fmt.Sprintf("%s is %+.3g, estimated as %+.3g", s.cellName(i), exact[n], est.fixed[i]))
	}
	s.notes = append(s.notes, fmt.Sprintf("run, of all %d cells the %d with the largest estimates: %s", len(est.fixed),
		len(top), strings.Join(told, "; ")))
	if len(sample) == 0 {
		return
	}
	mean, worst, largest := 0.0, 0, 0.0
	off := func(n int) float64 { return math.Abs(exact[len(top)+n] - est.fixed[sample[n]]) }
	for n := range sample {
		mean += off(n) / float64(len(sample))
		if off(n) > off(worst) {
			worst = n
		}
		largest = max(largest, math.Abs(exact[len(top)+n]))
	}
	s.notes = append(s.notes, fmt.Sprintf("of %d of the others, drawn at random, the estimate is off by %.2g on average "+
		"and by %.2g at most (%s), and the largest effect is %.2g", len(sample), mean, off(worst), s.cellName(sample[worst]),
		largest))
}
