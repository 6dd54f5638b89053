package inspect_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// lively returns a model of random weights that are so many times as large as fresh ones, which hardly move anything.
func lively(t *testing.T, c lm.Config, tok token.Tokenizer, times float32) *lm.Model {
	t.Helper()
	m, err := lm.New(backendtest.PureGo(t), c, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return changed(t, m, func(name string, w lm.Array) {
		if strings.Contains(name, "ln") || strings.Contains(name, "final") {
			return
		}
		for i := range w.Data {
			w.Data[i] *= times
		}
	})
}

// changed returns a model with other weights.
func changed(t *testing.T, m *lm.Model, change func(name string, w lm.Array)) *lm.Model {
	t.Helper()
	weights, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range weights {
		change(name, w)
	}
	x, err := lm.FromWeights(m.Engine(), m.Config(), m.Tokenizer(), weights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// Two prompts that differ at their fourth token alone.
var (
	cleanIDs     = []token.ID{4, 1, 12, 7, 3}
	corruptedIDs = []token.ID{4, 1, 12, 5, 3}
)

// question is about a contrast on which the two prompts differ.
func question(t *testing.T, m *lm.Model) explain.Question {
	t.Helper()
	a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{cleanIDs, corruptedIDs}, Logits: lm.LastLogits})
	if err != nil {
		t.Fatal(err)
	}
	up, down := token.ID(0), token.ID(0)
	moved := func(i token.ID) float32 { return a.Logits[0].Data[i] - a.Logits[1].Data[i] }
	for i := range a.Logits[0].Data {
		if moved(token.ID(i)) > moved(up) {
			up = token.ID(i)
		}
		if moved(token.ID(i)) < moved(down) {
			down = token.ID(i)
		}
	}
	return explain.Question{IDs: cleanIDs, Target: []token.ID{up}, Foil: []token.ID{down}}
}

// Whatever is patched in a model of random weights, in either direction: a patch of everything does everything, one of
// nothing does nothing, and before the versions differ there is nothing to patch, to the bit.
func TestPatchIdentities(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := question(t, m)
		for n, info := range m.Taps() {
			at, first := strings.CutPrefix(info.Name, "block.1.")
			if !first {
				at, first = strings.CutPrefix(info.Name, "lstm.1.")
			}
			if !first || len(info.Axes) < 3 || strings.Contains(at, "norm") || strings.Contains(at, "ln") {
				continue
			}
			by := map[bool]string{true: inspect.ByPosition}[n%3 == 0]
			x := look(t, m, q, inspect.Patch{At: at, By: by, Noising: n%2 == 0, IDs: corruptedIDs})
			for _, i := range x.Evidence.Identities {
				if strings.Contains(i.Name, "differ") && i.Got != 0 {
					t.Errorf("%s: %v, want 0 to the bit", i.Name, i.Got)
				}
			}
		}
	})
}

// A cell is what the objective becomes when the recorded activation of the other prompt is given by its numbers.
func TestPatchIsAReplacement(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		q := question(t, m)
		at := "attn.z"
		if m.Config().Recurrent() {
			at = "gate.f"
		}
		x := look(t, m, q, inspect.Patch{At: at, By: inspect.ByPosition, Layers: []int{1}, IDs: corruptedIDs})
		tap := lm.Tap("block.1.attn.z")
		if m.Config().Recurrent() {
			tap = "lstm.1.gate.f"
		}
		of := lm.Objective{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: q.Target[0], Weight: 1}, {Pos: -1, ID: q.Foil[0],
			Weight: -1}}}
		both, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{cleanIDs, corruptedIDs},
			Of: []lm.Objective{of}, Taps: []lm.Tap{tap}})
		if err != nil {
			t.Fatal(err)
		}
		given := both.At[tap].Index(0)
		given.Dims = append([]int{1}, given.Dims...)
		for _, cell := range [][2]int{{0, 1}, {0, 3}, {len(x.Rows) - 1, 3}, {len(x.Rows) - 1, 4}} {
			e := lm.Edit{Tap: tap, Positions: []int{cell[1]}, With: lm.FromValues(given)}
			if at == "attn.z" {
				e.Heads = []int{cell[0]}
			}
			one, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{corruptedIDs}, Of: []lm.Objective{of},
				Edits: []lm.Edit{e}})
			if err != nil {
				t.Fatal(err)
			}
			want := (one.Values[0] - both.Values[1]) / (both.Values[0] - both.Values[1])
			if got := x.Values[cell[0]][cell[1]]; math.Abs(got-want) > 1e-3 {
				t.Errorf("%s of %v: %v, want %v", at, cell, got, want)
			}
		}
	})
}

