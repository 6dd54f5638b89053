package inspect_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
)

// To the logits, to heads and to feed-forward layers of models of every family: no sender sends nothing, all of them
// send what a patch of the receivers has, and at the end of the stream what they send adds up.
func TestPathIdentities(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q, last := question(t, m), m.Config().Layers-1
		if m.Config().Recurrent() {
			_, err := explain.Inside(t.Context(), m, q, inspect.Path{IDs: corruptedIDs})
			if err == nil || !strings.Contains(err.Error(), "no paths") {
				t.Errorf("%v, want an error that says that there are no paths", err)
			}
			return
		}
		for n, to := range [][]string{nil, {fmt.Sprintf("%d.1.q", last), fmt.Sprintf("%d.0.k", last)}, {fmt.Sprintf("%d.mlp",
			last)}} {
			x := look(t, m, q, inspect.Path{IDs: corruptedIDs, To: to, ThroughMLPs: n == 1})
			if want := 2 + map[bool]int{true: 1}[n == 0 && !m.Config().NormsAfter()]; len(x.Evidence.Identities) != want {
				t.Errorf("%v: %d identities, want %d", to, len(x.Evidence.Identities), want)
			}
		}
	})
}

// With nothing between a sender and the logits, its path to them is all that a patch of it does.
func TestPathOfTheLastLayer(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		if m.Config().Recurrent() {
			return
		}
		q, last := question(t, m), m.Config().Layers-1
		path := look(t, m, q, inspect.Path{IDs: corruptedIDs})
		patch := look(t, m, q, inspect.Patch{IDs: corruptedIDs, At: "mlp.out", Layers: []int{last}, Noising: true})
		whole := patch.Values[0][len(cleanIDs)-1] // only what is written at the last token reaches its logits
		if got := path.Values[last][m.Config().Heads]; math.Abs(got-whole) > 1e-3 {
			t.Errorf("the path of the last feed-forward layer has %v, its patch %v", got, whole)
		}
	})
}

func TestPathRefuses(t *testing.T) {
	m := lively(t, lm.Config{Arch: lm.Transformer, Vocab: 16, Width: 16, Layers: 2, Heads: 2, Context: 16}, nil, 10)
	q := question(t, m)
	for _, to := range []string{"9.q", "2.0.q", "1.2.v", "head"} {
		if _, err := explain.Inside(t.Context(), m, q, inspect.Path{IDs: corruptedIDs, To: []string{to}}); err == nil {
			t.Errorf("%s receives", to)
		}
	}
}
