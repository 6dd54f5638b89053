package lm

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/progress"
)

// Run answers a query. When ctx ends it returns at once; what the engine is at, a compilation or a batch, ends by
// itself. It tells the context's [progress.Func] after each batch how many rows are done. Answers for the same rows
// are the same to the bit whichever rows stand beside them in a batch of the same shape, and to about 1e-6 relative
// across shapes, or where what rows have in common is read once.
func (m *Model) Run(ctx context.Context, q Query) (*Answer, error) {
	if err := m.validate(q); err != nil {
		return nil, err
	}
	r, err := newRun(m, q)
	if err != nil {
		return nil, err
	}
	if err := r.fits(); err != nil {
		return nil, err
	}
	done, err := m.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.all(ctx); err != nil {
		return nil, err
	}
	return &r.answer, nil
}

// run is a query on its way.
type run struct {
	model *Model
	query Query // its Taps and Wrt sorted, and all of Wrt among Taps

	// What the program is compiled for.
	replacements []replacement // the edits
	opening      net.Opening
	prediction   net.Prediction
	chained      bool // it is a chain of programs, not one

	length int // of the longest row
	terms  int // of the objective with the most of them, and at least 1
	answer Answer
}

func newRun(m *Model, q Query) (*run, error) {
	q.Taps, q.Wrt = sortedSet(q.Taps), sortedSet(q.Wrt)
	for _, t := range q.Wrt { // what is differentiated by is returned too
		if !slices.Contains(q.Taps, t) {
			q.Taps = append(q.Taps, t)
		}
	}
	slices.Sort(q.Taps)
	r := &run{model: m, query: q, length: longest(q.Rows), terms: 1, chained: m.chained()}
	for _, o := range q.Of {
		r.terms = max(r.terms, len(o.Terms))
	}
	var err error
	if r.replacements, err = m.replacements(q.Edits); err != nil {
		return nil, err
	}
	r.opening = net.Opening{Taps: q.Taps, Wrt: q.Wrt, Some: q.Places != nil && len(q.Taps) > 0, Linear: q.linear(),
		Edits: slots(r.replacements), Rules: q.Rules}
	if len(q.Of) > 0 {
		r.prediction.Unit = string(q.Of[0].Unit)
	}
	r.prediction.Each = q.Each
	r.prediction.Logits = []string{NoLogits: "", LastLogits: "last", AllLogits: "all"}[q.Logits]
	r.prediction.Last = r.onlyLast()
	return r, nil
}

// onlyLast reports whether a Transformer's last layer need be computed for the last token of each row alone.
func (r *run) onlyLast() bool {
	if !r.model.config.Attends() || r.query.Logits == AllLogits || !r.query.aboutLastTokens() {
		return false
	}
	after := func(t Tap) bool {
		part, _ := net.PartOf(t)
		return part == net.BlockPart(r.model.config.Layers-1) || part == net.EndPart
	}
	return !slices.ContainsFunc(r.query.Taps, after) && !slices.ContainsFunc(r.opening.Linear, after) &&
		!slices.ContainsFunc(r.query.Edits, func(e Edit) bool { return after(e.Tap) })
}

// linear lists the activations that the objectives read.
func (q Query) linear() []Tap {
	var taps []Tap
	for _, o := range q.Of {
		for _, r := range o.Reads {
			taps = append(taps, r.Tap)
		}
	}
	return sortedSet(taps)
}

// aboutLastTokens reports whether objectives are about no more than what follows each row.
func (q Query) aboutLastTokens() bool {
	for i, row := range q.Rows {
		for _, t := range q.objective(i).Terms {
			if t.at(row) != len(row)-1 {
				return false
			}
		}
	}
	return true
}

