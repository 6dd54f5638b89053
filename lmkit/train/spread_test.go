package train

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// masked is short texts of which some have one target to predict, some many, and the last rows none at all.
func masked(t testing.TB, rows int) corpus.Batches {
	t.Helper()
	stream := text(400, 9)
	var examples []corpus.Example
	for i := range 5*rows - rows/2 { // half of the last batch is padding
		examples = append(examples, corpus.Example{Tokens: stream[i*9 : i*9+3+i%6], Scored: i % 3})
	}
	b, err := corpus.Padded(examples, rows)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Over several devices each step has the loss and the gradient that it has on one, whatever targets are masked in
// whichever row, also with dropout, and with states that are carried on.
func TestDevicesAgree(t *testing.T) {
	e := backendtest.FourDevices(t)
	for name, x := range map[string]struct {
		model  lm.Config
		masked bool
	}{
		"lstm":        {lm.Config{Arch: lm.LSTM, Vocab: 12, Width: 8, Hidden: 12, Layers: 2}, false},
		"lstm masked": {tinyLSTM, true},
		"transformer": {lm.Config{Arch: lm.Transformer, Vocab: 12, Width: 8, Heads: 2, Layers: 1, Context: 8,
			Tied: true}, false},
		"transformer masked": {tinyTransformer, true},
	} {
		if testing.Short() && name != "lstm masked" && name != "transformer" {
			continue // these have all between them: states, masks and dropout, and their absence
		}
		t.Run(name, func(t *testing.T) {
			c := Config{Steps: 10, Rows: 4, Length: 8, LearningRate: 0.01, Clip: 1, LogEvery: 1, EvalEvery: 10}
			m, d := newModel(t, e, x.model), textData(t, x.model, c)
			d.Valid = nil
			if x.masked {
				d.Train = masked(t, c.Rows)
			}
			train := func(devices int) ([]Event, map[string]lm.Array) {
				c.Devices = devices
				r := startRun(t, m, d, c, "")
				if r.devices != devices {
					t.Fatalf("the run is on %d devices, want %d", r.devices, devices)
				}
				es := finish(t, r)
				ws, err := r.weights()
				if err != nil {
					t.Fatal(err)
				}
				return es, ws
			}
			want, weights := train(1)
			got, spread := train(map[bool]int{false: 2, true: 4}[x.masked])
			for i, w := range want {
				if g := got[i]; math.Abs(g.TrainLoss-w.TrainLoss) > 1e-5 ||
					math.Abs(g.GradNorm-w.GradNorm) > 1e-5*max(1, w.GradNorm) {
					t.Errorf("step %d: the loss is %v and the gradient %v, on one device %v and %v", w.Step, g.TrainLoss, g.GradNorm,
						w.TrainLoss, w.GradNorm)
				}
			}
			for n, w := range weights {
				for i, v := range w.Data {
					if math.Abs(float64(spread[n].Data[i]-v)) > 1e-4 {
						t.Fatalf("%s[%d] is %v, on one device %v", n, i, spread[n].Data[i], v)
					}
				}
			}
		})
	}
}

// A run over several devices resumes to the same bits, and its checkpoint holds the states of all rows.
func TestSpreadRunResumes(t *testing.T) {
	e := backendtest.FourDevices(t)
	c := Config{Steps: 9, Rows: 4, Length: 8, LearningRate: 0.01, LogEvery: 3, EvalEvery: 9, Devices: 2}
	d, m := textData(t, tinyLSTM, c), newModel(t, e, tinyLSTM)
	d.Valid = nil
	unbroken, broken := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	finish(t, startRun(t, m, d, c, unbroken))
	r := startRun(t, m, d, c, broken)
	for ev, err := range r.Events(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Step == 6 {
			break
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Resume(e, broken, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	finish(t, again)
	same(t, outcome(t, broken), outcome(t, unbroken))
}

// fakeDevices is an engine that has devices and nothing else.
type fakeDevices struct {
	compute.Backend
	n int
}

func (f fakeDevices) NumDevices() int { return f.n }

func TestShare(t *testing.T) {
	cpu, gpus := &backend.Engine{Backend: fakeDevices{n: 4}, Kind: backend.XLACPU},
		&backend.Engine{Backend: fakeDevices{n: 4}, Kind: backend.XLACUDA}
	for _, x := range []struct {
		engine        *backend.Engine
		devices, rows int
		want          int
		wantErr       string
	}{
		{cpu, 0, 12, 1, ""},
		{cpu, 4, 12, 4, ""},
		{gpus, 0, 12, 4, ""},
		{gpus, 0, 6, 3, ""},
		{gpus, 0, 7, 1, ""},
		{gpus, 0, 2, 2, ""},
		{gpus, 1, 12, 1, ""},
		{gpus, 3, 12, 3, ""},
		{cpu, 5, 10, 0, "5 devices are asked for, and the engine xla:cpu has 4: ask for fewer, or name the engine " +
			"xla:cpu,devices=5"},
		{gpus, 5, 10, 0, "5 devices are asked for, and the engine xla:cuda has 4: ask for fewer, or for 0"},
		{cpu, 4, 10, 0, "10 rows cannot be shared equally among 4 devices: take a multiple of 4 rows, or fewer devices"},
	} {
		got, err := Config{Devices: x.devices}.share(x.engine, x.rows)
		if got != x.want || (err == nil) != (x.wantErr == "") || err != nil && !strings.Contains(err.Error(), x.wantErr) {
			t.Errorf("%d devices of %s for %d rows: %d, %v; want %d, %s", x.devices, x.engine.Kind, x.rows, got, err, x.want,
				x.wantErr)
		}
	}
	if err := (Config{Devices: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "devices is -1") {
		t.Errorf("minus one device: %v", err)
	}
}

// uneven is batches of which the second has a row more than the first.
type uneven struct{}

func (uneven) Len() int { return 2 }

func (uneven) At(i int) (corpus.Batch, error) {
	n := 4 + i
	return corpus.Batch{Inputs: make([]token.ID, n), Targets: make([]token.ID, n), Rows: n, Length: 1, Fresh: true}, nil
}

func TestUnevenBatches(t *testing.T) {
	e := backendtest.FourDevices(t)
	c := Config{Steps: 2, LogEvery: 1, EvalEvery: 2, Devices: 2}
	r := startRun(t, newModel(t, e, tinyTransformer), Data{Train: uneven{}}, c, "")
	var failed error
	for _, err := range r.Events(context.Background()) {
		failed = err
	}
	if failed == nil || !strings.Contains(failed.Error(), "step 2: 5 rows cannot be shared equally among 2 devices") {
		t.Errorf("a batch of 5 rows on 2 devices: %v", failed)
	}
}
