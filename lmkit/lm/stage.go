package lm

import (
	"fmt"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// stage is a program of the model that is run many times: what net.Stage says of it, worked out once.
type stage struct {
	key       string
	signature net.Signature
	build     func(in []*graph.Node) []*graph.Node
}

// named are arrays on the engine by the names that a stage has for them.
type named map[string]*tensors.Tensor

func (m *Model) stage(s net.Stage) *stage {
	c, how, key := m.config, net.How{Loops: m.engine.Loops(), BFloat16: m.precision == BFloat16}, s.Key()
	if how.BFloat16 {
		key += " in bfloat16"
	}
	return &stage{
		key:       key,
		signature: s.Signature(c),
		build:     func(in []*graph.Node) []*graph.Node { return net.Build(c, s, how, in) },
	}
}

// call runs a stage on a part of the model: part is what the names of the part's parameters begin with, "" for the
// whole model. Inputs are looked up in the places given, in their order. The outputs are the caller's to free. It also
// says how long compiling took.
func (m *Model) call(s *stage, part string, from ...named) (outs named, compile time.Duration, err error) {
	if len(s.signature.Outputs) == 0 {
		return named{}, 0, nil
	}
	args := make([]*tensors.Tensor, 0, len(s.signature.Params)+len(s.signature.Inputs))
	for _, name := range s.signature.Params {
		args = append(args, m.weights[part+name])
	}
	for _, name := range s.signature.Inputs {
		x := find(name, from)
		if x == nil {
			return nil, 0, fmt.Errorf("%s: there is no input %q", s.key, name)
		}
		args = append(args, x)
	}
	all, compile, err := m.programs.Run(s.key, s.build, args)
	if err != nil {
		return nil, compile, err
	}
	outs = make(named, len(all))
	for i, name := range s.signature.Outputs {
		outs[name] = all[i]
	}
	return outs, compile, nil
}

func find(name string, in []named) *tensors.Tensor {
	for _, n := range in {
		if x := n[name]; x != nil {
			return x
		}
	}
	return nil
}

// free gives the arrays back to the engine.
func (n named) free() {
	for _, x := range n {
		program.Free(x)
	}
}

// set puts an array in the place of what had the name, which is freed.
func (n named) set(name string, x *tensors.Tensor) {
	program.Free(n[name])
	n[name] = x
}

// put copies numbers to the engine under a name.
func put[N program.Number](m *Model, to named, name string, data []N, dims ...int) error {
	x, err := program.Put(m.engine, data, dims...)
	if err != nil {
		return err
	}
	to.set(name, x)
	return nil
}
