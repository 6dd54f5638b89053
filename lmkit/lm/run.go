package lm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// Run answers a query. Between batches it heeds ctx; a compilation or a batch that has begun ends first. Answers for
// the same rows are the same to the bit whichever rows stand beside them in a batch of the same shape, and to about
// 1e-6 relative across shapes.
func (m *Model) Run(ctx context.Context, q Query) (*Answer, error) {
	if err := m.validate(q); err != nil {
		return nil, err
	}
	q.Taps, q.Wrt = sortedSet(q.Taps), sortedSet(q.Wrt)
	for _, t := range q.Wrt { // what is differentiated by is returned too
		if !slices.Contains(q.Taps, t) {
			q.Taps = append(q.Taps, t)
		}
	}
	slices.Sort(q.Taps)
	r := &run{Model: m, Query: q, length: longest(q.Rows)}
	var err error
	if r.replacements, err = m.replacements(q.Edits); err != nil {
		return nil, err
	}
	r.key = net.Program{
		Taps: q.Taps, Wrt: q.Wrt, Edits: slots(r.replacements),
		StateIn: q.States != nil, StateOut: q.Final, Rules: q.Rules, Loops: m.engine.Loops(),
	}
	if len(q.Of) > 0 {
		r.key.Unit = string(q.Of[0].Unit)
	}
	r.key.Last = r.onlyLast()
	r.key.Logits = []string{NoLogits: "", LastLogits: "last", AllLogits: "all"}[q.Logits]
	if err := r.fits(); err != nil {
		return nil, err
	}
	done, err := m.use()
	if err != nil {
		return nil, err
	}
	defer done()
	return r.all(ctx)
}

// buildFunc builds the graph of a program from its inputs.
type buildFunc = func(in []*graph.Node) []*graph.Node

// run is a query on its way.
type run struct {
	*Model
	Query
	replacements []replacement // the edits
	key          net.Program
	length       int // of the longest row
	answer       Answer
}

// onlyLast reports whether a Transformer's last layer need be computed for the last token of each row alone.
func (r *run) onlyLast() bool {
	if !r.config.Attends() || r.Logits == AllLogits {
		return false
	}
	for i, row := range r.Rows {
		for _, t := range r.objective(i).Terms {
			if t.at(row) != len(row)-1 {
				return false
			}
		}
	}
	after := func(t Tap) bool {
		return strings.HasPrefix(t, fmt.Sprintf("block.%d.", r.config.Layers-1)) || strings.HasPrefix(t, "final.") || t == "head.in"
	}
	return !slices.ContainsFunc(r.Query.Taps, after) && !slices.ContainsFunc(r.Edits, func(e Edit) bool { return after(e.Tap) })
}

func (r *run) all(ctx context.Context) (*Answer, error) {
	n := len(r.Rows)
	if r.Of != nil {
		r.answer.Values = make([]float64, n)
	}
	if r.Logits != NoLogits {
		r.answer.Logits = make([]Array, n)
	}
	if r.Final {
		r.answer.States = make([]State, n)
	}
	if r.Rules.Conserve() && len(r.Wrt) > 0 {
		r.answer.Constants = make([]float64, n)
	}
	r.answer.At, r.answer.Grad = r.arrays(r.Query.Taps), r.arrays(r.Wrt)

	if s := r.share(); s != nil {
		if err := s.all(ctx); err != nil {
			return nil, err
		}
		return &r.answer, nil
	}
	key := r.key.Key()
	build := func(in []*graph.Node) []*graph.Node { return net.Build(r.config, r.key, in) }
	size := r.batchRows()
	for _, b := range plan(n, size, r.unit(), r.Edits) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		start := time.Now()
		compile, err := r.batch(key, build, b, size)
		if err != nil {
			return nil, err
		}
		r.answer.Cost.Add(Cost{ForwardRows: len(b.rows), CompileSeconds: compile.Seconds(), Seconds: (time.Since(start) - compile).Seconds()})
		if len(r.Wrt) > 0 {
			r.answer.Cost.BackwardRows += len(b.rows)
		}
	}
	return &r.answer, nil
}

