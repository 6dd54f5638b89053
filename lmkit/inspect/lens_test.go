package inspect_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

var prompt = []token.ID{4, 1, 12, 7, 7, 0}

// everywhere runs a test on a model of every family, an LSTM, and random models with every switch.
func everywhere(t *testing.T, test func(t *testing.T, m *lm.Model)) {
	e := backendtest.PureGo(t)
	lmtest.EachModel(t, e, test)
	lmtest.EachRandom(t, e, 8, func(t *testing.T, m *lm.Model, _ *rand.Rand) { test(t, m) })
}

// look asks one tool, whose result must be whole and its identities hold.
func look(t *testing.T, m *lm.Model, q explain.Question, tool explain.MatrixMethod) *explain.Matrix {
	t.Helper()
	found, err := explain.Inside(context.Background(), m, q, tool)
	if err != nil {
		t.Fatal(err)
	}
	explaintest.CheckMatrix(t, found)
	if len(found.Evidence.Identities) == 0 {
		t.Error("nothing proves these values")
	}
	for _, w := range found.Evidence.Broken() {
		t.Errorf("%s does not hold: %+v", w, found.Evidence)
	}
	return found
}

// measure finds what else a tool measured.
func measure(t *testing.T, m *explain.Matrix, name string) [][]float64 {
	t.Helper()
	for _, x := range m.More {
		if strings.HasPrefix(x.Name, name) {
			return x.Values
		}
	}
	t.Fatalf("there is no measure %q", name)
	return nil
}

// The lens has a row for each residual; the last one is the model. Its measures are those of the distributions that a
// replacement of the last residual predicts, and at most one rank is 1.
func TestLens(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		found := look(t, m, explain.Question{IDs: prompt}, inspect.Lens{Mid: true})
		L := m.Config().Layers
		mids := 0
		for _, tap := range m.Taps() {
			if strings.HasSuffix(tap.Name, "resid.mid") {
				mids++
			}
		}
		want := L + 1 + mids
		if m.Config().Recurrent() {
			want = L
		}
		if len(found.Rows) != want || len(found.Columns) != len(prompt) {
			t.Errorf("%d x %d, want %d x %d", len(found.Rows), len(found.Columns), want, len(prompt))
		}
		a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{prompt}, Taps: []lm.Tap{found.Rows[0]}})
		if err != nil {
			t.Fatal(err)
		}
		last := found.Rows[len(found.Rows)-1]
		b, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{prompt}, Logits: lm.AllLogits,
			Edits: []lm.Edit{{Tap: last, With: lm.FromValues(a.At[found.Rows[0]])}}})
		if err != nil {
			t.Fatal(err)
		}
		for p := range prompt {
			lp := slices.Clone(b.Logits[0].Index(p).Data)
			lm.LogSoftmax(lp)
			entropy, rank := 0.0, 1.0
			for _, v := range lp {
				entropy -= math.Exp(float64(v)) * float64(v)
				if v > lp[found.Target.ID] {
					rank++
				}
			}
			for name, want := range map[string]float64{
				"entropy": entropy, "log-probability of the target": float64(lp[found.Target.ID]), "rank": rank,
				"probability of the first": math.Exp(float64(slices.Max(lp))),
			} {
				if got := measure(t, found, name)[0][p]; math.Abs(got-want) > 1e-3*max(1, math.Abs(want)) {
					t.Errorf("%s at token %d is %g, want %g", name, p, got, want)
				}
			}
		}
		if settled := measure(t, found, "settled"); slices.Contains(settled[len(settled)-1], 0) {
			t.Error("the last lens has not settled on its own choice")
		}
	})
}

// Each measure can be shown, and an unknown one is an error that lists them.
func TestLensShows(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for _, name := range inspect.LensMeasures {
		found := look(t, m, explain.Question{IDs: prompt}, inspect.Lens{Show: name})
		if (found.Words != nil) != (name == "top") {
			t.Errorf("%s: words %v", name, found.Words)
		}
	}
	_, err := explain.Inside(context.Background(), m, explain.Question{IDs: prompt}, inspect.Lens{Show: "x"})
	if err == nil || !strings.Contains(err.Error(), "it measures top, target") {
		t.Error(err)
	}
}
