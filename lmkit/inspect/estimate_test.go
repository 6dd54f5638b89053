package inspect_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// An estimate is the slope of a patch that goes a small part of the way, in models of every family and an LSTM, and the
// identities of a sweep hold beside it.
func TestEstimateIsASlope(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		ats := []string{"resid.mid", "z", "q", "k", "pattern", "mlp.out"}
		if m.Config().Recurrent() {
			ats = []string{"hidden", "cell", "gate.f"}
		}
		for n, at := range ats {
			if at == "resid.mid" && m.Config().Residual != "sequential" {
				at = "resid.pre"
			}
			x := look(t, m, question(t, m), inspect.Patch{At: at, IDs: corruptedIDs, Noising: n%2 == 0, Estimate: true,
				Verify: 4})
			if last := x.Evidence.Identities[len(x.Evidence.Identities)-1]; !strings.Contains(last.Name, "small part") {
				t.Errorf("%s: the last identity is %q", at, last.Name)
			}
			if m.Config().Attends() != (len(x.More) == 2) {
				t.Errorf("%s: %d measures beside", at, len(x.More))
			}
		}
	})
}

// Where the difference of the two versions is half as large, the error of an estimate, which is linear, is a quarter.
func TestEstimateErrorIsOfSecondOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := question(t, m)
		tap := lm.Tap("block.1.mlp.out")
		if m.Config().Recurrent() {
			tap = "lstm.1.pre"
		}
		of := lm.Objective{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: q.Target[0], Weight: 1},
			{Pos: -1, ID: q.Foil[0], Weight: -1}}}
		// rows: the donor, and the other prompt with a part of the donor's activation
		const parts = 4
		query := lm.Query{Of: []lm.Objective{of}, Wrt: []lm.Tap{tap}}
		query.Rows = append(query.Rows, cleanIDs)
		for i := range parts {
			query.Rows = append(query.Rows, corruptedIDs)
			query.Edits = append(query.Edits, lm.Edit{Tap: tap, Rows: []int{i + 1}, Keep: 1 - part(i), With: lm.FromRow(0)})
		}
		a, err := m.Run(context.Background(), query)
		if err != nil {
			t.Fatal(err)
		}
		grad, from, to := a.Grad[tap].Index(parts).Data, a.At[tap].Index(parts).Data, a.At[tap].Index(0).Data
		slope := 0.0
		for k := range grad {
			slope += float64(to[k]-from[k]) * float64(grad[k]) / (1 - part(parts-1))
		}
		off := func(i int) float64 {
			return math.Abs(a.Values[i+1] - a.Values[parts] - slope*(part(i)-part(parts-1)))
		}
		if whole, half := off(0), off(1); half > max(1e-5, 0.01*math.Abs(slope)*part(1)) && whole/half < 2.5 {
			t.Errorf("the error is %v of a 32nd of the way, and %v of a 64th", whole, half)
		}
	})
}

// part is how far row i goes: a 32nd of the way, a 64th, a 128th and, the last one, not at all.
func part(i int) float64 {
	if i == 3 {
		return 0
	}
	return 1 / float64(int(32)<<i)
}

// Behind one layer of attention that hardly moves the residual stream, the objective is linear in the pattern: with the
// pattern computed anew (AtP*) the estimate of a query or a key is exact, and without it is not.
func TestFixesAreExactForALinearReadout(t *testing.T) {
	c := lm.Config{Arch: lm.Transformer, Vocab: 16, Width: 16, Layers: 1, Heads: 2, Context: 16}
	m := changed(t, lively(t, c, nil, 30), func(name string, w lm.Array) {
		for i := range w.Data {
			switch {
			case strings.Contains(name, "mlp"):
				w.Data[i] = 0
			case strings.Contains(name, "attn.out"):
				w.Data[i] *= 1e-3
			}
		}
	})
	q := question(t, m)
	for _, at := range []string{"q", "k"} {
		// the target is read at the last token: let that differ, too
		ids := append(append([]token.ID(nil), corruptedIDs[:4]...), 11)
		x := look(t, m, q, inspect.Patch{At: at, By: inspect.ByPosition, IDs: ids})
		est := look(t, m, q, inspect.Patch{At: at, By: inspect.ByPosition, IDs: ids, Estimate: true})
		plain, off, without := est.More[0].Values, 0.0, 0.0
		largest := 0.0
		for i, row := range x.Values {
			for j, v := range row {
				off = max(off, math.Abs(v-est.Values[i][j]))
				without = max(without, math.Abs(v-plain[i][j]))
				largest = max(largest, math.Abs(v))
			}
		}
		if off > 0.02*largest || without < 0.1*largest {
			t.Errorf("%s: the estimate is off by %.3g, without the fix by %.3g, of effects up to %.3g", at, off, without,
				largest)
		}
	}
}
