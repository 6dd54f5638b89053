package program_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/program"
)

// double is a program of a few nodes; it counts how often it is built.
func double(built *int, mu *sync.Mutex) func(in []*graph.Node) []*graph.Node {
	return func(in []*graph.Node) []*graph.Node {
		mu.Lock()
		defer mu.Unlock()
		*built++
		return []*graph.Node{graph.Add(in[0], in[0])}
	}
}

// runDouble runs it on 1, 2, 3, ... n, and fails unless that comes back doubled.
func runDouble(t testing.TB, e *backend.Engine, c *program.Cache, build func(in []*graph.Node) []*graph.Node, n int) {
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(i + 1)
	}
	x, err := program.Put(e, data, n)
	if err != nil {
		t.Error(err)
		return
	}
	defer program.Free(x)
	outs, _, err := c.Run("double", build, []*tensors.Tensor{x})
	if err != nil {
		t.Error(err)
		return
	}
	defer program.Free(outs...)
	got, dims, err := program.Copy(e, outs[0])
	if err != nil || len(dims) != 1 || len(got) != n || got[n-1] != 2*float32(n) {
		t.Errorf("%d numbers doubled are %v of shape %v, %v", n, got, dims, err)
	}
}

// Hundreds of input shapes, and never more programs than the bound; what was run last is still there.
func TestCacheBound(t *testing.T) {
	e := backendtest.PureGo(t)
	var mu sync.Mutex
	for _, b := range []program.Bound{{Programs: 5}, {Bytes: 100 << 10}} {
		c := program.NewCache(e, b)
		built := 0
		build := double(&built, &mu)
		for n := 1; n <= 300; n++ {
			runDouble(t, e, c, build, n)
			if s := c.Stats(); b.Programs > 0 && s.Programs > b.Programs || b.Bytes > 0 && s.Bytes > b.Bytes ||
				s.Programs < min(n, 2) {
				t.Fatalf("%+v: after %d shapes: %+v", b, n, s)
			}
		}
		if built != 300 {
			t.Errorf("%+v: %d programs were built for 300 shapes", b, built)
		}
		runDouble(t, e, c, build, 300)
		runDouble(t, e, c, build, 299)
		if built != 300 {
			t.Errorf("%+v: the newest programs were not kept", b)
		}
		if runDouble(t, e, c, build, 1); built != 301 {
			t.Errorf("%+v: the oldest program was kept", b)
		}
		c.Close()
		if s := c.Stats(); s != (program.Stats{}) {
			t.Errorf("closed: %+v", s)
		}
		if _, _, err := c.Run("double", build, nil); err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("a program ran after the cache was closed: %v", err)
		}
	}
}

// Goroutines that run more programs at once than are kept all get their results.
func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	e := backendtest.PureGo(t)
	var mu sync.Mutex
	built := 0
	c := program.NewCache(e, program.Bound{Programs: 2})
	var wait sync.WaitGroup
	for k := range 8 {
		wait.Go(func() {
			for i := range 40 {
				runDouble(t, e, c, double(&built, &mu), 1+(i*(k+1))%7)
			}
		})
	}
	wait.Wait()
	if s := c.Stats(); s.Programs > 2 || s.Running != 0 {
		t.Errorf("afterwards: %+v", s)
	}
	c.Close()
}

// BenchmarkManyShapes runs a program of some hundred nodes on 400 different shapes, of which 32 are kept, and reports
// the resident memory after 100 of them and after all: it levels off.
func BenchmarkManyShapes(b *testing.B) {
	e := backendtest.Engine(b)
	build := func(in []*graph.Node) []*graph.Node {
		x := in[0]
		for range 100 {
			x = graph.Tanh(graph.Add(graph.Mul(x, x), x))
		}
		return []*graph.Node{x}
	}
	for b.Loop() {
		c := program.NewCache(e, program.Bound{Programs: 32})
		for n := 1; n <= 400; n++ {
			x, err := program.Put(e, make([]float32, n), n)
			if err != nil {
				b.Fatal(err)
			}
			outs, _, err := c.Run("tanh", build, []*tensors.Tensor{x})
			if err != nil {
				b.Fatal(err)
			}
			program.Free(append(outs, x)...)
			if n%100 == 0 {
				program.Trim()
				b.ReportMetric(float64(program.Resident())/(1<<20), fmt.Sprintf("MiB/after-%d", n))
			}
		}
		c.Close()
	}
}
