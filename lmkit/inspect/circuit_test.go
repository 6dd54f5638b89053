package inspect_test

import (
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
)

// In a model of every family the parts add up: the circuit of all edges is the model, that of none is the corrupted
// run, and the edges of the input carry the whole difference.
func TestCircuitIdentities(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := question(t, m)
		tool := &inspect.Circuit{IDs: corruptedIDs}
		if c := m.Config(); c.Recurrent() || c.NormsSums() {
			_, err := explain.Inside(t.Context(), m, q, tool)
			if err == nil || !strings.Contains(err.Error(), "add up") {
				t.Errorf("%v, want an error that says that nothing adds up", err)
			}
			return
		}
		for _, n := range []int{-1, 1e6, math.MaxInt} {
			if _, err := explain.Inside(t.Context(), m, q, &inspect.Circuit{IDs: corruptedIDs, Points: n}); err == nil {
				t.Errorf("%d points were taken", n)
			}
		}
		x := look(t, m, q, tool)
		if len(x.Evidence.Identities) != 3 || len(x.Values) != 3 {
			t.Errorf("%d identities, %d rankings", len(x.Evidence.Identities), len(x.Values))
		}
		if g := tool.Found; g == nil || g.Kept == 0 || g.Of == 0 || len(g.Nodes) > 2+m.Config().Layers*(m.Config().Heads+1) {
			t.Errorf("the circuit: %+v", g)
		}
	})
}
