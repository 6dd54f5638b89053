package lm_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// relevanceRules is the rules that conserve relevance, by architecture, and the activation that they are asked at.
func relevanceRules(m *lm.Model) ([]lm.Rules, lm.Tap) {
	if m.Config().Arch == lm.LSTM {
		return []lm.Rules{lm.LRP, lm.LRPHalf}, "embed"
	}
	return []lm.Rules{lm.AttnLRP, lm.CPLRP}, "block.0.resid.pre"
}

func times(a, b []float32) []float32 {
	out := make([]float32, len(a))
	for i := range a {
		out[i] = a[i] * b[i]
	}
	return out
}

func total(xs []float32) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += float64(x)
	}
	return sum
}

// The rules give what an implementation that hands relevance down by hand gives (bench/rules.py), and conserve it.
func TestReferenceRules(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.PureGo(t), backendtest.Engine(t)} {
		for i, name := range references {
			if e != backendtest.PureGo(t) && name != "gpt2" && name != "lstm" || !backendtest.Runs(e, i) {
				continue // to compile all takes long, and shows no more
			}
			t.Run(e.Kind+"/"+name, func(t *testing.T) {
				r := openReference(t, e, name)
				want, err := safetensors.ReadFile(filepath.Join("testdata", "reference", name, "rules.safetensors"))
				if err != nil {
					t.Fatal(err)
				}
				all, tap := relevanceRules(r.Model)
				for _, rules := range all {
					a, err := r.Run(context.Background(), lm.Query{Rows: r.rows(), Of: r.contrasts(), Wrt: []lm.Tap{tap},
						Rules: rules})
					if err != nil {
						t.Fatal(err)
					}
					near(t, "f", floats(a.Values), r.want["f"])
					got := times(a.At[tap].Data, a.Grad[tap].Data)
					near(t, string(rules), got, want[string(rules)])
					for b, f := range a.Values {
						n := len(got) / len(a.Values)
						if sum := total(got[b*n:(b+1)*n]) + a.Constants[b]; math.Abs(sum-f) > 1e-4*max(1, math.Abs(f)) {
							t.Errorf("%s: tokens and constants get %v of %v", rules, sum, f)
						}
					}
				}
				near(t, "deeplift", r.deepLIFT(t, want["baseline"]), want["deeplift"])
			})
		}
	}
}

// deepLIFT is the contributions of the token embeddings against one embedding in place of all.
func (r reference) deepLIFT(t *testing.T, baseline safetensors.Tensor) []float32 {
	q := lm.Query{Wrt: []lm.Tap{"embed"}, Rules: lm.DeepLIFT}
	for i, row := range r.rows() {
		q.Rows = append(q.Rows, row, row)
		q.Of = append(q.Of, r.contrasts()[i], r.contrasts()[i])
		q.Edits = append(q.Edits, lm.Edit{Tap: "embed", Rows: []int{2*i + 1}, With: lm.FromValues(lm.Array(baseline))})
	}
	a, err := r.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	var out []float32
	for i := range r.rows() {
		contributions, diff := completeAt(t, a, "embed", i, 1e-4)
		out = append(out, contributions...)
		if math.Abs(diff) < 1e-3 {
			t.Errorf("pair %d hardly differs: the test shows nothing", i)
		}
	}
	return out
}

// completeAt is the contributions of an activation to what sets pair i apart. It fails unless they add up.
func completeAt(t *testing.T, a *lm.Answer, tap lm.Tap, i int, tolerance float64) (contributions []float32,
	diff float64) {
	t.Helper()
	x, base, m := a.At[tap].Index(2*i).Data, a.At[tap].Index(2*i+1).Data, a.Grad[tap].Index(2*i).Data
	closeTo(t, tap+": the multipliers of input and baseline", m, a.Grad[tap].Index(2*i+1).Data)
	contributions = make([]float32, len(x))
	for k := range x {
		contributions[k] = (x[k] - base[k]) * m[k]
	}
	diff = a.Values[2*i] - a.Values[2*i+1]
	if off := math.Abs(total(contributions) - diff); off > tolerance*max(math.Abs(diff), 0.1) {
		t.Errorf("%s: the contributions add up to %v, want %v", tap, total(contributions), diff)
	}
	return contributions, diff
}

