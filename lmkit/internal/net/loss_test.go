package net_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/format"
)

func engines(t *testing.T) []*backend.Engine {
	return []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)}
}

// Loss and every parameter's gradient are those of an independent implementation (bench/reference.py).
func TestReferenceLossAndGradients(t *testing.T) {
	for _, e := range engines(t) {
		for _, name := range []string{"gpt2", "gpt2-untied", "gpt2-gelu", "lstm"} {
			t.Run(e.Kind+"/"+name, func(t *testing.T) {
				dir := filepath.Join("..", "..", "lm", "testdata", "reference", name)
				m, err := lm.Open(e, dir)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				want, err := safetensors.ReadFile(filepath.Join(dir, "expected.safetensors"))
				if err != nil {
					t.Fatal(err)
				}
				c := m.Config()
				outs := run(t, e, func(in []*graph.Node) []*graph.Node {
					n := len(c.Params())
					l := net.Loss(c, net.NewWeights(c, in[:n]), net.Batch{IDs: in[n], Targets: in[n+1]}, e.Loops())
					return append([]*graph.Node{l.Mean, l.Count}, graph.Gradient(l.Mean, in[:n]...)...)
				}, append(append([]*tensors.Tensor{}, m.Tensors()...), ids(t, e, want["ids"]), ids(t, e, want["targets"]))...)
				near(t, "loss", outs[0], want["loss"].Data)
				near(t, "count", outs[1], []float32{float32(len(want["ids"].Data))})
				ours, grads := map[string][]float32{}, map[string][]float32{}
				for i, p := range c.Params() {
					ours[p.Name] = outs[2+i]
				}
				f, _, err := format.Write(c)
				if err != nil {
					t.Fatal(err)
				}
				format.Pack(f, c, func(param string) []float32 { return ours[param] },
					func(name string, _ []int, data []float32) { grads[name] = data })
				found := 0
				for k, w := range want {
					if p, ok := strings.CutPrefix(k, "grad/"); ok {
						near(t, k, grads[f.Name(p)], w.Data)
						found++
					}
				}
				if found != len(grads) {
					t.Errorf("the reference has %d gradients, the model %d parameters", found, len(grads))
				}
			})
		}
	}
}

// Targets that are negative are not counted: their rows might as well not be there.
func TestLossIgnoresNegativeTargets(t *testing.T) {
	c := net.Config{Arch: net.LSTM, Vocab: 11, Width: 4, Hidden: 3, Layers: 1}
	e := backendtest.Engine(t)
	m := model(t, e, c)
	loss := func(rows int, targets ...float32) (float32, float32) {
		n := len(c.Params())
		outs := run(t, e, func(in []*graph.Node) []*graph.Node {
			l := net.Loss(c, net.NewWeights(c, in[:n]), net.Batch{IDs: in[n], Targets: in[n+1]}, e.Loops())
			return []*graph.Node{l.Mean, l.Count}
		}, append(append([]*tensors.Tensor{}, m.Tensors()...),
			ids(t, e, safetensors.Tensor{Dims: []int{rows, 3}, Data: []float32{1, 2, 3, 4, 5, 6}[:3*rows]}),
			ids(t, e, safetensors.Tensor{Dims: []int{rows, 3}, Data: targets}))...)
		return outs[0][0], outs[1][0]
	}
	full, n := loss(1, 2, 3, 4)
	if n != 3 || full < 1 {
		t.Fatalf("loss %v over %v targets", full, n)
	}
	if l, n := loss(2, 2, 3, 4, -1, -1, -1); n != 3 || math.Abs(float64(l-full)) > 1e-5 {
		t.Errorf("with a row of padding: %v over %v targets, want %v over 3", l, n, full)
	}
	a, _ := loss(1, 2, -1, -1)
	b, _ := loss(1, -1, 3, 4)
	if math.Abs(float64((a+2*b)/3-full)) > 1e-5 {
		t.Errorf("parts (%v + 2 x %v)/3 are not the whole %v", a, b, full)
	}
	if l, n := loss(1, -1, -1, -1); l != 0 || n != 1 {
		t.Errorf("nothing to predict: loss %v over %v targets, want 0 over 1 (never a division by 0)", l, n)
	}
}

