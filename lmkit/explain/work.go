package explain

import (
	"context"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// work is a part of an explanation that tells how far it has come: a method, or what comes before and after methods.
type work struct {
	name   string
	before lm.Cost // of the problem, when the work began
	expect int     // rows forward and backward in all, as the method says; 0: it does not say
	pace   float64 // seconds a row takes, as far as earlier work tells; 0: it is not known
}

// begin says what is run from now on.
func (p *Problem) begin(name string) { p.work = work{name: name, before: p.cost, pace: p.pace} }

// leastRows is how many rows the smallest batch of the model has: fewer take as long.
const leastRows = 8

// timed notes how long rows take, by a query of some, which is what p has cost since.
func (p *Problem) timed(before lm.Cost, rows int) {
	p.pace = since(before, p.cost).Seconds / float64((rows+leastRows-1)/leastRows*leastRows)
}

// Expect says how many rows, forward and backward, the method that runs now will take in all: the best that is known
// before the first one runs, and again whenever more is known. A method that asks the model all that it needs in one
// query need not say it. The rows of a foil that is an answer of its own are added here.
func (p *Problem) Expect(rows int) {
	if p.rather != nil {
		rows *= 2
	}
	p.work.expect = rows
}

// rows is how many rows forward and backward a cost has.
func rows(c lm.Cost) int { return c.ForwardRows + c.BackwardRows }

// estimate is how many rows the work was expected to take, the last time that anything was said; by default it is what
// it did take.
func (w work) estimate(now lm.Cost) int {
	if w.expect > 0 {
		return w.expect
	}
	return rows(since(w.before, now))
}

// heard is a context under which a query tells how far the whole work has come, in place of the query alone. now is
// what the problem has cost before the query.
func (w work) heard(ctx context.Context, now lm.Cost) context.Context {
	hears := progress.From(ctx)
	if hears == nil {
		return ctx
	}
	spent := since(w.before, now)
	return progress.With(ctx, func(e progress.Event) {
		e.What = w.name
		e.Done, e.Total = e.Done+int64(rows(spent)), max(int64(w.expect), e.Total+int64(rows(spent)))
		e.Seconds += spent.Seconds
		if e.Done == 0 {
			e.Ahead = float64(e.Total) * w.pace
		}
		hears(e)
	})
}
