package lm

import (
	"cmp"
	"fmt"
	"slices"

	"lmkit.internal/lmkit/internal/net"
)

// replacement is all edits of a query that share a slot of the program: they are at one tap, and replace it either by
// given values or by other rows. Whatever their number, they are two inputs of the program, a weight and a source.
type replacement struct {
	slot  net.Slot
	info  TapInfo
	edits []Edit
	same  *Array // the values of all these edits where they are one array; else nil
}

// replacements sorts the edits of a query by their slots. It returns the slots in a fixed order, as two queries that
// differ only in the order of their edits run the same program.
func (m *Model) replacements(edits []Edit) ([]replacement, error) {
	var all []replacement
	at := map[net.Slot]int{}
	for _, e := range edits {
		s := net.Slot{Tap: e.Tap, Row: e.With.row > 0}
		k, ok := at[s]
		if !ok {
			info, err := m.Tap(e.Tap)
			if err != nil {
				return nil, err
			}
			k, at[s] = len(all), len(all)
			all = append(all, replacement{slot: s, info: info})
		}
		all[k].edits = append(all[k].edits, e)
	}
	for k := range all {
		all[k].same = sameValues(all[k].edits)
	}
	slices.SortFunc(all, func(a, b replacement) int {
		return cmp.Or(cmp.Compare(a.slot.Tap, b.slot.Tap), cmp.Compare(order(a.slot.Row), order(b.slot.Row)))
	})
	return all, nil
}

// slots returns what a program must be compiled for.
func slots(all []replacement) []net.Slot {
	out := make([]net.Slot, len(all))
	for k, r := range all {
		out[k] = r.slot
	}
	return out
}

// order sorts false before true.
func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

var zero = Array{Dims: []int{1}, Data: []float32{0}}

// given returns the values of a source that is not a row.
func (s Source) given() *Array {
	if s.values == nil {
		return &zero
	}
	return s.values
}

// sameValues returns the one array that all the edits take their values from, or nil if they differ or copy from rows.
func sameValues(edits []Edit) *Array {
	first := edits[0].With
	for _, e := range edits {
		if e.With.row > 0 || &e.With.given().Data[0] != &first.given().Data[0] ||
			!slices.Equal(e.With.given().Dims, first.given().Dims) {
			return nil
		}
	}
	return first.given()
}

// replaced is what a replacement comes to in one batch: activation = (1-weight)*activation + weight*source.
type replaced struct {
	weight Array // 1-keep where an edit covers the activation, else 0: [B, T, ...], 1 along the last axis
	donors []int // [B], the places in the batch to copy from, where the source is rows
	values Array // the source elsewhere: of the activation's shape, or 1 along axes where it is the same
}

// replace computes the inputs of one replacement. Edits that have no row in the batch cost no more than to see that.
// covered says, for each tap, what earlier replacements have replaced already.
func (in *inputs) replace(r replacement, covered map[Tap][]bool) (replaced, error) {
	dims := r.info.Shape(in.B, in.T)
	last := len(dims) - 1
	out := replaced{weight: zeros(append(slices.Clone(dims[:last]), 1))}
	if covered[r.slot.Tap] == nil {
		covered[r.slot.Tap] = make([]bool, len(out.weight.Data))
	}
	switch {
	case r.slot.Row:
		out.donors = orAll(nil, in.B)
	case r.same != nil:
		out.values = in.broadcast(r.info.Axes, *r.same)
	default:
		out.values = zeros(dims)
	}
	for _, e := range r.edits {
		places := in.places(e)
		if len(places) == 0 {
			continue
		}
		double := false
		in.covers(r.info.Axes, out.weight.Dims, e, places, func(at []int, i int) {
			double = double || covered[r.slot.Tap][i]
			covered[r.slot.Tap][i] = true
			out.weight.Data[i] = float32(1 - e.Keep)
			if !r.slot.Row && r.same == nil {
				in.copyBlock(r.info.Axes, out.values, at, i, *e.With.given())
			}
		})
		if double {
			return replaced{}, fmt.Errorf("two edits of %s replace the same part of it", e.Tap)
		}
		if r.slot.Row {
			for _, i := range places {
				out.donors[i] = in.place[e.With.row-1]
			}
		}
	}
	return out, nil
}

// places returns where the rows of an edit stand in the batch.
func (in *inputs) places(e Edit) []int {
	if e.Rows == nil {
		return orAll(nil, len(in.batch.rows))
	}
	var at []int
	for _, row := range e.Rows {
		if i, ok := in.place[row]; ok {
			at = append(at, i)
		}
	}
	return at
}

// covers visits the parts of an activation that an edit replaces in the rows at places: at is the index along all axes
// but the last, i the same index counted through.
func (in *inputs) covers(axes string, dims []int, e Edit, places []int, visit func(at []int, i int)) {
	each := make([][]int, len(dims)-1)
	for k := range each {
		switch axes[k] {
		case 'B':
			each[k] = places
		case 'T':
			each[k] = orAll(e.Positions, in.run.length)
		default:
			each[k] = orAll(e.Heads, dims[k])
		}
	}
	eachIndex(dims, each, visit)
}

// broadcast lays values out for the batch: along the axis of rows by its rows, along those of tokens padded with
// zeros, and 1 along the axes that they are broadcast along.
func (in *inputs) broadcast(axes string, v Array) Array {
	dims, _ := alignDims(v.Dims, len(axes))
	for k, c := range []byte(axes) {
		switch {
		case dims[k] == 1:
		case c == 'B':
			dims[k] = in.B
		case c == 'T' || c == 'S':
			dims[k] = in.T
		}
	}
	out := zeros(dims)
	each := make([][]int, len(dims)-1)
	for k := range each {
		each[k] = orAll(nil, dims[k])
	}
	eachIndex(dims, each, func(at []int, i int) { in.copyBlock(axes, out, at, i, v) })
	return out
}

// copyBlock copies what values have at the index at, along their last axis, to the i-th block of an array in the
// batch's layout. Where values are 1 along an axis, they are the same all along it; padding stays zero.
func (in *inputs) copyBlock(axes string, to Array, at []int, i int, v Array) {
	dims, _ := alignDims(v.Dims, len(axes))
	j := 0
	for k := range at {
		x := at[k]
		switch {
		case dims[k] == 1:
			x = 0
		case axes[k] == 'B' && x < len(in.batch.rows):
			x = in.batch.rows[x]
		case axes[k] == 'B' || x >= dims[k]:
			return // padding
		}
		j = j*dims[k] + x
	}
	from, n := dims[len(dims)-1], to.Dims[len(to.Dims)-1]
	block := to.Data[i*n : (i+1)*n]
	copy(block, v.Data[j*from:(j+1)*from])
	if from == 1 {
		for k := range block {
			block[k] = v.Data[j]
		}
	}
}

// eachIndex visits every combination of the given indices along the axes but the last of an array of shape dims.
func eachIndex(dims []int, each [][]int, visit func(at []int, i int)) {
	at := make([]int, len(each))
	var walk func(axis, i int)
	walk = func(axis, i int) {
		if axis == len(each) {
			visit(at, i)
			return
		}
		for _, x := range each[axis] {
			at[axis] = x
			walk(axis+1, i*dims[axis]+x)
		}
	}
	walk(0, 0)
}

// orAll returns the given indices, or all n of them if there are none given.
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

func zeros(dims []int) Array { return Array{Dims: dims, Data: make([]float32, product(dims))} }
