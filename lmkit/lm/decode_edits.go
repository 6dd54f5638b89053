package lm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// lasting checks the edits of a decoder of so many rows, and sorts them by their slots.
func (m *Model) lasting(edits []Edit, rows int) ([]replacement, error) {
	for i, e := range edits {
		anywhere := e
		anywhere.Positions = nil // they count on beyond the text
		err := m.validateEdit(anywhere, rows, 1)
		info, _ := m.Tap(e.Tap)
		part, _ := net.PartOf(e.Tap)
		switch {
		case err != nil:
		case slices.ContainsFunc(e.Positions, func(t int) bool { return t < 0 }):
			err = errors.New("while a text is made its end moves: count positions from its beginning")
		case e.With.row > 0:
			err = errors.New("while a text is made nothing comes from another row: give values")
		case !strings.HasPrefix(info.Axes, "BT") || m.config.Attends() && part == net.EndPart:
			err = errors.New("it cannot be replaced while a text is made: choose an activation inside a layer that each " +
				"token has")
		case e.With.values != nil && slices.ContainsFunc(leading(e.With.values.Dims, len(info.Axes)), func(n int) bool {
			return n != 1
		}):
			err = fmt.Errorf("values of shape %v are not the same for all rows and tokens", e.With.values.Dims)
		}
		if err != nil {
			return nil, fmt.Errorf("edit %d, of %s: %w", i, e.Tap, err)
		}
	}
	all, err := m.replacements(edits)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.same == nil {
			return nil, fmt.Errorf("edits of %s have several sources: while a text is made it has one", r.slot.Tap)
		}
		for i, e := range r.edits {
			if slices.ContainsFunc(r.edits[:i], e.meets) {
				return nil, fmt.Errorf("two edits of %s replace the same part of it", e.Tap)
			}
		}
	}
	return all, nil
}

// meets reports whether two edits of a tap have a part of it in common.
func (e Edit) meets(other Edit) bool {
	meet := func(a, b []int) bool {
		return a == nil || b == nil || slices.ContainsFunc(a, func(i int) bool { return slices.Contains(b, i) })
	}
	return meet(e.Rows, other.Rows) && meet(e.Positions, other.Positions) && meet(e.Heads, other.Heads)
}

// leading returns the first two of dims, rows and tokens, of an activation with so many axes.
func leading(dims []int, rank int) []int {
	all, _ := alignDims(dims, rank)
	return all[:2]
}

// part is the inputs of the part of the model that has a slot, and the slot's name there.
func (d *Decoder) part(s net.Slot) (named, net.Slot) {
	part := ""
	if d.step == nil {
		part, s.Tap = net.PartOf(s.Tap)
	}
	if d.edits[part] == nil {
		d.edits[part] = named{}
	}
	return d.edits[part], s
}

// putSources puts the sources of the edits, which are the same in every step.
func (d *Decoder) putSources() error {
	for _, r := range d.lasting {
		in, slot := d.part(r.slot)
		source := *r.same
		if slot.From == net.FromAlong {
			source = unitVector(source)
		} else {
			source.Dims, _ = alignDims(source.Dims, len(r.info.Axes))
		}
		if err := put(d.model, in, slot.Source(), source.Data, source.Dims...); err != nil {
			return err
		}
	}
	return nil
}

// putWeights puts the weights of the edits for the next T tokens of each row [B, T, ...]: 0 where none holds. Those
// that hold at all positions are put once [B, 1, ...].
func (d *Decoder) putWeights(T int) error {
	B := program.Bucket(d.rows, 1)
	for k, r := range d.lasting {
		moves := slices.ContainsFunc(r.edits, func(e Edit) bool { return e.Positions != nil })
		if !moves && d.weights[k] != nil {
			continue
		}
		dims := r.info.Shape(B, 1)
		if moves {
			dims = r.info.Shape(B, T)
		}
		weight := zeros(append(slices.Clone(dims[:len(dims)-1]), 1))
		for _, e := range r.edits {
			for _, row := range orAll(e.Rows, d.rows) {
				each := [][]int{{row}, orAll(nil, dims[1])}
				if e.Positions != nil {
					each[1] = nil
					for _, t := range e.Positions {
						if t -= d.seen[row]; t >= 0 && t < T {
							each[1] = append(each[1], t)
						}
					}
				}
				if len(dims) == 4 {
					each = append(each, orAll(e.Heads, dims[2]))
				}
				eachIndex(weight.Dims, each, func(_ []int, i int) { weight.Data[i] = e.weight() })
			}
		}
		if slices.Equal(weight.Data, d.weights[k]) {
			continue
		}
		in, slot := d.part(r.slot)
		if err := put(d.model, in, slot.Weight(), weight.Data, weight.Dims...); err != nil {
			return err
		}
		d.weights[k] = weight.Data
	}
	return nil
}
