package backend_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
)

// addsUp computes 1+1 on an engine.
func addsUp(t *testing.T, e *backend.Engine) {
	t.Helper()
	got, err := graph.CallOnce(e.Backend, func(x *graph.Node) *graph.Node { return graph.Add(x, x) }, float32(1))
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Value(); v != float32(2) {
		t.Errorf("1+1 on %s = %v, want 2", e.Kind, v)
	}
}

// XLA computes with one thread a processor that this process may use, unless more devices are asked for: more threads
// get into each other's way.
func TestThreads(t *testing.T) {
	e := backendtest.Engine(t)
	if e.Kind != backend.XLACPU || runtime.GOOS != "linux" {
		t.Skipf("counts the threads of %s on Linux", backend.XLACPU)
	}
	if got, want := e.NumDevices(), min(4, runtime.GOMAXPROCS(0)); got != want {
		t.Errorf("%d devices, want %d", got, want)
	}
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil {
		t.Fatal(err)
	}
	threads := 0
	for _, name := range names {
		if comm, _ := os.ReadFile(name); strings.HasPrefix(string(comm), "tf_XLAEigen") {
			threads++
		}
	}
	if threads != runtime.GOMAXPROCS(0) {
		t.Errorf("XLA has %d threads, want %d: does the plugin still know the option cpu_device_count, and PJRT_NPROC?",
			threads, runtime.GOMAXPROCS(0))
	}
	four := backendtest.FourDevices(t)
	addsUp(t, four)
	if got := four.NumDevices(); got != 4 {
		t.Errorf("%d devices where 4 are asked for", got)
	}
}

func TestEnginesCompute(t *testing.T) {
	e := backendtest.Engine(t)
	addsUp(t, e)
	if e.Loops() != (e.Kind != backend.Go) {
		t.Errorf("%s: Loops() = %v", e.Kind, e.Loops())
	}
	pure := backendtest.PureGo(t)
	addsUp(t, pure)
	if pure.Loops() {
		t.Error("the pure-Go engine claims loops")
	}
}

// Many products that could run at once all end, though each of them would use all processors.
func TestProductsAtOnce(t *testing.T) {
	exec, err := graph.NewExec(backendtest.PureGo(t).Backend, func(x *graph.Node) *graph.Node {
		sum := graph.ZerosLike(x)
		for range 12 {
			x = graph.OnePlus(x) // another number, so that the products are not one
			sum = graph.Add(sum, graph.Einsum("nk,mk->nm", x, x))
		}
		return sum
	})
	if err != nil {
		t.Fatal(err)
	}
	x := make([][]float32, 256)
	for i := range x {
		x[i] = make([]float32, 256)
	}
	for range 20 {
		got, err := exec.Call1(x)
		if err != nil {
			t.Fatal(err)
		}
		if sum := got.Value().([][]float32)[3][5]; sum != 650*256 { // 1² + ... + 12² = 650
			t.Fatalf("the products add up to %v, want %v", sum, 650*256)
		}
	}
}
