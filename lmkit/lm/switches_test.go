package lm_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

func ask(t *testing.T, m *lm.Model, q lm.Query) *lm.Answer {
	t.Helper()
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func logitOf(id token.ID) []lm.Objective {
	return []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: id, Weight: 1}}}}
}

// Gradients are what central differences of the values come to, by the embeddings and by activations inside: along a
// random direction, and so along all.
func TestSwitchesGradients(t *testing.T) {
	lmtest.EachRandom(t, backendtest.PureGo(t), 48, func(t *testing.T, m *lm.Model, rng *rand.Rand) {
		row := someTokens(rng, 6, lmtest.Vocab)
		taps := []lm.Tap{"embed", "block.1.attn.k", "block.1.attn.v", "block.0.attn.scores", "block.1.mlp.post",
			"block.1.resid.pre"}
		for _, tap := range tapNames(m) {
			if strings.HasSuffix(tap, "_rot") && strings.HasPrefix(tap, "block.0.") || tap == "pos_embed" ||
				strings.HasSuffix(tap, ".scale") && strings.HasPrefix(tap, "block.0.") {
				taps = append(taps, tap)
			}
		}
		a := ask(t, m, lm.Query{Rows: [][]token.ID{row}, Wrt: taps, Of: logitOf(5)})
		for _, tap := range taps {
			x, g := a.At[tap], a.Grad[tap].Data
			direction, along := make([]float64, len(g)), 0.0
			for i := range direction {
				direction[i] = rng.NormFloat64() / math.Sqrt(float64(len(g)))
				if strings.HasSuffix(tap, ".scale") { // divides, and may be small
					direction[i] *= float64(x.Data[i])
				}
				along += direction[i] * float64(g[i])
			}
			q := lm.Query{Of: logitOf(5)}
			for r, step := range []float64{0.02, -0.02, 0.01, -0.01} {
				moved := lm.Array{Dims: x.Dims, Data: make([]float32, len(g))}
				for i, v := range x.Data {
					moved.Data[i] = v + float32(step*direction[i])
				}
				q.Rows = append(q.Rows, row)
				q.Edits = append(q.Edits, lm.Edit{Tap: tap, Rows: []int{r}, With: lm.FromValues(moved)})
			}
			v := ask(t, m, q).Values
			difference := (4*(v[2]-v[3])/0.02 - (v[0]-v[1])/0.04) / 3 // without the error of the second order
			if off := math.Abs(difference - along); off > 2e-3+5e-3*math.Abs(along) {
				t.Errorf("%s: the gradient says %v, the values %v", tap, along, difference)
			}
		}
	})
}

// The program that computes one token's prediction alone gives what the whole one does, values and gradients.
func TestSwitchesLastToken(t *testing.T) {
	lmtest.EachRandom(t, backendtest.PureGo(t), 48, func(t *testing.T, m *lm.Model, rng *rand.Rand) {
		var rows [][]token.ID
		for _, n := range []int{7, 3, 5} {
			rows = append(rows, someTokens(rng, n, lmtest.Vocab))
		}
		q := lm.Query{Rows: rows, Of: logitOf(2), Wrt: []lm.Tap{"embed", "block.0.attn.k"}, Logits: lm.LastLogits}
		last := ask(t, m, q)
		q.Taps = []lm.Tap{"head.in"}
		whole := ask(t, m, q)
		closeTo(t, "value", floats(last.Values), floats(whole.Values))
		closeTo(t, "logits", join(last.Logits), join(whole.Logits))
		for _, tap := range q.Wrt {
			closeTo(t, tap, last.Grad[tap].Data, whole.Grad[tap].Data)
		}
		for i, row := range rows { // and a row's neighbours change nothing
			alone := ask(t, m, lm.Query{Rows: [][]token.ID{row}, Of: logitOf(2)})
			closeTo(t, fmt.Sprint("row ", i), floats(alone.Values), floats(whole.Values[i:i+1]))
		}
	})
}

// Relevance is conserved, and DeepLIFT's contributions are complete, whatever the switches.
func TestSwitchesRules(t *testing.T) {
	lmtest.EachRandom(t, backendtest.PureGo(t), 32, func(t *testing.T, m *lm.Model, rng *rand.Rand) {
		row, base := someTokens(rng, 6, lmtest.Vocab), someTokens(rng, 6, lmtest.Vocab)
		for _, rules := range []lm.Rules{lm.AttnLRP, lm.CPLRP} {
			tap := lm.Tap("block.0.resid.pre")
			a := ask(t, m, lm.Query{Rows: [][]token.ID{row}, Wrt: []lm.Tap{tap}, Rules: rules, Of: logitOf(4)})
			shared := total(times(a.At[tap].Data, a.Grad[tap].Data)) + a.Constants[0]
			if math.Abs(shared-a.Values[0]) > 1e-3*max(1, math.Abs(a.Values[0])) {
				t.Errorf("%s: tokens and constants get %v of %v", rules, shared, a.Values[0])
			}
		}
		a := ask(t, m, lm.Query{Rows: [][]token.ID{row, base}, Wrt: []lm.Tap{"embed", "block.1.resid.pre"},
			Rules: lm.DeepLIFT, Of: append(logitOf(4), logitOf(4)...)})
		for _, tap := range []lm.Tap{"embed", "block.1.resid.pre"} {
			completeAt(t, a, tap, 0, 1e-3)
		}
	})
}

// Where all of an activation is copied from another row, the rest of the model goes on as in that row.
func TestSwitchesPatchAll(t *testing.T) {
	lmtest.EachRandom(t, backendtest.PureGo(t), 16, func(t *testing.T, m *lm.Model, rng *rand.Rand) {
		rows := [][]token.ID{someTokens(rng, 6, lmtest.Vocab), someTokens(rng, 6, lmtest.Vocab)}
		for _, tap := range []lm.Tap{"embed", "block.1.resid.pre", "block.1.resid.post", "head.in"} {
			a := ask(t, m, lm.Query{Rows: rows, Logits: lm.AllLogits,
				Edits: []lm.Edit{{Tap: tap, Rows: []int{1}, With: lm.FromRow(0)}}})
			closeTo(t, tap, a.Logits[1].Data, a.Logits[0].Data)
		}
	})
}

// Reading on with what is kept of earlier tokens is reading at once: windows, rotations and all.
func TestSwitchesDecode(t *testing.T) {
	lmtest.EachRandom(t, backendtest.Either(t), 8, func(t *testing.T, m *lm.Model, rng *rand.Rand) {
		rows := [][]token.ID{someTokens(rng, 11, lmtest.Vocab), someTokens(rng, 11, lmtest.Vocab)}
		cut := func(from, to int) (part [][]token.ID) {
			for _, r := range rows {
				part = append(part, r[from:to])
			}
			return part
		}
		d, err := m.Decode(context.Background(), cut(0, 3), 8, lm.Sampling{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for n := 3; ; n++ {
			sameLogProbs(t, fmt.Sprint(n, " tokens"), logits(t, d), atOnce(t, m, cut(0, n)))
			if n == 11 {
				return
			}
			if err := d.Push(context.Background(), []token.ID{rows[0][n], rows[1][n]}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
