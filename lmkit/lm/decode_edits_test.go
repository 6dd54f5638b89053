package lm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// A decoder with edits has, at every step, the logits of the whole text under the same edits, at all positions or at
// some: in every family and in an LSTM, with and without a memory of earlier tokens, as one program and as a chain.
func TestDecodeEdits(t *testing.T) {
	check := func(t *testing.T, m *lm.Model) {
		ctx, rng := context.Background(), rand.New(rand.NewPCG(8, 1))
		v := lm.Array{Dims: []int{m.ResidualWidth()}}
		for range m.ResidualWidth() {
			v.Data = append(v.Data, float32(rng.NormFloat64()))
		}
		edits := []lm.Edit{
			{Tap: "lstm.0.hidden", Add: true, Times: 0.5, With: lm.FromValues(v)},
			{Tap: "lstm.1.cell", Rows: []int{1}, Keep: 0.5, With: lm.Zero()},
			{Tap: "lstm.1.pre", Positions: []int{1, 4, 6}, With: lm.Zero()},
		}
		if m.Config().Attends() {
			edits = []lm.Edit{
				{Tap: "block.0.resid.post", Add: true, Times: 0.5, With: lm.FromValues(v)},
				{Tap: "block.1.attn.out", Add: true, Times: -1, With: lm.Along(v)},
				{Tap: "block.1.attn.z", Rows: []int{1}, Heads: []int{0}, With: lm.Zero()},
				{Tap: "block.1.resid.pre", Rows: []int{0}, Positions: []int{0, 2}, Keep: 0.25, With: lm.Zero()},
				{Tap: "block.1.resid.pre", Rows: []int{1}, Positions: []int{4, 6, 9}, With: lm.Zero()},
			}
		}
		rows := [][]token.ID{someTokens(rng, 4, lmtest.Vocab), someTokens(rng, 4, lmtest.Vocab)}
		d, err := m.Decode(ctx, rows, 2, lm.Sampling{}, edits...)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for step := range 4 { // the last ones read the text again, into a larger memory
			got, err := d.Logits()
			if err != nil {
				t.Fatal(err)
			}
			want := ask(t, m, lm.Query{Rows: rows, Edits: within(edits, len(rows[0])), Logits: lm.LastLogits})
			plain := ask(t, m, lm.Query{Rows: rows, Logits: lm.LastLogits})
			for i := range rows {
				closeTo(t, fmt.Sprintf("step %d, row %d", step, i), got[i], want.Logits[i].Data)
				if step == 0 && fmt.Sprint(plain.Logits[i].Data) == fmt.Sprint(want.Logits[i].Data) {
					t.Error("the edits change nothing")
				}
			}
			next := []token.ID{token.ID(step), lm.Chosen}
			rows[0] = append(rows[0], next[0])
			rows[1] = append(rows[1], d.Choices()[1].ID)
			if err := d.Push(ctx, next); err != nil {
				t.Fatal(err)
			}
		}
	}
	lmtest.EachModel(t, backendtest.PureGo(t), check)
	for _, name := range []string{"lstm", "gpt2"} { // with a memory
		t.Run("compiled/"+name, func(t *testing.T) { check(t, openReference(t, backendtest.Engine(t), name).Model) })
	}
}

// within leaves of the positions of edits those that a text of n tokens has.
func within(edits []lm.Edit, n int) (out []lm.Edit) {
	for _, e := range edits {
		if e.Positions != nil {
			e.Positions = slices.DeleteFunc(slices.Clone(e.Positions), func(t int) bool { return t >= n })
		}
		out = append(out, e)
	}
	return out
}

// What cannot hold at every token is an error that says why.
func TestDecodeEditsMistaken(t *testing.T) {
	m := openReference(t, backendtest.PureGo(t), "gpt2").Model
	one, two := lm.Array{Dims: []int{8}, Data: make([]float32, 8)}, lm.Array{Dims: []int{2, 8}, Data: make([]float32, 16)}
	for want, edits := range map[string][]lm.Edit{
		"from its beginning":   {{Tap: "embed", Positions: []int{-1}}},
		"the same part":        {{Tap: "embed", Positions: []int{2, 9}}, {Tap: "embed", Rows: []int{0}, Positions: []int{9}}},
		"there is no row 1":    {{Tap: "embed", Rows: []int{1}}},
		"from another row":     {{Tap: "embed", With: lm.FromRow(0)}},
		"cannot be replaced":   {{Tap: "head.in"}},
		"values of shape":      {{Tap: "embed", With: lm.FromValues(two)}},
		"have several sources": {{Tap: "embed", With: lm.FromValues(one)}, {Tap: "embed", With: lm.Zero()}},
		"no activation":        {{Tap: "x"}},
	} {
		_, err := m.Decode(context.Background(), [][]token.ID{{1, 2}}, 1, lm.Sampling{}, edits...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
