package lm

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/token"
)

// Learning returns the loss of a row of tokens, in nats, the sum over its targets, and its gradient by every weight,
// named and shaped as Config().Params() says: a step of plain gradient descent takes so much, times the learning rate,
// from each. targets has, for each token of the row, the one that is to follow it; where it is negative, none is
// scored. Dropout is off.
func (m *Model) Learning(ctx context.Context, row, targets []token.ID) (float64, map[string]Array, error) {
	if err := m.CheckRow(row); err != nil {
		return 0, nil, err
	}
	scored := 0
	for _, id := range targets {
		if int(id) >= m.config.Vocab {
			return 0, nil, fmt.Errorf("the target #%d is not in the vocabulary of %d", id, m.config.Vocab)
		}
		if id >= 0 {
			scored++
		}
	}
	if len(targets) != len(row) || scored == 0 {
		return 0, nil, fmt.Errorf("%d targets, %d of them scored, for %d tokens: give one each, and score one at least",
			len(targets), scored, len(row))
	}
	if err := Fits(m.config, 3); err != nil {
		return 0, nil, err
	}
	done, err := m.use()
	if err != nil {
		return 0, nil, err
	}
	defer done()
	var mean float64
	var by map[string]Array
	err = m.heed(ctx, func() (err error) {
		mean, by, err = m.learning(row, targets)
		return err
	}, nil)
	if err != nil {
		return 0, nil, err
	}
	for _, g := range by {
		for i := range g.Data {
			g.Data[i] *= float32(scored)
		}
	}
	return mean * float64(scored), by, nil
}

// learning returns the mean of the losses, and its gradient.
func (m *Model) learning(row, targets []token.ID) (mean float64, by map[string]Array, err error) {
	T := program.Bucket(len(row), 8)
	if !m.config.Recurrent() {
		T = min(T, m.config.Context)
	}
	in, ids, after := named{}, make([]int32, T), make([]int32, T)
	defer func() { in.free() }()
	for t := range T {
		after[t] = -1
		if t < len(row) {
			ids[t], after[t] = int32(row[t]), int32(targets[t])
		}
	}
	if err := put(m, in, net.IDs, ids, 1, T); err != nil {
		return 0, nil, err
	}
	if err := put(m, in, net.Targets, after, 1, T); err != nil {
		return 0, nil, err
	}
	outs, _, err := m.call(m.stage(net.Learning{}), "", in)
	if err != nil {
		return 0, nil, err
	}
	defer outs.free()
	value, _, err := program.Copy(m.engine, outs[net.Objective])
	if err != nil {
		return 0, nil, err
	}
	by = map[string]Array{}
	for _, p := range m.config.Params() {
		data, dims, err := program.Copy(m.engine, outs[net.By(p.Name)])
		if err != nil {
			return 0, nil, err
		}
		by[p.Name] = Array{Dims: dims, Data: data}
	}
	return float64(value[0]), by, nil
}