// A text cut in two with the state carried over is the same text: the same loss, token by token.
func TestCarriedStateIsOneLongSequence(t *testing.T) {
	c := net.Config{Arch: net.LSTM, Vocab: 11, Width: 4, Hidden: 3, Layers: 2}
	for _, e := range engines(t) {
		m := model(t, e, c)
		text := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 10, 0, 4, 4, 2, 8} // 2 rows of 8
		outs := run(t, e, func(in []*graph.Node) []*graph.Node {
			n := len(c.Params())
			w, ids := net.NewWeights(c, in[:n]), in[n]
			part := func(from, to int, before net.LossOf) net.LossOf {
				return net.Loss(c, w, net.Batch{IDs: graph.Slice(ids, graph.AxisRange(), graph.AxisRange(from, to)),
					Targets: graph.Slice(ids, graph.AxisRange(), graph.AxisRange(from+1, to+1)), Hidden: before.Hidden,
					Cell: before.Cell}, e.Loops())
			}
			whole := part(0, 7, net.LossOf{})
			first := part(0, 4, net.LossOf{})
			second := part(4, 7, first)
			outs := []*graph.Node{whole.Mean, first.Mean, second.Mean}
			outs = append(append(outs, whole.Hidden...), whole.Cell...)
			return append(append(outs, second.Hidden...), second.Cell...)
		}, append(append([]*tensors.Tensor{}, m.Tensors()...),
			ids(t, e, safetensors.Tensor{Dims: []int{2, 8}, Data: text}))...)
		near(t, "loss", []float32{(4*outs[1][0] + 3*outs[2][0]) / 7}, outs[0])
		for i := range 4 {
			near(t, "state", outs[7+i], outs[3+i])
		}
	}
}

// Dropout draws anew for each seed, and the same for the same seed.
func TestDropoutSeeds(t *testing.T) {
	for _, c := range []net.Config{
		{Arch: net.LSTM, Vocab: 11, Width: 4, Hidden: 3, Layers: 1, Dropout: 0.5},
		{Arch: net.Transformer, Vocab: 11, Width: 4, Heads: 2, Layers: 1, Context: 8, Dropout: 0.5},
	} {
		for _, e := range engines(t) {
			m := model(t, e, c)
			n := len(c.Params())
			x := ids(t, e, safetensors.Tensor{Dims: []int{1, 6}, Data: []float32{1, 2, 3, 4, 5, 6}})
			p, err := program.New(e, func(in []*graph.Node) []*graph.Node {
				return []*graph.Node{net.Loss(c, net.NewWeights(c, in[:n]), net.Batch{IDs: in[n], Targets: in[n], Seed: in[n+1]},
					e.Loops()).Mean}
			})
			if err != nil {
				t.Fatal(err)
			}
			loss := func(seed uint32) float32 {
				s, err := program.Put(e, []uint32{seed})
				if err != nil {
					t.Fatal(err)
				}
				outs, _, err := p.Run(append(append([]*tensors.Tensor{}, m.Tensors()...), x, s))
				if err != nil {
					t.Fatal(err)
				}
				v, _, err := program.Copy(e, outs[0])
				if err != nil {
					t.Fatal(err)
				}
				return v[0]
			}
			if a, b := loss(1), loss(1); a != b {
				t.Errorf("%s on %s: one seed gives %v and %v", c.Arch, e.Kind, a, b)
			}
			if a, b := loss(1), loss(2); a == b {
				t.Errorf("%s on %s: two seeds give the same loss %v", c.Arch, e.Kind, a)
			}
		}
	}
}

func model(t *testing.T, e *backend.Engine, c net.Config) *lm.Model {
	t.Helper()
	m, err := lm.New(e, c, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// run compiles and runs a graph function once.
func run(t *testing.T, e *backend.Engine, build func([]*graph.Node) []*graph.Node,
	args ...*tensors.Tensor) [][]float32 {
	t.Helper()
	p, err := program.New(e, build)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Finalize()
	outs, _, err := p.Run(args)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Free(outs...)
	var got [][]float32
	for _, o := range outs {
		v, _, err := program.Copy(e, o)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	return got
}

func ids(t *testing.T, e *backend.Engine, x safetensors.Tensor) *tensors.Tensor {
	t.Helper()
	v := make([]int32, len(x.Data))
	for i, f := range x.Data {
		v[i] = int32(f)
	}
	ts, err := program.Put(e, v, x.Dims...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Free(ts) })
	return ts
}

// near fails unless got is want to 1e-4 relative (of the largest number of the array).
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	top, worst := 1e-3, 0.0
	for i, w := range want {
		top = max(top, math.Abs(float64(w)))
		worst = max(worst, math.Abs(float64(got[i]-w)))
		if math.IsNaN(float64(got[i])) {
			worst = math.Inf(1)
		}
	}
	if worst > 1e-4*top {
		t.Errorf("%s: off by %.3g, where the largest is %.3g", what, worst, top)
	}
}