// all runs the batches.
func (r *run) all(ctx context.Context) error {
	r.prepareAnswer()
	r.tell(ctx)
	if s := r.share(); s != nil {
		return s.all(ctx)
	}
	size := r.batchRows()
	execute := r.whole()
	if r.chained {
		execute = r.chain(size).execute
	}
	for _, b := range plan(len(r.query.Rows), size, r.unit(), r.query.Edits) {
		err := r.step(ctx, len(b.rows), func() (time.Duration, error) { return r.batch(b, size, execute) })
		if err != nil {
			return err
		}
	}
	return nil
}

// step runs a batch of so many rows, adds it to the cost of the answer, and tells of it.
func (r *run) step(ctx context.Context, rows int, batch func() (compile time.Duration, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	var compile time.Duration
	err := r.model.heed(ctx, func() (err error) {
		compile, err = batch()
		return err
	}, nil)
	if err != nil {
		return err
	}
	work := time.Since(start) - compile
	r.answer.Cost.Add(Cost{ForwardRows: rows, CompileSeconds: compile.Seconds(), Seconds: work.Seconds()})
	if len(r.query.Wrt) > 0 {
		r.answer.Cost.BackwardRows += rows
	}
	r.tell(ctx)
	return nil
}

// tell says how many rows are done.
func (r *run) tell(ctx context.Context) {
	total := len(r.query.Rows)
	if len(r.query.Wrt) > 0 {
		total *= 2
	}
	c := r.answer.Cost
	progress.From(ctx).Tell(progress.Event{What: "running the model", Done: int64(c.ForwardRows + c.BackwardRows),
		Total: int64(total), Unit: progress.Rows, Seconds: c.Seconds})
}

// prepareAnswer makes room for what will be returned.
func (r *run) prepareAnswer() {
	n := len(r.query.Rows)
	if r.query.Of != nil {
		r.answer.Values = make([]float64, n)
	}
	if r.query.Each {
		r.answer.Each = make([][]float64, n)
	}
	if r.query.Logits != NoLogits {
		r.answer.Logits = make([]Array, n)
	}
	if r.query.Final {
		r.answer.States = make([]State, n)
	}
	if r.query.Rules.Conserve() && len(r.query.Wrt) > 0 {
		r.answer.Constants = make([]float64, n)
	}
	r.answer.At, r.answer.Grad = r.arrays(r.query.Taps), r.arrays(r.query.Wrt)
}

func (r *run) arrays(taps []Tap) map[Tap]Array {
	out := make(map[Tap]Array, len(taps))
	for _, t := range taps {
		out[t] = zeros(r.returned(t, len(r.query.Rows)))
	}
	return out
}

// returned is the shape of an activation of so many rows, as it is returned.
func (r *run) returned(t Tap, rows int) []int {
	info, _ := r.model.Tap(t)
	shape := info.Shape(rows, r.length)
	if axis := info.TokenAxis(); axis >= 0 && r.query.Places != nil {
		shape[axis] = r.query.mostPlaces()
	}
	return shape
}

// executor runs a batch on its inputs, and collects what comes out.
type executor func(in *inputs) (compile time.Duration, err error)

// batch runs some rows, in a batch with room for size of them, and puts what comes out where it belongs.
func (r *run) batch(b batch, size int, execute executor) (compile time.Duration, err error) {
	if len(b.rows) > size { // donors need more
		size = program.Bucket(len(b.rows), 8)
	}
	in := newInputs(r, b, size, r.model.paddedLength(r.length))
	defer in.free()
	if err := in.fill(); err != nil {
		return 0, err
	}
	return execute(in)
}

// paddedLength returns the length to which texts of n tokens are padded.
func (m *Model) paddedLength(n int) int {
	T := program.Bucket(n, 8)
	if c := m.config.Context; c > 0 {
		T = min(T, c)
	}
	return T
}

// whole runs batches as one program.
func (r *run) whole() executor {
	return r.one(net.Whole{
		Opening: r.opening, Prediction: r.prediction, StateIn: r.query.States != nil, StateOut: r.query.Final,
	})
}

// one runs batches as a program.
func (r *run) one(of net.Stage) executor {
	s := r.model.stage(of)
	return func(in *inputs) (time.Duration, error) {
		outs, compile, err := r.model.call(s, "", in.all())
		if err != nil {
			return compile, err
		}
		defer outs.free()
		return compile, r.collect(in.batch, "", outs)
	}
}

// collect copies what a stage returned to the answer; part is what the names of its activations begin with. Rows of
// the batch past b.own only gave their activations.
func (r *run) collect(b batch, part string, outs named) error {
	own := b.rows[:b.own]
	for name, x := range outs {
		var into func(a Array)
		tap, kind, _ := strings.Cut(name, " ")
		switch {
		case name == net.Objective:
			into = func(a Array) { r.takeValues(own, a) }
		case name == net.Terms:
			into = func(a Array) { r.takeTerms(own, a) }
		case name == net.Logits:
			into = func(a Array) { r.takeLogits(own, a) }
		case name == net.ByOne:
			into = func(a Array) { r.takeConstants(own, a) }
		case name == net.Hidden:
			into = func(a Array) { r.takeState(own, a, func(s *State) *Array { return &s.Hidden }) }
		case name == net.Cell:
			into = func(a Array) { r.takeState(own, a, func(s *State) *Array { return &s.Cell }) }
		case kind == "at":
			into = func(a Array) { r.takeActivation(own, a, r.answer.At[part+tap]) }
		case kind == "by":
			into = func(a Array) { r.takeActivation(own, a, r.answer.Grad[part+tap]) }
		default:
			continue // it goes to another stage
		}
		if err := r.read(x, into); err != nil {
			return err
		}
	}
	return nil
}

// read copies an array from the engine.
func (r *run) read(x *tensors.Tensor, into func(a Array)) error {
	data, dims, err := program.Copy(r.model.engine, x)
	if err == nil {
		into(Array{Dims: dims, Data: data})
	}
	return err
}

func (r *run) takeValues(own []int, a Array) {
	for i, row := range own {
		r.answer.Values[row] += float64(a.Data[i])
	}
}

func (r *run) takeTerms(own []int, a Array) {
	for i, row := range own {
		for _, v := range a.Index(i).Data[:len(r.query.objective(row).Terms)] {
			r.answer.Each[row] = append(r.answer.Each[row], float64(v))
		}
	}
}

func (r *run) takeConstants(own []int, a Array) {
	for i, row := range own {
		r.answer.Constants[row] += float64(a.Data[i])
	}
}

func (r *run) takeLogits(own []int, a Array) {
	for i, row := range own {
		n := 1
		if r.query.Logits == AllLogits {
			n = len(r.query.Rows[row])
		}
		x := a.Index(i)
		r.answer.Logits[row] = Array{Dims: []int{n, x.Dims[1]}, Data: slices.Clone(x.Data[:n*x.Dims[1]])}
	}
}

// takeState copies one half of the states, from [L, B, H].
func (r *run) takeState(own []int, a Array, half func(s *State) *Array) {
	for i, row := range own {
		to := half(&r.answer.States[row])
		to.Dims = []int{a.Dims[0], a.Dims[2]}
		for l := range a.Dims[0] {
			to.Data = append(to.Data, a.Index(l, i).Data...)
		}
	}
}

func (r *run) takeActivation(own []int, a, to Array) {
	r.answer.Cost.Copied += 4 * int64(len(a.Data))
	for i, row := range own {
		copyInto(to.Index(row), a.Index(i))
	}
}

// copyInto fills to with the part of from at the same indices: what is longer in from is padding.
func copyInto(to, from Array) {
	if slices.Equal(to.Dims, from.Dims) || len(to.Dims) == 1 {
		copy(to.Data, from.Data)
		return
	}
	for i := range to.Dims[0] {
		copyInto(to.Index(i), from.Index(i))
	}
}

func sortedSet(names []Tap) []Tap { return slices.Compact(slices.Sorted(slices.Values(names))) }
