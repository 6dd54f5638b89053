package lm

import (
	"github.com/gomlx/compute/dtypes"

	"lmkit.internal/lmkit/internal/net"
)

// sliceBytes is what a float32 copy of the output matrix may take. A matrix that is held as something else, and comes
// to more, is multiplied a slice at a time, each by a call of one program.
var sliceBytes = 128 << 20

// slicesOf returns into how many slices the output matrix is cut that is held as numbers of a type; 1: it is not.
func slicesOf(c Config, held dtypes.DType) int {
	if !c.Attends() || held == dtypes.Float32 { // then there is no copy
		return 1
	}
	return min(c.Vocab, (4*c.Vocab*c.Out()+sliceBytes-1)/sliceBytes)
}

// ending is how a chain of programs ends: with one, or with several that use the output matrix a slice at a time.
type ending struct {
	whole *stage // nil: it is cut

	exit, cut, answers *stage
	cutBack, exitBack  *stage // nil: no gradient goes there
	size               int    // rows of a slice
	starts             []int  // the first row of each
}

// ending returns the end that answers what is asked. back says whether the gradient goes further down.
func (m *Model) ending(o net.Opening, p net.Prediction, back bool) ending {
	below := back && p.Unit == "" // the objective is about what comes before
	if m.slices == 1 || len(o.Linear) > 0 || below || p.Logits == "" && !p.Normalised() {
		return ending{whole: m.stage(net.End{Opening: o, Prediction: p, Back: back})}
	}
	back = back || len(o.Wrt) > 0
	x := m.cut()
	x.exit = m.stage(net.Exit{Opening: o.Forwards(), Prediction: p})
	x.answers = m.stage(net.Answers{Prediction: p, Rules: o.Rules, Slices: len(x.starts), Back: back})
	if back {
		x.exitBack = m.stage(net.Exit{Opening: o.Backwards(), Prediction: p, Back: true})
	}
	if back && p.Normalised() {
		x.cutBack = m.stage(net.Cut{Size: x.size, Back: true})
	}
	return x
}

// choosing returns the end that chooses the next token.
func (m *Model) choosing(c net.Choice) ending {
	if m.slices == 1 {
		return ending{whole: m.stage(net.EndChoice{Choice: c})}
	}
	x := m.cut()
	x.exit = m.stage(net.Exit{Prediction: net.Prediction{Logits: "last"}})
	x.answers = m.stage(net.AnswerChoice{Choice: c, Slices: len(x.starts)})
	return x
}

// cut returns an end whose output matrix is cut into slices of one size.
func (m *Model) cut() ending {
	x := ending{size: (m.config.Vocab + m.slices - 1) / m.slices}
	for start := 0; start < m.config.Vocab; start += x.size {
		x.starts = append(x.starts, start)
	}
	x.cut = m.stage(net.Cut{Size: x.size})
	return x
}

// asks reports whether the end computes anything.
func (x ending) asks() bool { return x.whole == nil || len(x.whole.signature.Outputs) > 0 }

// caller runs a stage on a part of the model, and returns what other stages take.
type caller func(part string, s *stage, from ...named) (named, error)

// run runs the end on what a chain came to.
func (x ending) run(m *Model, link caller, from ...named) (named, error) {
	call := func(s *stage, more ...named) (named, error) { return link(net.EndPart, s, append(more, from...)...) }
	if x.whole != nil {
		return call(x.whole)
	}
	states, err := call(x.exit)
	if err != nil {
		return nil, err
	}
	defer states.free()
	products := named{}
	defer products.free()
	for i, start := range x.starts {
		outs, err := x.slice(m, start, func(at named) (named, error) { return call(x.cut, states, at) })
		if err != nil {
			return nil, err
		}
		products.set(net.Products(i), outs[net.Products(0)])
	}
	outs, err := call(x.answers, states, products)
	if err != nil || x.exitBack == nil {
		return outs, err
	}
	defer outs.free()
	if x.cutBack != nil {
		for i, start := range x.starts {
			sum, err := x.slice(m, start, func(at named) (named, error) {
				return call(x.cutBack, named{net.ByProducts(0): outs[net.ByProducts(i)], net.ByStates: outs[net.ByStates]}, at)
			})
			if err != nil {
				return nil, err
			}
			outs.set(net.ByStates, sum[net.ByStates])
		}
	}
	return call(x.exitBack, outs)
}

// slice calls a program with the first row of a slice.
func (x ending) slice(m *Model, start int, call func(at named) (named, error)) (named, error) {
	at := named{}
	defer at.free()
	if err := put(m, at, net.Start, []int32{int32(start)}); err != nil {
		return nil, err
	}
	return call(at)
}
