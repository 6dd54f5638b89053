package train

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
)

// optimiser is Adam and AdamW in float64, written from PyTorch's documentation: the reference of the one in the graph.
type optimiser struct {
	c             Config
	t             int
	first, second map[string][]float64
}

func (o *optimiser) step(rate float64, params, grads map[string][]float64, matrix map[string]bool) {
	if o.first == nil {
		o.first, o.second = map[string][]float64{}, map[string][]float64{}
	}
	o.t++
	if o.c.Clip > 0 {
		norm := 0.0
		for _, g := range grads {
			for _, v := range g {
				norm += v * v
			}
		}
		if by := o.c.Clip / (math.Sqrt(norm) + 1e-6); by < 1 {
			for _, g := range grads {
				for i := range g {
					g[i] *= by
				}
			}
		}
	}
	for name, p := range params {
		if o.first[name] == nil {
			o.first[name], o.second[name] = make([]float64, len(p)), make([]float64, len(p))
		}
		m, v := o.first[name], o.second[name]
		for i, g := range grads[name] {
			if matrix[name] && o.c.Optimizer == AdamW {
				p[i] -= rate * o.c.WeightDecay * p[i]
			} else if matrix[name] {
				g += o.c.WeightDecay * p[i]
			}
			m[i] = o.c.Beta1*m[i] + (1-o.c.Beta1)*g
			v[i] = o.c.Beta2*v[i] + (1-o.c.Beta2)*g*g
			mHat := m[i] / (1 - math.Pow(o.c.Beta1, float64(o.t)))
			vHat := v[i] / (1 - math.Pow(o.c.Beta2, float64(o.t)))
			p[i] -= rate * mHat / (math.Sqrt(vHat) + o.c.Epsilon)
		}
	}
}

// Eight steps of a run are those of the reference optimiser, given the gradients of net.Loss at the reference's
// weights.
func TestStepsAreAdam(t *testing.T) {
	e := backendtest.PureGo(t)
	mc := lm.Config{Arch: lm.LSTM, Vocab: 12, Width: 5, Hidden: 4, Layers: 1}
	for name, c := range map[string]Config{
		"adam":            {},
		"adam clipped":    {Clip: 0.05, Beta1: 0.8, Beta2: 0.95, Epsilon: 1e-4},
		"adam loose clip": {Clip: 100},
		"adam decay":      {WeightDecay: 0.3},
		"adamw":           {Optimizer: AdamW, WeightDecay: 0.5, Clip: 0.1},
		"schedule":        {Schedule: Cosine, Warmup: 3, MinRate: 1e-3, Optimizer: AdamW, WeightDecay: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			c.Steps, c.Rows, c.Length, c.LearningRate, c.EvalEvery = 8, 4, 10, 0.01, 8
			m := newModel(t, e, mc)
			d := textData(t, mc, c)
			d.Valid = nil
			r := startRun(t, m, d, c, "")
			events := finish(t, r)
			got, err := r.weights()
			if err != nil {
				t.Fatal(err)
			}
			start, err := m.Weights()
			if err != nil {
				t.Fatal(err)
			}
			params, matrix := map[string][]float64{}, map[string]bool{}
			for n, a := range start {
				matrix[n] = len(a.Dims) > 1
				for _, v := range a.Data {
					params[n] = append(params[n], float64(v))
				}
			}
			reference := &optimiser{c: r.config}
			var state [][]float32
			for step := range c.Steps {
				var grads map[string][]float64
				var norm float64
				grads, norm, state = gradients(t, r, mc, start, params, state, step)
				if step == len(events)-1 && math.Abs(norm-events[step].GradNorm) > 1e-3*norm {
					t.Errorf("step %d: the gradient's norm is %v, want %v", step, events[step].GradNorm, norm)
				}
				reference.step(r.config.rate(step, r.epoch), params, grads, matrix)
			}
			for n, want := range params {
				for i, w := range want {
					if math.Abs(float64(got[n].Data[i])-w) > 2e-5 {
						t.Fatalf("%s[%d] is %v, want %v (at first %v)", n, i, got[n].Data[i], w, start[n].Data[i])
					}
				}
			}
		})
	}
}