func (r *run) arrays(taps []Tap) map[Tap]Array {
	out := make(map[Tap]Array, len(taps))
	for _, t := range taps {
		info, _ := r.Tap(t)
		d := info.Shape(len(r.Rows), r.length)
		out[t] = Array{Dims: d, Data: make([]float32, product(d))}
	}
	return out
}

// batch runs some rows, in a batch with room for size of them, and puts what comes out where it belongs.
func (r *run) batch(key string, build buildFunc, b batch, size int) (compile time.Duration, err error) {
	T := program.Bucket(r.length, 8)
	if c := r.config.Context; c > 0 {
		T = min(T, c)
	}
	if len(b.rows) > size { // donors need more
		size = program.Bucket(len(b.rows), 8)
	}
	in := &inputs{run: r, batch: b, B: size, T: T}
	defer func() { program.Free(in.made...) }()
	if err := in.all(); err != nil {
		return 0, err
	}
	return r.execute(key, build, in)
}

// execute runs a batch, and collects what comes out.
func (r *run) execute(key string, build buildFunc, in *inputs) (compile time.Duration, err error) {
	outs, compile, err := r.programs.Run(key, build, append(slices.Clone(r.params), in.made...))
	if err != nil {
		return compile, err
	}
	defer func() { program.Free(outs...) }()
	next := func() (Array, error) {
		data, dims, err := program.Copy(r.engine, outs[0])
		program.Free(outs[0])
		outs = outs[1:]
		return Array{Dims: dims, Data: data}, err
	}
	return compile, r.collect(in.batch, next)
}

// collect takes the outputs in the program's order. Rows of the batch past b.own only gave their activations.
func (r *run) collect(b batch, next func() (Array, error)) error {
	own := b.rows[:b.own]
	if r.key.Unit != "" {
		a, err := next()
		if err != nil {
			return err
		}
		for i, row := range own {
			r.answer.Values[row] = float64(a.Data[i])
		}
	}
	if r.key.Logits != "" {
		a, err := next()
		if err != nil {
			return err
		}
		for i, row := range own {
			n := 1
			if r.Logits == AllLogits {
				n = len(r.Rows[row])
			}
			x := a.Index(i)
			r.answer.Logits[row] = Array{Dims: []int{n, x.Dims[1]}, Data: slices.Clone(x.Data[:n*x.Dims[1]])}
		}
	}
	if r.Final {
		if err := r.collectStates(own, next); err != nil {
			return err
		}
	}
	for _, out := range []struct {
		taps []Tap
		to   map[Tap]Array
	}{{r.Query.Taps, r.answer.At}, {r.Wrt, r.answer.Grad}} {
		for _, t := range out.taps {
			a, err := next()
			if err != nil {
				return err
			}
			to := out.to[t]
			for i, row := range own {
				copyInto(to.Index(row), a.Index(i))
			}
		}
	}
	if r.answer.Constants == nil {
		return nil
	}
	a, err := next()
	if err != nil {
		return err
	}
	for i, row := range own {
		r.answer.Constants[row] = float64(a.Data[i])
	}
	return nil
}

func (r *run) collectStates(own []int, next func() (Array, error)) error {
	h, err := next() // [L, B, H]
	if err != nil {
		return err
	}
	c, err := next()
	if err != nil {
		return err
	}
	of := func(a Array, i int) Array {
		out := Array{Dims: []int{a.Dims[0], a.Dims[2]}}
		for l := range a.Dims[0] {
			out.Data = append(out.Data, a.Index(l, i).Data...)
		}
		return out
	}
	for i, row := range own {
		r.answer.States[row] = State{Hidden: of(h, i), Cell: of(c, i)}
	}
	return nil
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