// Contributions are complete for every unit, at every activation that all of the input goes through, in pairs of
// different lengths, in small batches as in a large one, and with the rows that others copy from.
func TestDeepLIFTPairs(t *testing.T) {
	for _, name := range []string{"gpt2", "lstm"} {
		m := openReference(t, backendtest.PureGo(t), name)
		taps := []lm.Tap{"embed", "block.0.resid.mid", "block.1.resid.pre", "head.in"}
		copied := "block.0.attn.z"
		if name == "lstm" {
			taps, copied = []lm.Tap{"embed", "head.in"}, "lstm.0.gate.f"
		}
		for _, unit := range []lm.Unit{lm.Logit, lm.LogProb, lm.Prob} {
			q := lm.Query{Wrt: taps, Rules: lm.DeepLIFT}
			const pairs = 14
			for i := range pairs {
				n := 3 + i%5
				q.Rows = append(q.Rows, randomRow(uint64(2*i), n, 13), randomRow(uint64(2*i+1), n, 13))
				o := lm.Objective{Unit: unit, Terms: []lm.Term{{Pos: -1, ID: token.ID(i % 13), Weight: 1},
					{Pos: -2, ID: 3, Weight: -0.5}}}
				q.Of = append(q.Of, o, o)
				if i%3 == 0 { // both copy a part of one row: the same in both, so that it contributes nothing
					q.Edits = append(q.Edits, lm.Edit{Tap: copied, Rows: []int{2 * i, 2*i + 1}, Positions: []int{1},
						With: lm.FromRow((2*i + 11) % (2 * pairs))})
				}
			}
			whole, err := m.Run(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range pairs {
				for _, tap := range taps {
					completeAt(t, whole, tap, i, 1e-4)
				}
			}
			q.Memory = 1
			parts, err := m.Run(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			if parts.Cost.ForwardRows <= whole.Cost.ForwardRows {
				t.Errorf("%s: it was not split", name)
			}
			closeTo(t, name, parts.Grad["embed"].Data, whole.Grad["embed"].Data)
		}
	}
}

// Every activation can be recorded, differentiated by and replaced under all rules; values do not depend on them.
func TestRulesKeepTaps(t *testing.T) {
	for _, name := range []string{"gpt2", "lstm"} {
		m := openReference(t, backendtest.PureGo(t), name)
		all, _ := relevanceRules(m.Model)
		var edit lm.Edit
		if name == "gpt2" {
			edit = lm.Edit{Tap: "block.1.ln1.scale", Rows: []int{0},
				With: lm.FromValues(lm.Array{Dims: []int{1}, Data: []float32{0.7}})}
		} else {
			edit = lm.Edit{Tap: "lstm.1.gate.i", Rows: []int{0}, Positions: []int{2}, Keep: 0.5}
		}
		q := lm.Query{Rows: [][]token.ID{randomRow(1, 6, 13), randomRow(2, 6, 13)}, Wrt: tapNames(m.Model),
			Edits: []lm.Edit{edit},
			Of:    []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}}}
		want, err := m.Run(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, q.Rules = range append(all, lm.DeepLIFT) {
			got, err := m.Run(context.Background(), q)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, q.Rules, err)
			}
			closeTo(t, fmt.Sprint(name, q.Rules), floats(got.Values), floats(want.Values))
			for tap, x := range want.At {
				closeTo(t, tap, got.At[tap].Data, x.Data)
				for _, v := range got.Grad[tap].Data {
					if math.IsNaN(float64(v)) {
						t.Errorf("%s, %s: the gradient by %s is not a number", name, q.Rules, tap)
						break
					}
				}
			}
		}
	}
}

// A replaced LayerNorm scale is a constant under relevance, too: what comes in is shared out by the scale given.
func TestRulesOfAnEditedScale(t *testing.T) {
	m := openReference(t, backendtest.PureGo(t), "gpt2")
	row := randomRow(1, 6, 13)
	q := lm.Query{Rows: [][]token.ID{row}, Wrt: []lm.Tap{"block.0.resid.pre"}, Rules: lm.AttnLRP,
		Of:    []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}},
		Edits: []lm.Edit{{Tap: "final.scale", With: lm.FromValues(lm.Array{Dims: []int{1}, Data: []float32{0.5}})}}}
	a, err := m.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	tap := q.Wrt[0]
	sum := total(times(a.At[tap].Data, a.Grad[tap].Data)) + a.Constants[0]
	if math.Abs(sum-a.Values[0]) > 1e-4*max(1, math.Abs(a.Values[0])) {
		t.Errorf("tokens and constants get %v of %v", sum, a.Values[0])
	}
}

func TestRulesErrors(t *testing.T) {
	gpt2, lstm := tiny(t, lm.Transformer), tiny(t, lm.LSTM)
	logit := []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}}
	row, short := []token.ID{1, 2, 3}, []token.ID{1, 2}
	for _, tt := range []struct {
		m    *lm.Model
		q    lm.Query
		want string
	}{
		{gpt2, lm.Query{Rows: [][]token.ID{row}, Rules: lm.LRP}, "this model is a Transformer; use attn-lrp, " +
			"cp-lrp or deeplift"},
		{lstm, lm.Query{Rows: [][]token.ID{row}, Rules: lm.AttnLRP}, "this model is an LSTM; use lrp, lrp-half or deeplift"},
		{lstm, lm.Query{Rows: [][]token.ID{row}, Rules: "magic"}, `no rules "magic"`},
		{lstm, lm.Query{Rows: [][]token.ID{row}, Rules: lm.LRP, Of: []lm.Objective{{Unit: lm.Prob}}}, "shares out logits"},
		{lstm, lm.Query{Rows: [][]token.ID{row}, Rules: lm.DeepLIFT, Of: logit}, "odd number"},
		{gpt2, lm.Query{Rows: [][]token.ID{row, short}, Rules: lm.DeepLIFT, Of: logit}, "3 and 2 tokens"},
		{gpt2, lm.Query{Rows: [][]token.ID{row, row}, Rules: lm.DeepLIFT, Of: append(logit, lm.Objective{Unit: lm.Logit})},
			"one objective"},
	} {
		if _, err := tt.m.Run(context.Background(), tt.q); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got error %v, want one with %q", tt.q.Rules, err, tt.want)
		}
	}
}
