package lm

import (
	"github.com/gomlx/gomlx/core/tensors"

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

// index notes where each row stands in the batch.
func (in *inputs) index() {
	in.place = make(map[int]int, len(in.rows))
	for i, row := range in.rows {
		in.place[row] = i
	}
}

// edits puts, for every slot of the program: the weights of the sources, and the sources.
func (in *inputs) edits() error {
	covered := map[Tap][]bool{}
	in.index()
	for _, r := range in.replacements {
		x, err := in.replace(r, covered)
		if err != nil {
			return err
		}
		if err := put(in, x.weight.Data, x.weight.Dims...); err != nil {
			return err
		}
		if r.slot.Row {
			donors := make([]int32, in.B)
			for i, d := range x.donors {
				donors[i] = int32(d)
			}
			err = put(in, donors, in.B)
		} else {
			err = put(in, x.values.Data, x.values.Dims...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
