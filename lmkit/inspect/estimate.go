package inspect

import (
	"context"
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// estimates is what attribution patching says of each cell of a grid, as a share of the difference.
type estimates struct {
	// slope is AtP (Nanda, 2022): the change of the activation times the gradient of the objective by it.
	slope []float64
	// fixed is slope, but of queries and keys what AtP* (Kramár et al., 2024) has in its place: the pattern is computed
	// anew with the other version's query or key, and its change is multiplied by the gradient by the pattern.
	fixed []float64
	// dropped is the mean size of fixed over gradients of which each leaves out one layer (GradDrop), so that a direct
	// and an indirect effect that cancel each other are seen; nil where a model has no residual stream.
	dropped []float64
}

// estimator computes estimates: rows of the base version with gradients, and the donor's activations.
type estimator struct {
	*sweep
	*patches
}

// estimate runs two rows forward and one backward, two rows for the fixes of queries and keys, and for GradDrop a row
// forward and backward for each layer.
func (s *sweep) estimate(ctx context.Context, x *pair) (*estimates, error) {
	e := &estimator{sweep: s, patches: newPatches(x, s.Noising)}
	fix, err := e.refit(ctx)
	if err != nil {
		return nil, err
	}
	of := lm.Objective{Unit: e.sweep.p.Objective.Unit} // of the donor nothing is asked
	q := e.q
	q.Of = []lm.Objective{of, of}
	q.Of[e.into()], q.Wrt = e.sweep.p.Objective, e.wrt()
	a, err := s.p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	donor := map[lm.Tap]lm.Array{}
	for tap, v := range a.At {
		donor[tap] = v.Index(e.from())
	}
	out := &estimates{}
	for _, row := range s.grid.cells {
		for _, at := range row {
			out.slope = append(out.slope, e.slope(at, a, e.into(), donor))
			out.fixed = append(out.fixed, e.fixed(at, a, e.into(), donor, fix))
		}
	}
	if x.p.Model.Config().Attends() && x.p.Model.Config().Layers > 1 {
		if out.dropped, err = e.drop(ctx, donor, fix); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// wrt lists what is differentiated by: the activations of the grid, and of queries and keys the patterns that they
// make.
func (e *estimator) wrt() (taps []lm.Tap) {
	for k, tap := range e.grid.taps {
		taps = append(taps, tap.Name)
		if e.side() != "" {
			taps = append(taps, patternTap(e.grid.layers[k]))
		}
	}
	return taps
}

func patternTap(layer int) lm.Tap { return fmt.Sprintf("block.%d.attn.pattern", layer) }

// side is "q" or "k" where the grid is of queries or keys as they are projected, and else "".
func (s *sweep) side() string {
	switch s.grid.taps[0].Name {
	case fmt.Sprintf("block.%d.attn.q", s.grid.layers[0]):
		return "q"
	case fmt.Sprintf("block.%d.attn.k", s.grid.layers[0]):
		return "k"
	}
	return ""
}

// refitted is the scores [H, T, S] of a layer in the base version, and those with all queries, or all keys, of the
// donor.
type refitted struct{ own, mixed lm.Array }

// refit returns, of a grid of queries or keys, each layer's scores: nil for another one. One row has the base version's
// residual stream before every layer and the donor's queries, or keys, within each, so that layers do not disturb each
// other.
func (e *estimator) refit(ctx context.Context) (map[int]refitted, error) {
	if e.side() == "" {
		return nil, nil
	}
	q := *newPatches(e.patches.pair, e.noising)
	var streams, taps []lm.Tap
	for l := range e.sweep.p.Model.Config().Layers {
		streams = append(streams, fmt.Sprintf("block.%d.resid.post", l))
	}
	mixed := q.add(q.from(), e.grid.everything(nil)...)
	for _, tap := range streams {
		q.q.Edits = append(q.q.Edits, place{tap: tap}.edit(mixed, lm.FromRow(q.into())))
	}
	for _, l := range e.grid.layers {
		taps = append(taps, fmt.Sprintf("block.%d.attn.scores", l))
	}
	q.q.Taps, q.q.Of = taps, nil
	a, err := e.sweep.p.Run(ctx, q.q)
	if err != nil {
		return nil, err
	}
	out := map[int]refitted{}
	for k, l := range e.grid.layers {
		out[l] = refitted{a.At[taps[k]].Index(q.into()), a.At[taps[k]].Index(mixed)}
	}
	return out, nil
}

// slope returns (n' - n) . dm/dn over a place, of row i of an answer, as a share of the difference.
func (e *estimator) slope(at place, a *lm.Answer, i int, donor map[lm.Tap]lm.Array) float64 {
	own, grad, other := a.At[at.tap].Index(i), a.Grad[at.tap].Index(i), donor[at.tap]
	sum := 0.0
	eachBlock(e.tapInfo(at.tap), own.Dims, at, func(from, to int) {
		for k := from; k < to; k++ {
			sum += float64(other.Data[k]-own.Data[k]) * float64(grad.Data[k])
		}
	})
	return e.share(sum)
}

// share turns a change of the objective of the base version into an effect.
func (x *patches) share(change float64) float64 {
	if x.noising {
		change = -change
	}
	return change / x.difference
}

func (s *sweep) tapInfo(tap lm.Tap) lm.TapInfo {
	for _, t := range s.grid.taps {
		if t.Name == tap {
			return t
		}
	}
	return lm.TapInfo{}
}

// eachBlock visits the ranges of a row of an activation, whose axes are those of the tap but the first, that a place
// has.
func eachBlock(tap lm.TapInfo, dims []int, at place, visit func(from, to int)) {
	block := dims[len(dims)-1]
	var walk func(axis, i int)
	walk = func(axis, i int) {
		if axis == len(dims)-1 {
			visit(i*block, (i+1)*block)
			return
		}
		only := at.heads
		if tap.Axes[axis+1] == 'T' {
			only = at.positions
		}
		if only == nil {
			only = upTo(dims[axis])
		}
		for _, x := range only {
			walk(axis+1, i*dims[axis]+x)
		}
	}
	walk(0, 0)
}

// fixed returns the estimate of AtP* for queries and keys, and slope for all else.
func (e *estimator) fixed(at place, a *lm.Answer, i int, donor map[lm.Tap]lm.Array, fix map[int]refitted) float64 {
	side := e.side()
	if side == "" {
		return e.slope(at, a, i, donor)
	}
	tap := e.tapInfo(at.tap)
	grad := a.Grad[patternTap(at.layer)].Index(i)
	heads := at.heads
	if heads == nil {
		heads = upTo(tap.Heads())
	}
	sum := 0.0
	for _, h := range heads {
		for r := range max(1, tap.Readers) { // of shared keys, each head of queries that reads them
			n := h
			if side == "k" {
				n = h*max(1, tap.Readers) + r
			} else if r > 0 {
				break
			}
			f := fix[at.layer]
			sum += e.moved(f.own.Index(n), f.mixed.Index(n), grad.Index(n), at, side == "k")
		}
	}
	return e.share(sum)
}

// moved returns (a' - a) . dm/da of one head, where the pattern a' is that of scores [T, S] of which those of some
// queries (rows), or keys (columns), are the mixed ones.
func (e *estimator) moved(own, mixed, grad lm.Array, at place, keys bool) float64 {
	T, sum := own.Dims[0], 0.0
	c := e.sweep.p.Model.Config()
	in := make([]bool, T)
	for t := range in {
		in[t] = at.positions == nil
	}
	for _, t := range at.positions {
		in[t] = true
	}
	for t := range T {
		if !keys && !in[t] {
			continue
		}
		from := 0
		if c.Pattern[at.layer] == 's' {
			from = max(0, t-c.Window+1)
		}
		was, is := own.Index(t).Data[from:t+1], make([]float64, t+1-from)
		for j := range is {
			is[j] = float64(was[j])
			if !keys || in[from+j] {
				is[j] = float64(mixed.Index(t).Data[from+j])
			}
		}
		before := make([]float64, len(is))
		for j, v := range was {
			before[j] = float64(v)
		}
		softmax(is)
		softmax(before)
		for j := range is {
			sum += (is[j] - before[j]) * float64(grad.Index(t).Data[from+j])
		}
	}
	return sum
}

// softmax turns scores into a pattern, in place.
func softmax(x []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, v)
	}
	for i, v := range x {
		x[i] = math.Exp(v - top)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// mostHeld is how many numbers of activations and gradients GradDrop holds at once, about.
const mostHeld = 64 << 20

// drop returns the mean over layers j of the size of fixed, of the gradient that does not go through what layer j adds
// to the residual stream: 1/(L-1) sum over j of |I_j|.
func (e *estimator) drop(ctx context.Context, donor map[lm.Tap]lm.Array, fix map[int]refitted) ([]float64, error) {
	L := e.sweep.p.Model.Config().Layers
	row := 0
	for _, x := range donor {
		row += 2 * len(x.Data)
	}
	out := make([]float64, len(e.grid.rows)*len(e.grid.columns))
	group := max(1, min(L, mostHeld/row))
	for first := 0; first < L; first += group {
		q := newPatches(e.patches.pair, e.noising)
		var rows []int
		for j := first; j < min(L, first+group); j++ {
			i := len(q.q.Rows) // from itself: the same numbers, and no gradient
			rows = append(rows, q.add(i, place{tap: fmt.Sprintf("block.%d.attn.out", j)},
				place{tap: fmt.Sprintf("block.%d.mlp.out", j)}))
		}
		q.q.Of, q.q.Wrt = []lm.Objective{e.sweep.p.Objective}, e.wrt()
		a, err := e.sweep.p.Run(ctx, q.q)
		if err != nil {
			return nil, err
		}
		for _, i := range rows {
			n := 0
			for _, row := range e.grid.cells {
				for _, at := range row {
					out[n] += math.Abs(e.fixed(at, a, i, donor, fix)) / float64(L-1)
					n++
				}
			}
		}
	}
	return out, nil
}

// slopeIdentity compares an estimate with what it is the slope of: the effect of a patch that goes a small part of the
// way. With D(e) the effect of the part e, divided by e, 2 D(e/2) - D(e) is the slope up to a term in e squared; by how
// much the two D differ says how far that can be trusted.
func (s *sweep) slopeIdentity(ctx context.Context, x *pair, at place, estimate float64) (explain.Identity, error) {
	const part = 1. / 128
	q := newPatches(x, s.Noising)
	rows := [2]int{q.add(q.from(), at), q.add(q.from(), at)}
	n := len(q.q.Edits)
	q.q.Edits[n-2].Keep, q.q.Edits[n-1].Keep = 1-part, 1-part/2
	a, err := s.p.Run(ctx, q.q)
	if err != nil {
		return explain.Identity{}, err
	}
	whole, half := q.effect(a, rows[0])/part, q.effect(a, rows[1])/(part/2)
	return explain.NewIdentity("a patch of a small part of the way moves the objective as the largest estimate says",
		estimate, 2*half-whole, max(0.02, 0.05*math.Abs(estimate), math.Abs(half-whole))), nil
}
