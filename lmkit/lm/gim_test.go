package lm_test

import (
	"math"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// Under GIM the gradient by scores is that of a softmax at twice the temperature, the scales of norms get none, a value
// gets half of what its pattern hands it, and what comes after attention is differentiated as ever.
func TestGIM(t *testing.T) {
	lmtest.EachModel(t, backendtest.PureGo(t), func(t *testing.T, m *lm.Model) {
		if lm.GIM.Check(m.Config()) != nil {
			return
		}
		last := blockTap(m.Config().Layers-1, "")
		scores, pattern, z, v := last+"attn.scores", last+"attn.pattern", last+"attn.z", last+"attn.v"
		q := lm.Query{Rows: [][]token.ID{{4, 1, 12, 7, 7, 0}}, Of: logitOf(5), Rules: lm.GIM,
			Wrt: []lm.Tap{scores, pattern, z, v}}
		for _, tap := range m.Taps() {
			if tap.Name == "final.scale" {
				q.Wrt = append(q.Wrt, tap.Name)
			}
		}
		a := ask(t, m, q)
		for _, g := range a.Grad["final.scale"].Data {
			if g != 0 {
				t.Errorf("the final norm's scale has the gradient %v", g)
			}
		}
		H, K := m.Config().Heads, m.Config().HeadWidth
		readers := H / m.Config().KVHeads
		values := make([]float32, len(a.Grad[v].Data))
		got := lm.Array{Dims: a.Grad[v].Dims, Data: values}
		for h := range H {
			for i := range 6 {
				p, s := a.At[pattern].Index(0, h, i).Data, a.At[scores].Index(0, h, i).Data
				by := a.Grad[pattern].Index(0, h, i).Data
				soft, sum, mean := make([]float64, 6), 0.0, 0.0
				for j := range soft {
					if p[j] > 0 {
						soft[j] = math.Exp(float64(s[j]) / 2)
						sum += soft[j]
					}
				}
				for j := range soft {
					soft[j] /= sum
					mean += soft[j] * float64(by[j])
				}
				want := make([]float32, 6)
				for j := range want {
					want[j] = float32(soft[j] * (float64(by[j]) - mean))
				}
				nearTo(t, "gradient by scores", a.Grad[scores].Index(0, h, i).Data, want)
				for j := range 6 {
					to := got.Index(0, j, h/readers).Data
					for k, g := range a.Grad[z].Index(0, i, h).Data[:K] {
						to[k] += p[j] * g / 2
					}
				}
			}
		}
		nearTo(t, "gradient by values", a.Grad[v].Data, values)
	})
}
