package inspect_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// stepped is the model after a plain step on a text at a learning rate.
func stepped(t *testing.T, m *lm.Model, ids []token.ID, rate float64) *lm.Model {
	t.Helper()
	targets := append(append([]token.ID{}, ids[1:]...), -1)
	_, by, err := m.Learning(context.Background(), ids, targets)
	if err != nil {
		t.Fatal(err)
	}
	ws, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range ws {
		for i, g := range by[name].Data {
			w.Data[i] -= float32(rate) * g
		}
	}
	next, err := lm.FromWeights(m.Engine(), m.Config(), m.Tokenizer(), ws)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Close)
	return next
}

// Of texts of random letters one is there several times. Begun again, it is found first among those that the model
// learned from, and what it is said to move the prediction by is what a step on it does move it by.
func TestInfluenceFindsADuplicate(t *testing.T) {
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m, rng := reader(t, arch), rand.New(rand.NewPCG(9, 9))
		const texts, planted, epochs, rate = 16, 7, 6, 0.03
		x := inspect.Influence{Top: 3}
		for range texts {
			var text strings.Builder
			for range 8 {
				text.WriteByte(byte('a' + rng.IntN(26)))
			}
			e, err := m.Tokenizer().Encode(text.String())
			if err != nil {
				t.Fatal(err)
			}
			x.Texts = append(x.Texts, inspect.Lesson{Text: text.String(), IDs: e.IDs, First: 1, Times: 1})
		}
		x.Texts[planted].Times = 5
		for epoch := range epochs {
			for i, z := range x.Texts {
				if i == planted && epoch%2 == 1 {
					at := m
					x.Checkpoints = append(x.Checkpoints, inspect.Checkpoint{Step: epoch, Rate: rate,
						Open: func(context.Context) (*lm.Model, error) {
							ws, err := at.Weights()
							if err != nil {
								return nil, err
							}
							return lm.FromWeights(at.Engine(), at.Config(), at.Tokenizer(), ws)
						}})
				}
				for range z.Times {
					m = stepped(t, m, z.IDs, rate)
				}
			}
		}
		z := x.Texts[planted]
		q := explain.Question{IDs: z.IDs[:6], Target: z.IDs[6:7], Objective: explain.LogProb}
		found, err := explain.Inside(context.Background(), m, q, x)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(found.Rows[0], z.Text+" (5 times)") || len(found.Rows) != 6 {
			t.Errorf("%s: found %v, and not %s first: %v", arch, found.Rows, z.Text, found.Values)
		}
		if broken := found.Evidence.Broken(); broken != nil {
			t.Errorf("%s: %v: %+v", arch, broken, found.Evidence.Identities)
		}
		before, err := x.Checkpoints[epochs/2-1].Open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		says := func(m *lm.Model) float64 {
			a, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{q.IDs},
				Of: []lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: q.Target[0], Weight: 1}}}}})
			if err != nil {
				t.Fatal(err)
			}
			return a.Values[0]
		}
		moved := (says(stepped(t, before, z.IDs, rate/64)) - says(before)) * 64
		before.Close()
		if got := found.Values[0][epochs/2] / 5; math.Abs(got/moved-1) > 0.15 {
			t.Errorf("%s: a step moves the prediction by %.4g, and the score is %.4g", arch, moved, got)
		}
	}
}

// What influence cannot be asked about is said.
func TestInfluenceRefuses(t *testing.T) {
	m := reader(t, lm.Transformer)
	at := inspect.Checkpoint{Open: func(context.Context) (*lm.Model, error) { return reader(t, lm.LSTM), nil }}
	text := inspect.Lesson{Text: "ab", IDs: []token.ID{1, 2}, First: 1, Times: 1}
	for want, x := range map[string]inspect.Influence{
		"give checkpoints": {Texts: []inspect.Lesson{text}},
		"give some":        {Checkpoints: []inspect.Checkpoint{at}},
		"nothing that was": {Checkpoints: []inspect.Checkpoint{at}, Texts: []inspect.Lesson{{IDs: []token.ID{1}, First: 1}}},
		"another shape":    {Checkpoints: []inspect.Checkpoint{at}, Texts: []inspect.Lesson{text}},
	} {
		_, err := explain.Inside(context.Background(), m, explain.Question{Prompt: "abc"}, x)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
