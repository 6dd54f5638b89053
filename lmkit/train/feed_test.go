package train

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/lm"
)

// calling tells of each batch that is asked for, before it is read.
type calling struct {
	corpus.Batches
	call func(i int) error
}

func (c calling) At(i int) (corpus.Batch, error) {
	if err := c.call(i); err != nil {
		return corpus.Batch{}, err
	}
	return c.Batches.At(i)
}

// openRun starts a run, whose batches are then asked for through call.
func openRun(t *testing.T, mc lm.Config, c Config, call func(i int) error) *Run {
	t.Helper()
	d := textData(t, mc, c)
	d.Valid = nil
	r := startRun(t, newModel(t, backendtest.PureGo(t), mc), d, c, "")
	r.data.Train = calling{d.Train, call}
	return r
}

// While a step is done, the batch of the next one is read: its reader is called although nobody has asked for that
// step.
func TestReadsAhead(t *testing.T) {
	asked := make(chan int, 100)
	r := openRun(t, tinyTransformer, Config{Steps: 5, Rows: 4, Length: 8, LogEvery: 1, EvalEvery: 5},
		func(i int) error { asked <- i; return nil })
	for e, err := range r.Events(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		for want := e.Step - 1; want <= min(e.Step, 4); want++ {
			if e.Step > 1 && want == e.Step-1 {
				continue // was asked for one step ago
			}
			select {
			case got := <-asked:
				if got != want {
					t.Errorf("after step %d batch %d was read, want %d", e.Step, got, want)
				}
			case <-time.After(time.Hour):
				t.Fatalf("after step %d batch %d does not come", e.Step, want)
			}
		}
	}
	if n := len(asked); n != 0 {
		t.Errorf("%d batches too many were read", n)
	}
}

// A batch that cannot be read ends the run at its own step, and not at the one before.
func TestUnreadableBatch(t *testing.T) {
	damage := errors.New("the disk is gone")
	r := openRun(t, tinyLSTM, Config{Steps: 9, Rows: 4, Length: 8, LogEvery: 1, EvalEvery: 9}, func(i int) error {
		if i == 5 {
			return damage
		}
		return nil
	})
	last, failed := 0, error(nil)
	for e, err := range r.Events(context.Background()) {
		if failed = err; err == nil {
			last = e.Step
		}
	}
	if last != 5 || !errors.Is(failed, damage) || !strings.Contains(failed.Error(), "step 6") {
		t.Errorf("batch 5 is unreadable: the last step was %d, the error %v", last, failed)
	}
}

// Nothing stays on the device: not from step to step, and not after Close, although the run was broken off, cancelled,
// and went on.
func TestDeviceMemoryIsFreed(t *testing.T) {
	e := backendtest.FourDevices(t)
	if buffers() < 0 {
		t.Skip("this engine does not count its buffers")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would free what is forgotten
	for devices, mc := range map[int]lm.Config{1: tinyLSTM, 2: tinyTransformer} {
		c := Config{Steps: 40, Rows: 4, Length: 8, LogEvery: 3, EvalEvery: 10, Devices: devices}
		d, err := Text(mc, c, nil, text(388, 1), text(132, 2)) // without a shorter last batch: it takes a program more
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(t, e, mc)
		before := buffers()
		if _, err := Evaluate(context.Background(), m, d.Valid, 0); err != nil {
			t.Fatal(err)
		}
		if got := buffers(); got != before {
			t.Errorf("%s: an evaluation leaves %d buffers", mc.Arch, got-before)
		}
		r := startRun(t, m, d, c, "")
		kept, events := buffers(), 0
		for !r.Done() {
			ctx, cancel := context.WithCancel(context.Background())
			for ev, err := range r.Events(ctx) {
				var stopped *Interrupted
				if err != nil && !errors.As(err, &stopped) {
					t.Fatal(err)
				}
				if r.drop(); buffers() != kept {
					t.Fatalf("%s: after step %d there are %d buffers, at the start there were %d", mc.Arch, ev.Step, buffers(), kept)
				}
				if events++; events%5 == 0 {
					cancel()
				} else if events%7 == 0 {
					break
				}
			}
			cancel()
		}
		r.Close()
		if got := buffers(); events < 14 || got != before {
			t.Errorf("%s: after %d events %d buffers are left", mc.Arch, events, got-before)
		}
	}
}

// Close waits for the batch that is on its way, so that nothing reads the data or holds memory after it.
func TestCloseWaitsForTheReader(t *testing.T) {
	var reading atomic.Bool
	begun, goOn := make(chan struct{}), make(chan struct{})
	r := openRun(t, tinyTransformer, Config{Steps: 9, Rows: 4, Length: 8, LogEvery: 1, EvalEvery: 9}, func(i int) error {
		if i == 3 {
			reading.Store(true)
			close(begun)
			<-goOn
			reading.Store(false)
		}
		return nil
	})
	for e, err := range r.Events(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Step == 3 {
			break
		}
	}
	<-begun
	closed := make(chan bool)
	go func() {
		r.Close()
		closed <- reading.Load()
	}()
	close(goOn)
	if <-closed {
		t.Error("the run is closed, and its data are still read")
	}
}

// What is cut for several devices is, put together, what it was.
func TestPlacedArrays(t *testing.T) {
	e := backendtest.FourDevices(t)
	rapid.Check(t, func(t *rapid.T) {
		devices := rapid.IntRange(1, 4).Draw(t, "devices")
		dims := []int{devices * rapid.IntRange(1, 3).Draw(t, "rows"), rapid.IntRange(1, 3).Draw(t, "width")}
		want := make([]float32, dims[0]*dims[1])
		for i := range want {
			want[i] = float32(i)
		}
		for _, layout := range []program.Layout{program.Whole, program.ByRows} {
			p := make(placed, devices)
			if err := place(p, e, layout, want, dims...); err != nil {
				t.Fatal(err)
			}
			got, err := p.copy(e, layout, 0)
			if err != nil || !slices.Equal(got.Data, want) || !slices.Equal(got.Dims, dims) {
				t.Fatalf("%v as %v on %d devices comes back as %v (%v)", want, layout, devices, got, err)
			}
			if held := p[devices-1][0].Shape().Dimensions[0]; layout == program.ByRows && held != dims[0]/devices {
				t.Fatalf("a device holds %d rows of %d", held, dims[0])
			}
			p.free()
		}
	})
}
