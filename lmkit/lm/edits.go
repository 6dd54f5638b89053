package lm

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/net"
)

// replacement is all edits of a query that share a slot of the program: they are at one tap, put sources of one kind
// into it, and do it in one way. Whatever their number, they are two inputs of the program, a weight and a source.
type replacement struct {
	slot  net.Slot
	info  TapInfo
	edits []Edit
	same  *Array        // the values or the direction of all these edits where they are one array; else nil
	every []int         // the edits of all rows, as indices of edits
	of    map[int][]int // of a row: the edits of some rows that it is among
}

// touching returns the edits of any of some rows, in their order. It looks at these rows alone, so that the batches of
// a query together look at each edit once, however many there are.
func (r *replacement) touching(rows []int) []Edit {
	at := slices.Clone(r.every)
	for _, row := range rows {
		at = append(at, r.of[row]...)
	}
	slices.Sort(at)
	var edits []Edit
	for _, k := range slices.Compact(at) {
		edits = append(edits, r.edits[k])
	}
	return edits
}

// replacements sorts the edits of a query by their slots. It returns the slots in a fixed order, as two queries that
// differ only in the order of their edits run the same program.
func (m *Model) replacements(edits []Edit) ([]replacement, error) {
	var all []replacement
	at := map[net.Slot]int{}
	for _, e := range edits {
		s := e.slot()
		k, ok := at[s]
		if !ok {
			info, err := m.Tap(e.Tap)
			if err != nil {
				return nil, err
			}
			k, at[s] = len(all), len(all)
			all = append(all, replacement{slot: s, info: info, of: map[int][]int{}})
		}
		r := &all[k]
		if e.Rows == nil {
			r.every = append(r.every, len(r.edits))
		}
		for _, row := range e.Rows {
			r.of[row] = append(r.of[row], len(r.edits))
		}
		r.edits = append(r.edits, e)
	}
	for k, r := range all {
		all[k].same = sameValues(r.edits)
		if r.slot.From == net.FromAlong && all[k].same == nil {
			return nil, fmt.Errorf("edits of %s are along several directions: give each its own query", r.slot.Tap)
		}
	}
	slices.SortFunc(all, func(a, b replacement) int {
		return cmp.Or(cmp.Compare(a.slot.Tap, b.slot.Tap), cmp.Compare(order(a.slot.Add), order(b.slot.Add)),
			cmp.Compare(a.slot.From, b.slot.From))
	})
	return all, nil
}

// slot returns the slot of the program that the edit belongs to.
func (e Edit) slot() net.Slot {
	s := net.Slot{Tap: e.Tap, Add: e.Add}
	switch {
	case e.With.row > 0:
		s.From = net.FromRow
	case e.With.along != nil:
		s.From = net.FromAlong
	}
	return s
}

// weight returns what the source is multiplied by.
func (e Edit) weight() float32 {
	if e.Add {
		return float32(e.Times)
	}
	return float32(1 - e.Keep)
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

// given returns the values, or the direction, of a source that is not a row.
func (s Source) given() *Array {
	switch {
	case s.along != nil:
		return s.along
	case s.values == nil:
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

// replaced is what a replacement comes to in one batch: activation = (1-weight)*activation + weight*source, or the
// activation + weight*source where that is added.
type replaced struct {
	weight Array // 1-keep, or times, where an edit covers the activation, else 0: [B, T, ...], 1 along the last axis
	donors []int // [B], the places in the batch to copy from, where the source is rows
	values Array // the source elsewhere: of the activation's shape, or 1 along axes where it is the same; or a direction
}

// none stands for the donor of a row before an edit names one.
const none = -1

// replace computes the inputs of one replacement.
// covered says, for each tap and way, what earlier replacements have replaced already, or added to.
func (in *inputs) replace(r replacement, covered map[net.Slot][]bool) (replaced, error) {
	dims := r.info.Shape(in.B, in.T)
	last := len(dims) - 1
	out := replaced{weight: zeros(append(slices.Clone(dims[:last]), 1))}
	way := net.Slot{Tap: r.slot.Tap, Add: r.slot.Add}
	if covered[way] == nil {
		covered[way] = make([]bool, len(out.weight.Data))
	}
	switch {
	case r.slot.From == net.FromRow:
		out.donors = slices.Repeat([]int{none}, in.B)
	case r.slot.From == net.FromAlong:
		out.values = unitVector(*r.same)
	case r.same != nil:
		out.values = in.broadcast(r.info.Axes, *r.same)
	default:
		out.values = zeros(dims)
	}
	for _, e := range r.touching(in.batch.rows) {
		places := in.places(e)
		double := false
		in.covers(r.info.Axes, out.weight.Dims, e, places, func(at []int, i int) {
			double = double || covered[way][i]
			covered[way][i] = true
			out.weight.Data[i] = e.weight()
			if r.slot.From == net.FromValues && r.same == nil {
				in.copyBlock(r.info.Axes, out.values, at, i, *e.With.given())
			}
		})
		if double {
			return replaced{}, fmt.Errorf("two edits of %s replace the same part of it", e.Tap)
		}
		if r.slot.From == net.FromRow {
			for _, i := range places {
				donor := in.place[e.With.row-1]
				if out.donors[i] != none && out.donors[i] != donor {
					return replaced{}, fmt.Errorf("row %d copies parts of %s from two rows, and can copy from one: give the "+
						"others as values", in.batch.rows[i], e.Tap)
				}
				out.donors[i] = donor
			}
		}
	}
	for i, donor := range out.donors {
		if donor == none {
			out.donors[i] = i
		}
	}
	return out, nil
}

// unitVector returns v at length 1.
func unitVector(v Array) Array {
	sum := 0.0
	for _, x := range v.Data {
		sum += float64(x) * float64(x)
	}
	out := Array{Dims: v.Dims, Data: make([]float32, len(v.Data))}
	for i, x := range v.Data {
		out.Data[i] = float32(float64(x) / math.Sqrt(sum))
	}
	return out
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
