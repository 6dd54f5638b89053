package lm

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// unembedded is how many residuals are unembedded at once, at most: one program serves any number of them.
const unembedded = 64

// Unembed applies the final norm and the output matrix to any residuals [N, D], each by its own statistics, as if they
// stood behind the last layer; of an LSTM, the output matrix to hidden states [N, H]. It calls visit with the logits
// [V] of each in turn, which are visit's until it returns, so that any number of residuals takes little memory.
func (m *Model) Unembed(ctx context.Context, residuals Array, visit func(i int, logits []float32) error) error {
	D := m.ResidualWidth()
	if len(residuals.Dims) != 2 || residuals.Dims[1] != D || len(residuals.Data) != product(residuals.Dims) {
		return fmt.Errorf("residuals of shape %v cannot be unembedded: the model's are [N, %d]", residuals.Dims, D)
	}
	done, err := m.use()
	if err != nil {
		return err
	}
	defer done()
	s, N := m.stage(net.Unembed{}), residuals.Dims[0]
	for first := 0; first < N; first += unembedded {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(unembedded, N-first)
		padded := make([]float32, program.Bucket(min(unembedded, N), 8)*D)
		copy(padded, residuals.Data[first*D:(first+n)*D])
		var logits Array
		err := m.heed(ctx, func() (err error) {
			logits, err = m.unembed(s, padded)
			return err
		}, nil)
		if err != nil {
			return err
		}
		for i := range n {
			if err := visit(first+i, logits.Index(i).Data); err != nil {
				return err
			}
		}
	}
	return nil
}

// ResidualWidth returns how many numbers a residual has: D, or H of an LSTM's hidden states.
func (m *Model) ResidualWidth() int {
	if m.config.Recurrent() {
		return m.config.Hidden
	}
	return m.config.Width
}

func (m *Model) unembed(s *stage, residuals []float32) (Array, error) {
	in := named{}
	defer func() { in.free() }()
	D := m.ResidualWidth()
	if err := put(m, in, net.Stream, residuals, len(residuals)/D, D); err != nil {
		return Array{}, err
	}
	outs, _, err := m.call(s, "", in)
	if err != nil {
		return Array{}, err
	}
	defer outs.free()
	data, dims, err := program.Copy(m.engine, outs[net.Logits])
	return Array{Dims: dims, Data: data}, err
}

// Divergence returns how far what residuals [N, D] would predict, as by Unembed, is from what the residuals toward
// would: KL(toward || residuals) of each, in nats, and the gradient of their sum by the residuals [N, D]. It is meant
// for as many residuals at once as a step of training takes.
func (m *Model) Divergence(ctx context.Context, residuals, toward Array) (each []float32, by Array, err error) {
	D := m.ResidualWidth()
	for _, x := range []Array{residuals, toward} {
		if len(x.Dims) != 2 || x.Dims[0] != residuals.Dims[0] || x.Dims[1] != D || len(x.Data) != product(x.Dims) {
			return nil, Array{}, fmt.Errorf("residuals of shapes %v and %v cannot be compared: the model's are [N, %d]",
				residuals.Dims, toward.Dims, D)
		}
	}
	done, err := m.use()
	if err != nil {
		return nil, Array{}, err
	}
	defer done()
	N := residuals.Dims[0]
	B := program.Bucket(N, 8)
	err = m.heed(ctx, func() error {
		in := named{}
		defer func() { in.free() }()
		for name, x := range map[string]Array{net.Stream: residuals, net.Toward: toward} {
			padded := make([]float32, B*D)
			copy(padded, x.Data)
			if err := put(m, in, name, padded, B, D); err != nil {
				return err
			}
		}
		outs, _, err := m.call(m.stage(net.Divergence{}), "", in)
		if err != nil {
			return err
		}
		defer outs.free()
		if each, _, err = program.Copy(m.engine, outs[net.Objective]); err != nil {
			return err
		}
		data, _, err := program.Copy(m.engine, outs[net.ByStream])
		by = Array{Dims: []int{N, D}, Data: data[:min(len(data), N*D)]}
		return err
	}, nil)
	if err != nil {
		return nil, Array{}, err
	}
	return each[:N], by, nil
}
