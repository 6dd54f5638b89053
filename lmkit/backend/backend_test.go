package backend_test

import (
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
