package lm_test

import (
	"context"
	"math"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// The loss is the sum of what the targets' log-probabilities lack, and a small step against the gradient lowers it by
// the step times the gradient's square.
func TestLearning(t *testing.T) {
	lmtest.EachModel(t, backendtest.PureGo(t), func(t *testing.T, m *lm.Model) {
		ctx := context.Background()
		row, targets := []token.ID{4, 1, 12, 7, 7, 0}, []token.ID{1, -1, 7, 7, -1, 3}
		loss, by, err := m.Learning(ctx, row, targets)
		if err != nil {
			t.Fatal(err)
		}
		surprise := func(m *lm.Model) (sum float64) {
			lp, err := m.LogProbs(ctx, [][]token.ID{row})
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range targets {
				if id >= 0 {
					sum -= float64(lp[0].Index(i).Data[id])
				}
			}
			return sum
		}
		if want := surprise(m); math.Abs(loss-want) > 1e-4 {
			t.Errorf("the loss is %v, and the log-probabilities say %v", loss, want)
		}
		square := 0.0
		for _, g := range by {
			for _, v := range g.Data {
				square += float64(v) * float64(v)
			}
		}
		step := 0.02 / square
		moved := func(sign float64) float64 {
			ws, err := m.Weights()
			if err != nil {
				t.Fatal(err)
			}
			for name, w := range ws {
				for i := range w.Data {
					w.Data[i] += float32(sign * step * float64(by[name].Data[i]))
				}
			}
			other, err := lm.FromWeights(m.Engine(), m.Config(), nil, ws)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			return surprise(other)
		}
		if got := moved(1) - moved(-1); math.Abs(got/(2*step*square)-1) > 0.02 {
			t.Errorf("steps up and down the gradient change the loss by %v, and the gradient says %v", got, 2*step*square)
		}
	})
}
