package inspect_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// However a difference of logits is split, the parts and the constant come to it, in every family and with every
// switch: with random gains and biases, norms before, behind and over sums, parallel layers, capped logits.
func TestDirect(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		for _, by := range inspect.DirectParts {
			tool := inspect.Direct{By: by, Top: 5}
			if explain.Suits(tool, m, explain.Question{}) != nil {
				continue
			}
			found := look(t, m, explain.Question{IDs: prompt}, tool)
			if want := 3; m.Config().LogitCap == 0 && by != "component" && len(found.Evidence.Identities) < want &&
				!(m.Config().Recurrent() && by == "neuron") {
				t.Errorf("by %s: %d identities, want %d", by, len(found.Evidence.Identities), want)
			}
			look(t, m, explain.Question{IDs: prompt, Objective: explain.Logit}, tool)
		}
	})
}

// What a part writes directly is what the logits lose when it is taken out of the stream behind the last layer, with
// the final norm's scale held: by the gradient under the rules that hold it.
func TestDirectAgainstGradients(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		c := m.Config()
		if c.Recurrent() || c.NormsSums() || c.LogitCap != 0 {
			return
		}
		found := look(t, m, explain.Question{IDs: prompt}, inspect.Direct{})
		stream := lm.Tap("block." + string(rune('0'+c.Layers-1)) + ".resid.post")
		a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{prompt}, Wrt: []lm.Tap{stream}, Rules: lm.CPLRP,
			Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: token.ID(found.Target.ID), Weight: 1},
				{Pos: -1, ID: token.ID(found.Foil.ID), Weight: -1}}}},
			Taps: []lm.Tap{"block.0.resid.pre", "block.0.resid.post"}})
		if err != nil {
			t.Fatal(err)
		}
		last := len(prompt) - 1
		want, got := 0.0, 0.0
		for i, g := range a.Grad[stream].Index(0, last).Data {
			want += float64(g) * float64(a.At["block.0.resid.post"].Index(0, last).Data[i])
		}
		for i, row := range found.Rows {
			if !strings.HasPrefix(row, "block.") || strings.HasPrefix(row, "block.0.") {
				got += found.Values[i][0]
			}
		}
		// Biases of norms behind the sublayers are in the constant.
		if c.NormsAfter() && c.Centred() {
			return
		}
		if math.Abs(want-got) > 1e-3*max(1, math.Abs(want)) {
			t.Errorf("what is in the stream behind layer 0 comes to %v, by the gradient to %v", got, want)
		}
	})
}

// What does not suit a model or an objective is an error that says what would.
func TestDirectRefuses(t *testing.T) {
	ms := explaintest.Models(t)
	for _, x := range []struct {
		model, want string
		q           explain.Question
		tool        inspect.Direct
	}{
		{"lstm", "choose --by token", explain.Question{}, inspect.Direct{By: "head"}},
		{"gpt2", "not by \"x\"", explain.Question{}, inspect.Direct{By: "x"}},
		{"gpt2", "choose contrast or logit", explain.Question{Objective: explain.Prob}, inspect.Direct{}},
	} {
		x.q.IDs = prompt
		_, err := explain.Inside(context.Background(), ms[x.model], x.q, x.tool)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %s", err, x.want)
		}
	}
}