// gradients are those of the loss of a step's batch, their norm, and the state after it.
func gradients(t *testing.T, r *Run, mc lm.Config, like map[string]lm.Array, params map[string][]float64,
	state [][]float32, step int) (map[string][]float64, float64, [][]float32) {
	t.Helper()
	b, err := r.data.Train.At(step % r.epoch)
	if err != nil {
		t.Fatal(err)
	}
	args, _, err := r.feed(b)
	if err != nil {
		t.Fatal(err)
	}
	defer args.free()
	if state == nil || b.Fresh {
		state = [][]float32{make([]float32, b.Rows*mc.Hidden), make([]float32, b.Rows*mc.Hidden)}
	}
	for _, s := range state {
		if err := place(args, r.engine, program.Whole, s, b.Rows, mc.Hidden); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range mc.Params() {
		data := make([]float32, len(params[p.Name]))
		for i, v := range params[p.Name] {
			data[i] = float32(v)
		}
		if err := place(args, r.engine, program.Whole, data, like[p.Name].Dims...); err != nil {
			t.Fatal(err)
		}
	}
	gradients, err := program.New(r.engine, func(in []*graph.Node) []*graph.Node {
		l := net.Loss(mc, net.NewWeights(mc, in[4:]), net.Batch{IDs: in[0], Targets: in[1], Hidden: in[2:3], Cell: in[3:4]},
			false)
		return append(append(append([]*graph.Node{}, l.Hidden...), l.Cell...), graph.Gradient(l.Mean, in[4:]...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer gradients.Finalize()
	outs, _, err := gradients.Run(args[0])
	if err != nil {
		t.Fatal(err)
	}
	var data [][]float32
	for _, o := range outs {
		v, _, err := program.Copy(r.engine, o)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, v)
	}
	grads, squares := map[string][]float64{}, 0.0
	for i, p := range mc.Params() {
		for _, v := range data[2+i] {
			grads[p.Name] = append(grads[p.Name], float64(v))
			squares += float64(v) * float64(v)
		}
	}
	return grads, math.Sqrt(squares), data[:2]
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name        string
		config      Config
		step, epoch int
		want        float64
	}{
		{"constant", Config{LearningRate: 2}, 99, 0, 2},
		{"warm-up begins above zero", Config{LearningRate: 2, Warmup: 3, Steps: 100}, 0, 0, 0.5},
		{"warm-up rises", Config{LearningRate: 2, Warmup: 3, Steps: 100}, 2, 0, 1.5},
		{"warm-up ends", Config{LearningRate: 2, Warmup: 3, Steps: 100}, 3, 0, 2},
		{"first epoch", Config{LearningRate: 2, Schedule: StepLR, Gamma: 0.5}, 9, 10, 2},
		{"second epoch", Config{LearningRate: 2, Schedule: StepLR, Gamma: 0.5}, 10, 10, 1},
		{"fourth epoch", Config{LearningRate: 2, Schedule: StepLR, Gamma: 0.5}, 39, 10, 0.25},
		{"cosine begins", Config{LearningRate: 3, MinRate: 1, Schedule: Cosine, Steps: 101}, 0, 0, 3},
		{"cosine's middle", Config{LearningRate: 3, MinRate: 1, Schedule: Cosine, Steps: 101}, 50, 0, 2},
		{"cosine ends", Config{LearningRate: 3, MinRate: 1, Schedule: Cosine, Steps: 101}, 100, 0, 1},
		{"cosine after warm-up", Config{LearningRate: 3, MinRate: 1, Schedule: Cosine, Steps: 111, Warmup: 10}, 10, 0, 3},
		{"cosine's middle after warm-up", Config{LearningRate: 3, MinRate: 1, Schedule: Cosine, Steps: 111, Warmup: 10}, 60,
			0, 2},
		{"a cosine of one step", Config{LearningRate: 3, MinRate: 1, Schedule: Cosine, Steps: 1}, 0, 0, 3},
	} {
		if got := c.config.rate(c.step, c.epoch); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: the rate of step %d is %v, want %v", c.name, c.step, got, c.want)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	seen := map[uint32]bool{}
	for step := range 20000 {
		seen[seedAt(7, step)] = true
	}
	if len(seen) < 19990 {
		t.Errorf("20000 steps have %d seeds", len(seen))
	}
	if seedAt(1, 5) == seedAt(2, 5) || seedAt(1, 5) == seedAt(1, 6) {
		t.Error("a seed must depend on the run's seed and the step alone")
	}
}
