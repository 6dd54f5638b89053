package inspect_test

import (
	"context"
	"math"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// On random weights of every kind of decoder, the ways say of heads what the tools by themselves say.
func TestPartsAreWhatTheToolsSay(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := explain.Question{IDs: []token.ID{4, 1, 12, 7, 0}, Target: []token.ID{3}, Foil: []token.ID{9}}
		other := []token.ID{4, 2, 12, 7, 0}
		found, err := explain.Inside(context.Background(), m, q, inspect.Parts{IDs: other})
		if m.Config().Recurrent() || m.Config().NormsSums() {
			if err == nil {
				t.Error("a model whose parts do not add up")
			}
			return
		}
		if err != nil {
			t.Skip(err) // two prompts that random weights hardly tell apart
		}
		of := map[string][]float64{}
		for i, name := range found.Rows {
			of[name] = found.Values[i]
		}
		same := func(way string, want *explain.Matrix, of []float64) {
			for l, row := range want.Values {
				for h, v := range row {
					if got := of[l*(len(row)+1)+h]; math.Abs(got-v) > 1e-3*math.Max(1, math.Abs(v)) {
						t.Errorf("%s of %d.%d: %v, and by itself %v", way, l, h, got, v)
					}
				}
			}
		}
		run := func(by explain.MatrixMethod) *explain.Matrix {
			want, err := explain.Inside(context.Background(), m, q, by)
			if err != nil {
				t.Fatal(err)
			}
			return want
		}
		same(inspect.ByPatching, run(inspect.Patch{At: "z", IDs: other}), of[inspect.ByPatching])
		same(inspect.ByNoising, run(inspect.Patch{At: "z", IDs: other, Noising: true}), of[inspect.ByNoising])
		same(inspect.Truth, run(inspect.Patch{At: "z", IDs: other, Noising: true}), of[inspect.Truth])
		same(inspect.ByAtP, run(inspect.Patch{At: "z", IDs: other, Noising: true, Estimate: true}), of[inspect.ByAtP])
		direct := run(inspect.Direct{By: "head"})
		scaled := make([]float64, len(of[inspect.ByDirect]))
		for i, v := range of[inspect.ByDirect] {
			scaled[i] = v * (found.Value - found.Base)
		}
		same(inspect.ByDirect, direct, scaled)
	})
}
