package program_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/program"
)

func TestRun(t *testing.T) {
	e := backendtest.Engine(t)
	p, err := program.New(e, func(in []*graph.Node) []*graph.Node { return []*graph.Node{graph.Add(in[0], in[0])} })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Finalize()
	x, err := program.Put(e, []float32{1, 2, 3}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		outs, _, err := p.Run([]*tensors.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		got, dims, err := program.Copy(e, outs[0])
		if err != nil {
			t.Fatal(err)
		}
		if len(dims) != 1 || got[0] != 2 || got[2] != 6 {
			t.Errorf("got %v %v, want [2 4 6]", got, dims)
		}
		program.Free(outs...)
	}
}

// A program without results is an error each time, and can be freed.
func TestNoResults(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		x, err := program.Put(e, []int32{1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		c := program.NewCache(e, program.Bound{})
		for range 2 {
			nothing := func(in []*graph.Node) []*graph.Node { return nil }
			_, _, err := c.Run("nothing", nothing, []*tensors.Tensor{x})
			if err == nil || !strings.Contains(err.Error(), "without results") {
				t.Errorf("%s: got %v", e.Kind, err)
			}
		}
		c.Close()
	}
}

// A panic with something that is not an error must not leave the next call with the same shapes waiting for ever.
func TestPanicsBecomeErrors(t *testing.T) {
	e := backendtest.Engine(t)
	p, err := program.New(e, func(in []*graph.Node) []*graph.Node { panic("a bad shape") })
	if err != nil {
		t.Fatal(err)
	}
	x, err := program.Put(e, []int32{1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := p.Run([]*tensors.Tensor{x}); err == nil || !strings.Contains(err.Error(), "a bad shape") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with the panic's text", err)
		}
	}
}

func TestBucket(t *testing.T) {
	for _, tt := range []struct{ n, least, want int }{{0, 8, 8}, {8, 8, 8}, {9, 8, 12}, {13, 8, 16}, {17, 8, 24},
		{65, 8, 96}, {1, 1, 1}, {3, 1, 3}, {5, 1, 6}} {
		if got := program.Bucket(tt.n, tt.least); got != tt.want {
			t.Errorf("Bucket(%d, %d) = %d, want %d", tt.n, tt.least, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(8, 1<<20).Draw(t, "n")
		b := program.Bucket(n, 8)
		if b < n || 3*(b-n) > b {
			t.Fatalf("Bucket(%d) = %d", n, b)
		}
		if program.Bucket(b, 8) != b {
			t.Fatalf("bucket %d is not its own bucket", b)
		}
	})
}

// A compilation ends for who waits for it when the context does. It goes on by itself, and its program is freed after
// it; one that comes to its end is ready to run.
func TestReadyHearsAContext(t *testing.T) {
	e := backendtest.PureGo(t)
	gate := make(chan struct{})
	var made atomic.Int32
	p, err := program.New(e, func(in []*graph.Node) []*graph.Node {
		<-gate
		made.Add(1)
		return []*graph.Node{graph.Neg(in[0])}
	})
	if err != nil {
		t.Fatal(err)
	}
	x := tensors.FromValue([]float32{1, 2})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Ready(ctx, []*tensors.Tensor{x}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	close(gate)
	if _, err := p.Ready(t.Context(), []*tensors.Tensor{x}); err != nil {
		t.Fatal(err)
	}
	outs, _, err := p.Run([]*tensors.Tensor{x})
	if err != nil || outs[0].Value().([]float32)[1] != -2 {
		t.Fatalf("%v: %v", outs, err)
	}
	if made.Load() != 1 {
		t.Errorf("the program was made %d times", made.Load())
	}
	p.Finalize()
}
