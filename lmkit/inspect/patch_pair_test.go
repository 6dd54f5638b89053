package inspect_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// At one position of both prompts, patches between two positions are those of the whole sweep there, whatever the
// activation, to the bit.
func TestPatchAtOnePosition(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := question(t, m)
		for _, noising := range []bool{false, true} {
			for at := range cleanIDs {
				x := look(t, m, q, inspect.Patch{IDs: corruptedIDs, Noising: noising, Positions: []int{at, at}})
				for k, kind := range x.Columns {
					whole := look(t, m, q, inspect.Patch{IDs: corruptedIDs, Noising: noising, At: kind})
					for l := range x.Rows {
						if got, want := x.Values[l][k], whole.Values[l][at]; math.Abs(got-want) > 1e-5 {
							t.Errorf("%s of layer %d at %d, noising %v: %v, want %v", kind, l, at, noising, got, want)
						}
					}
				}
			}
		}
	})
}

// Between any two positions, of prompts of any lengths, a cell is what the objective becomes when what was recorded at
// the one is given by its numbers at the other.
func TestPatchBetweenPositions(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := question(t, m)
		tap := lm.Tap("block.1.attn.z")
		if m.Config().Recurrent() {
			tap = "lstm.1.cell"
		}
		kind := tap[strings.Index(tap, "1.")+2:]
		for _, other := range [][]token.ID{corruptedIDs, {5, 3}, {5, 2, 9, 1, 12, 7, 6}} {
			of := lm.Objective{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: q.Target[0], Weight: 1}, {Pos: -1, ID: q.Foil[0],
				Weight: -1}}}
			run := func(edits ...lm.Edit) *lm.Answer {
				a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{cleanIDs, other}, Of: []lm.Objective{of},
					Taps: []lm.Tap{tap}, Edits: edits})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			both := run()
			difference := both.Values[0] - both.Values[1]
			for n, at := range [][]int{{3, 1}, {0, 1}, {4, len(other) - 1}} {
				noising, from, into := n%2 == 0, 0, 1
				if noising {
					from, into = 1, 0
				}
				x, err := explain.Inside(context.Background(), m, q, inspect.Patch{IDs: other, At: kind, Layers: []int{1},
					Noising: noising, Positions: at})
				if err != nil && strings.Contains(err.Error(), "too small") {
					continue // two prompts that happen to be answered alike
				}
				if err != nil {
					t.Fatal(err)
				}
				if broken := x.Evidence.Broken(); broken != nil {
					t.Errorf("%v of %v: %v", at, other, broken)
				}
				e := lm.Edit{Tap: tap, Rows: []int{into}, Positions: []int{at[into]},
					With: lm.FromValues(both.At[tap].Index(from, at[from]))}
				column := len(x.Columns) - 1
				if heads := len(x.Columns); kind == "attn.z" {
					e.Heads = []int{heads - 1}
				}
				want := math.Abs(run(e).Values[into]-both.Values[into]) / math.Abs(difference)
				if got := math.Abs(x.Values[0][column]); math.Abs(got-want) > 1e-3*max(1, want) {
					t.Errorf("%s of %v between %v: %v, want %v", kind, other, at, got, want)
				}
			}
		}
	})
}

// What makes no patch between two positions is refused in a line that says what would do.
func TestPatchBetweenPositionsRefuses(t *testing.T) {
	m := lively(t, lm.Config{Arch: lm.Transformer, Vocab: 16, Width: 16, Layers: 2, Heads: 2, Context: 16}, nil, 10)
	q := question(t, m)
	for _, c := range []struct {
		x    inspect.Patch
		says string
	}{
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{1}}, "one of the clean prompt and one of the corrupted one"},
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{5, 1}}, "the clean prompt has no position 5"},
		{inspect.Patch{IDs: corruptedIDs[:3], Positions: []int{4, 3}}, "the corrupted prompt has no position 3"},
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{1, -1}}, "no position -1"},
		{inspect.Patch{IDs: cleanIDs, Positions: []int{1, 1}}, "nothing to compare"},
		{inspect.Patch{Positions: []int{1, 1}}, "give a corrupted one"},
		{inspect.Patch{Positions: []int{1, 1}, With: inspect.WithZero}, "no second prompt"},
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{1, 1}, Estimate: true}, "leave out estimate"},
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{1, 1}, By: inspect.ByPosition}, "leave out by"},
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{1, 1}, At: "pattern"}, "not of one token"},
		{inspect.Patch{IDs: corruptedIDs, Positions: []int{1, 1}, At: "nothing"}, "resid.pre"},
	} {
		_, err := explain.Inside(context.Background(), m, q, c.x)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want an error that says %q", c.x, err, c.says)
		}
	}
}
