package lm

import (
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// inputs are the arguments of one batch: B rows and T tokens with padding.
type inputs struct {
	*run
	batch
	B, T  int
	made  []*tensors.Tensor
	place map[int]int // of a row in the batch
}

func (in *inputs) all() error {
	ids, length := make([]int32, in.B*in.T), make([]int32, in.B)
	for i := range length {
		length[i] = 1
	}
	for i, row := range in.rows {
		length[i] = int32(len(in.Rows[row]))
		for t, id := range in.Rows[row] {
			ids[i*in.T+t] = int32(id)
		}
	}
	if err := put(in, ids, in.B, in.T); err != nil {
		return err
	}
	if err := put(in, length, in.B); err != nil {
		return err
	}
	if in.key.Unit != "" {
		if err := in.objectives(true); err != nil {
			return err
		}
	}
	if in.States != nil {
		if err := in.states(); err != nil {
			return err
		}
	}
	return in.edits()
}

func put[N program.Number](in *inputs, data []N, dims ...int) error {
	t, err := program.Put(in.engine, data, dims...)
	if err != nil {
		return err
	}
	in.made = append(in.made, t)
	return nil
}

// objectives makes the terms: positions (unless they are known), tokens and weights.
func (in *inputs) objectives(positions bool) error {
	K := 1
	for i := range in.Rows {
		K = max(K, len(in.objective(i).Terms))
	}
	K = program.Bucket(K, 1)
	pos, id, coef := make([]int32, in.B*K), make([]int32, in.B*K), make([]float32, in.B*K)
	for i, row := range in.rows[:in.own] {
		for k, t := range in.objective(row).Terms {
			pos[i*K+k], id[i*K+k], coef[i*K+k] = int32(t.at(in.Rows[row])), int32(t.ID), float32(t.Weight)
		}
	}
	if positions {
		if err := put(in, pos, in.B, K); err != nil {
			return err
		}
	}
	if err := put(in, id, in.B, K); err != nil {
		return err
	}
	return put(in, coef, in.B, K)
}

func (in *inputs) states() error {
	L, H := in.config.Layers, in.config.Hidden
	for _, of := range []func(State) Array{func(s State) Array { return s.Hidden }, func(s State) Array { return s.Cell }} {
		data := make([]float32, L*in.B*H)
		for i, row := range in.rows {
			for l := range L {
				copy(data[(l*in.B+i)*H:], of(in.States[row]).Data[l*H:(l+1)*H])
			}
		}
		if err := put(in, data, L, in.B, H); err != nil {
			return err
		}
	}
	return nil
}

// edits makes, for every slot of the program: the weights of the sources, and the sources.
func (in *inputs) edits() error {
	covered := map[Tap][]bool{}
	in.place = make(map[int]int, len(in.rows))
	for i, row := range in.rows {
		in.place[row] = i
	}
	for _, s := range in.key.Edits {
		info, err := in.config.Tap(s.Tap)
		if err != nil {
			return err
		}
		x := slotInputs{inputs: in, info: info, slot: s}
		x.weightDims = in.sizes(info, in.B, in.T)
		for k, c := range []byte(info.Axes) {
			if c == 'S' || c == '.' {
				x.weightDims[k] = 1
			}
		}
		x.weight = make([]float32, product(x.weightDims))
		if covered[s.Tap] == nil {
			covered[s.Tap] = make([]bool, len(x.weight))
		}
		if err := x.fill(covered[s.Tap]); err != nil {
			return err
		}
	}
	return nil
}

// slotInputs are the arguments of one kind of replacement at one tap.
type slotInputs struct {
	*inputs
	info       TapInfo
	slot       net.Slot
	weightDims []int
	weight     []float32
}

func (x *slotInputs) fill(covered []bool) error {
	donors := make([]int32, x.B)
	for i := range donors {
		donors[i] = int32(i)
	}
	shared, full := x.shared()
	for _, e := range x.Edits {
		if slotOf(e) != x.slot {
			continue
		}
		var double bool
		x.each(e, func(i int) {
			double = double || covered[i]
			covered[i] = true
			x.weight[i] = float32(1 - e.Keep)
		})
		if double {
			return fmt.Errorf("two edits of %s replace the same part of it", e.Tap)
		}
		if x.slot.Row {
			for _, i := range x.batchRows(e) {
				donors[i] = int32(x.place[e.With.row-1])
			}
		}
		if full != nil {
			x.expand(e, full)
		}
	}
	if err := put(x.inputs, x.weight, x.weightDims...); err != nil {
		return err
	}
	switch {
	case x.slot.Row:
		return put(x.inputs, donors, x.B)
	case full != nil:
		return put(x.inputs, full.Data, full.Dims...)
	}
	a := x.pad(*shared)
	return put(x.inputs, a.Data, a.Dims...)
}

// each visits the indices of weight that an edit covers.
func (x *slotInputs) each(e Edit, visit func(i int)) {
	var walk func(axis, at int)
	walk = func(axis, at int) {
		if axis == len(x.weightDims) {
			visit(at)
			return
		}
		at *= x.weightDims[axis]
		of := []int{0}
		switch x.info.Axes[axis] {
		case 'B':
			of = x.batchRows(e)
		case 'T':
			of = orAll(e.Positions, x.length)
		case 'H':
			of = orAll(e.Heads, x.weightDims[axis])
		}
		for _, i := range of {
			walk(axis+1, at+i)
		}
	}
	walk(0, 0)
}

// batchRows is where the rows of an edit stand in the batch.
func (x *slotInputs) batchRows(e Edit) []int {
	if e.Rows == nil {
		return orAll(nil, len(x.rows))
	}
	var at []int
	for _, row := range e.Rows {
		if i, ok := x.place[row]; ok {
			at = append(at, i)
		}
	}
	return at
}

// orAll is the given indices, or all n of them.
func orAll(given []int, n int) []int {
	if given != nil {
		return given
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// shared is the source's values when all edits of the slot have the same ones; else a full array to expand them into.
func (x *slotInputs) shared() (one *Array, full *Array) {
	if x.slot.Row {
		return nil, nil
	}
	zero := &Array{Dims: []int{1}, Data: []float32{0}}
	for _, e := range x.Edits {
		if slotOf(e) != x.slot {
			continue
		}
		v := e.With.values
		if v == nil {
			v = zero
		}
		if one == nil {
			one = v
		}
		if one != v && &one.Data[0] != &v.Data[0] {
			d := x.sizes(x.info, x.B, x.T)
			return nil, &Array{Dims: d, Data: make([]float32, product(d))}
		}
	}
	return one, nil
}

// pad gives shared values the rows and the length of the batch, where they have such axes.
func (x *slotInputs) pad(v Array) Array {
	dims, _ := alignDims(v.Dims, len(x.info.Axes))
	out := slices.Clone(dims)
	for k, c := range []byte(x.info.Axes) {
		if dims[k] == 1 {
			continue
		}
		switch c {
		case 'B':
			out[k] = x.B
		case 'T', 'S':
			out[k] = x.T
		}
	}
	a := Array{Dims: out, Data: make([]float32, product(out))}
	x.spread(Array{Dims: dims, Data: v.Data}, a, 0)
	return a
}

// expand writes an edit's values over the rows that it covers in the full array.
func (x *slotInputs) expand(e Edit, full *Array) {
	v := e.With.values
	if v == nil {
		return // zeros
	}
	dims, _ := alignDims(v.Dims, len(x.info.Axes))
	whole := Array{Dims: full.Dims, Data: make([]float32, len(full.Data))}
	x.spread(Array{Dims: dims, Data: v.Data}, whole, 0)
	inner := product(full.Dims) / len(x.weight)
	x.each(e, func(i int) {
		copy(full.Data[i*inner:(i+1)*inner], whole.Data[i*inner:(i+1)*inner])
	})
}

// spread copies from into to, which is larger: along the axis of rows by the batch's rows, along those of tokens
// padded with zeros, and repeated along axes of 1.
func (x *slotInputs) spread(from, to Array, axis int) {
	if len(to.Dims) == 0 {
		to.Data[0] = from.Data[0]
		return
	}
	for i := range to.Dims[0] {
		j := i
		switch {
		case from.Dims[0] == 1:
			j = 0
		case x.info.Axes[axis] == 'B':
			if i >= len(x.rows) {
				continue
			}
			j = x.rows[i]
		}
		if j < from.Dims[0] {
			x.spread(from.Index(j), to.Index(i), axis+1)
		}
	}
}

// slotOf is the kind of an edit: of which tap, and by what.
func slotOf(e Edit) net.Slot { return net.Slot{Tap: e.Tap, Row: e.With.row > 0} }

func slotsOf(edits []Edit) []net.Slot {
	var slots []net.Slot
	for _, e := range edits {
		if s := slotOf(e); !slices.Contains(slots, s) {
			slots = append(slots, s)
		}
	}
	slices.SortFunc(slots, func(a, b net.Slot) int {
		if a.Tap != b.Tap {
			if a.Tap < b.Tap {
				return -1
			}
			return 1
		}
		if a.Row == b.Row {
			return 0
		}
		if a.Row {
			return 1
		}
		return -1
	})
	return slots
}