// Of keys and values that several heads of queries share, a cell says which.
func TestPatchOfSharedHeads(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		c := m.Config()
		if c.KVHeads == 0 || c.KVHeads == c.Heads {
			return
		}
		x := look(t, m, question(t, m), inspect.Patch{At: "k", IDs: corruptedIDs})
		if len(x.Columns) != c.KVHeads || !strings.Contains(x.Columns[0], "0-") ||
			!slices.ContainsFunc(x.Notes, func(n string) bool { return strings.Contains(n, "shared") }) {
			t.Errorf("columns %v, notes %v: the heads are shared", x.Columns, x.Notes)
		}
	})
}

// Noise, zeros, means and other texts take the place of a corrupted prompt.
func TestPatchWithout(t *testing.T) {
	text := "the keys near the box are old . the key is here . the boxes are here . "
	tok, err := token.NewWord(slices.Values([]string{text}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m := lively(t, lm.Config{Arch: lm.Transformer, Vocab: tok.Size(), Width: 16, Layers: 2, Heads: 2, Context: 16}, tok,
		10)
	are, box := token.ID(0), token.ID(0)
	for i := range tok.Size() {
		switch tok.Token(token.ID(i)) {
		case "are":
			are = token.ID(i)
		case "box":
			box = token.ID(i)
		}
	}
	q := explain.Question{Prompt: "the keys near the box", Target: []token.ID{are},
		Foil: []token.ID{box}, Objective: explain.Contrast}
	donors := []string{"the key is here . the box", "the boxes are here . the key", "are"}
	for _, with := range []string{inspect.WithNoise, inspect.WithZero, inspect.WithMean, inspect.WithResample} {
		t.Run(with, func(t *testing.T) {
			x := inspect.Patch{At: "z", With: with}
			switch with {
			case inspect.WithNoise:
				x.Subject = "near the box"
			case inspect.WithMean, inspect.WithResample:
				x.Donors = donors
			}
			got := look(t, m, q, x)
			if (with == inspect.WithNoise || with == inspect.WithResample) != (got.Spread != nil) {
				t.Errorf("spread: %v", got.Spread)
			}
		})
	}
}

// What cannot be patched is refused in a line that says what would do.
func TestPatchRefuses(t *testing.T) {
	m := lively(t, lm.Config{Arch: lm.Transformer, Vocab: 16, Width: 16, Layers: 2, Heads: 2, Context: 16}, nil, 10)
	q := question(t, m)
	same := q
	same.Objective, same.Foil = explain.Prob, nil
	for _, c := range []struct {
		q    explain.Question
		x    inspect.Patch
		says string
	}{
		{q, inspect.Patch{}, "give a corrupted one"},
		{q, inspect.Patch{IDs: corruptedIDs[:4]}, "choose words of as many tokens"},
		{q, inspect.Patch{IDs: cleanIDs}, "nothing to compare"},
		{same, inspect.Patch{IDs: corruptedIDs}, "too small to be shared out"},
		{q, inspect.Patch{IDs: corruptedIDs, At: "resid.prae"}, "resid.pre"},
		{q, inspect.Patch{IDs: corruptedIDs, Layers: []int{2}}, "there is no layer 2"},
		{q, inspect.Patch{IDs: corruptedIDs, By: inspect.ByHead}, "has no heads"},
		{q, inspect.Patch{IDs: corruptedIDs, With: "nothing"}, "resample"},
		{q, inspect.Patch{With: inspect.WithNoise}, "noise"},
	} {
		_, err := explain.Inside(context.Background(), m, c.q, c.x)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want an error that says %q", c.x, err, c.says)
		}
	}
}
