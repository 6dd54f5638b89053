package lm

import (
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// inputs are what a batch of a query comes to on the engine: B rows of T tokens, with padding.
type inputs struct {
	run   *run
	batch batch
	B, T  int
	place map[int]int      // of a row of the query: where it stands in the batch
	part  map[string]named // the inputs of each part of the model; those of the whole batch, and of one program, are ""
}

func newInputs(r *run, b batch, B, T int) *inputs {
	in := &inputs{run: r, batch: b, B: B, T: T, place: make(map[int]int, len(b.rows)), part: map[string]named{"": {}}}
	for i, row := range b.rows {
		in.place[row] = i
	}
	return in
}

// free gives the engine's memory back.
func (in *inputs) free() {
	for _, n := range in.part {
		n.free()
	}
}

// all returns the inputs that any part may ask for.
func (in *inputs) all() named { return in.part[""] }

// fill computes the inputs of a query.
func (in *inputs) fill() error {
	if err := in.tokens(); err != nil {
		return err
	}
	if in.run.prediction.Unit != "" {
		if err := in.terms(func(_, position int) int { return position }); err != nil {
			return err
		}
	}
	if in.run.query.States != nil {
		if err := in.states(); err != nil {
			return err
		}
	}
	if err := in.edits(); err != nil {
		return err
	}
	if err := in.returned(); err != nil {
		return err
	}
	return in.reads()
}

// tokens puts the rows' tokens, and how many they are.
func (in *inputs) tokens() error {
	ids, length := make([]int32, in.B*in.T), make([]int32, in.B)
	for i := range length {
		length[i] = 1
	}
	for i, row := range in.batch.rows {
		length[i] = int32(len(in.run.query.Rows[row]))
		for t, id := range in.run.query.Rows[row] {
			ids[i*in.T+t] = int32(id)
		}
	}
	if err := put(in.run.model, in.all(), net.IDs, ids, in.B, in.T); err != nil {
		return err
	}
	return put(in.run.model, in.all(), net.Length, length, in.B)
}

// terms puts the positions, tokens and weights of the objectives. place is where the programs have a position of a row.
func (in *inputs) terms(place func(row, position int) int) error {
	q, N := in.run.query, program.Bucket(in.run.terms, 1)
	position, id, share := make([]int32, in.B*N), make([]int32, in.B*N), make([]float32, in.B*N)
	for i, row := range in.batch.rows[:in.batch.own] {
		for k, t := range q.objective(row).Terms {
			position[i*N+k] = int32(place(row, t.at(q.Rows[row])))
			id[i*N+k], share[i*N+k] = int32(t.ID), float32(t.Weight)
		}
	}
	if !in.run.prediction.Last {
		if err := put(in.run.model, in.all(), net.Position, position, in.B, N); err != nil {
			return err
		}
	}
	if err := put(in.run.model, in.all(), net.Token, id, in.B, N); err != nil {
		return err
	}
	return put(in.run.model, in.all(), net.Share, share, in.B, N)
}

// returned puts the positions whose activations are returned.
func (in *inputs) returned() error {
	q := in.run.query
	if !in.run.opening.Some {
		return nil
	}
	P := program.Bucket(q.mostPlaces(), 1)
	at := make([]int32, in.B*P)
	for i, row := range in.batch.rows[:in.batch.own] {
		for k, t := range q.Places[row] {
			if t < 0 {
				t += len(q.Rows[row])
			}
			at[i*P+k] = int32(t)
		}
	}
	return put(in.run.model, in.all(), net.Places, at, in.B, P)
}

// states puts what an LSTM starts from.
func (in *inputs) states() error {
	L, H := in.run.model.config.Layers, in.run.model.config.Hidden
	hidden, cell := make([]float32, L*in.B*H), make([]float32, L*in.B*H)
	for i, row := range in.batch.rows {
		s := in.run.query.States[row]
		for l := range L {
			copy(hidden[(l*in.B+i)*H:], s.Hidden.Data[l*H:(l+1)*H])
			copy(cell[(l*in.B+i)*H:], s.Cell.Data[l*H:(l+1)*H])
		}
	}
	if err := put(in.run.model, in.all(), net.Hidden, hidden, L, in.B, H); err != nil {
		return err
	}
	return put(in.run.model, in.all(), net.Cell, cell, L, in.B, H)
}

// edits puts, for every slot, the weights of the sources, and the sources: by their names in the part of the model
// whose activation is replaced, or in the whole of it.
func (in *inputs) edits() error {
	covered := map[net.Slot][]bool{}
	for _, r := range in.run.replacements {
		x, err := in.replace(r, covered)
		if err != nil {
			return err
		}
		slot, part := r.slot, ""
		part, slot.Tap = in.partOf(slot.Tap)
		if err := put(in.run.model, in.part[part], slot.Weight(), x.weight.Data, x.weight.Dims...); err != nil {
			return err
		}
		if r.slot.From == net.FromRow {
			err = put(in.run.model, in.part[part], slot.Source(), int32s(x.donors), in.B)
		} else {
			err = put(in.run.model, in.part[part], slot.Source(), x.values.Data, x.values.Dims...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reads puts the coefficients of what the objectives read of activations.
func (in *inputs) reads() error {
	q := in.run.query
	for _, tap := range in.run.opening.Linear {
		info, err := in.run.model.Tap(tap)
		if err != nil {
			return err
		}
		all := zeros(info.Shape(in.B, in.T))
		for i, row := range in.batch.rows[:in.batch.own] {
			for _, r := range q.objective(row).Reads {
				if r.Tap != tap {
					continue
				}
				to, n := all.Index(i), len(q.Rows[row])
				for _, t := range orAll(r.Positions, n) {
					if info.Axes[1] == 'T' {
						addRead(to.Index((t+n)%n), r.Coefficients)
					}
				}
				if info.Axes[1] != 'T' { // an LSTM's state has no tokens
					addRead(to, r.Coefficients)
				}
			}
		}
		part, name := in.partOf(tap)
		if err := put(in.run.model, in.part[part], net.Coefficients(name), all.Data, all.Dims...); err != nil {
			return err
		}
	}
	return nil
}

// addRead adds coefficients to those of one position.
func addRead(to, coefficients Array) {
	for i := range to.Data {
		to.Data[i] += coefficients.Data[i%len(coefficients.Data)]
	}
}

// partOf returns the part of the model whose stage has an activation, and its name there: all of it, if it is one
// program.
func (in *inputs) partOf(tap Tap) (part, name string) {
	name = tap
	if in.run.chained {
		part, name = net.PartOf(tap)
	}
	if in.part[part] == nil {
		in.part[part] = named{}
	}
	return part, name
}

func int32s(xs []int) []int32 {
	out := make([]int32, len(xs))
	for i, x := range xs {
		out[i] = int32(x)
	}
	return out
}
