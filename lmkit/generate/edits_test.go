package generate_test

import (
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// pushed is an edit that adds a direction to the only layer of a small model.
func pushed(m *lm.Model) lm.Edit {
	v := lm.Array{Dims: []int{m.ResidualWidth()}}
	for i := range m.ResidualWidth() {
		v.Data = append(v.Data, float32(i%3-1))
	}
	e := lm.Edit{Tap: "block.0.resid.pre", Add: true, Times: 1.5, With: lm.FromValues(v)}
	if m.Config().Recurrent() {
		e.Tap = "lstm.0.hidden"
	}
	return e
}

// A text that is steered at its prompt alone, or only at what is written, is what the model says when it reads the text
// at once under an edit of these positions: the others' own is 0. It goes on so when a full context slides, and beside
// prompts of other lengths.
func TestEditsOfAPart(t *testing.T) {
	for _, e := range engines(t) {
		for _, c := range []lm.Config{transformer, lstm} {
			m := loud(t, e, c, char(t))
			for _, part := range []generate.Part{generate.Whole, generate.OfPrompt, generate.OfWritten} {
				t.Run(e.Kind+"/"+c.Arch+"/"+string(part), func(t *testing.T) {
					how := generate.Config{Tokens: 22, Edits: []lm.Edit{pushed(m)}, Part: part, PastEnd: true}
					enc, err := m.Tokenizer().Encode("a bad egg")
					if err != nil {
						t.Fatal(err)
					}
					text, prompt, moved := enc.IDs, len(enc.IDs), 0
					for k, got := range stream(t, m, enc.IDs, how) {
						if c.Arch == lm.Transformer && len(text) > c.Context {
							forgotten := len(text) - c.Context/2
							text, prompt = text[forgotten:], max(0, prompt-forgotten)
						}
						want := logProbs(t, m, text, prompt, part)
						plain := logProbs(t, m, text, prompt, "none")
						if math.Abs(want[got.ID]-got.LogProb) > 2e-3 {
							t.Fatalf("token %d has %v, want %v", k, got.LogProb, want[got.ID])
						}
						if math.Abs(plain[got.ID]-want[got.ID]) > 1e-2 {
							moved++
						}
						if k == 0 && part == generate.OfWritten && moved > 0 {
							t.Error("the first token is chosen before anything is written")
						}
						text = append(text, got.ID)
					}
					if moved == 0 {
						t.Error("the edit changes nothing")
					}
					both, err := generate.Batch(ctx, m, []string{"a bad egg", "head"}, how)
					if err != nil {
						t.Fatal(err)
					}
					for i, prompt := range []string{"a bad egg", "head"} {
						if one, err := generate.Text(ctx, m, prompt, how); err != nil || one != both[i] {
							t.Errorf("%q beside another, %q alone (%v)", both[i], one, err)
						}
					}
				})
			}
		}
	}
}

// logProbs reads a text at once, edited at the positions of a part.
func logProbs(t *testing.T, m *lm.Model, text []token.ID, prompt int, part generate.Part) []float64 {
	t.Helper()
	edit := pushed(m)
	for i := range text {
		if part == generate.Whole || (i < prompt) == (part == generate.OfPrompt) {
			edit.Positions = append(edit.Positions, i)
		}
	}
	q := lm.Query{Rows: [][]token.ID{text}, Logits: lm.LastLogits}
	if part != "none" && edit.Positions != nil {
		q.Edits = []lm.Edit{edit}
	}
	a, err := m.Run(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	x := a.Logits[0].Data
	lm.LogSoftmax(x)
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// A part that no text has is a mistake.
func TestWrongPart(t *testing.T) {
	if err := (generate.Config{Part: "end"}).Validate(); err == nil || !strings.Contains(err.Error(), "[prompt written]") {
		t.Error(err)
	}
}
