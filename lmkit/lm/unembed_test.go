package lm_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// Residuals of any layer go through the final norm by their own statistics, and the output matrix: what a replacement
// of the last residual by them predicts, and what the formula says, computed here in float64.
func TestUnembed(t *testing.T) {
	lmtest.EachModel(t, backendtest.PureGo(t), func(t *testing.T, m *lm.Model) {
		rows := [][]token.ID{{4, 1, 12, 7, 7, 0}}
		first, last := lm.Tap("block.0.resid.pre"), lm.Tap("")
		for _, tap := range m.Taps() {
			if strings.HasSuffix(tap.Name, ".resid.post") || strings.HasSuffix(tap.Name, ".hidden") {
				last = tap.Name
			}
		}
		if m.Config().Recurrent() {
			first = "lstm.0.hidden"
		}
		a := ask(t, m, lm.Query{Rows: rows, Taps: []lm.Tap{first}})
		early := a.At[first].Index(0)
		replaced := ask(t, m, lm.Query{Rows: rows, Logits: lm.AllLogits,
			Edits: []lm.Edit{{Tap: last, With: lm.FromValues(a.At[first])}}})
		err := m.Unembed(context.Background(), early, func(i int, logits []float32) error {
			nearTo(t, "against a replaced last residual", logits, replaced.Logits[0].Index(i).Data)
			nearTo(t, "against the formula", logits, unembedded(t, m, early.Index(i).Data))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		bad := lm.Array{Dims: []int{1, 2}, Data: []float32{1, 2}}
		if err := m.Unembed(context.Background(), bad, nil); err == nil || !strings.Contains(err.Error(), "[1 2]") {
			t.Errorf("a residual of another width: %v", err)
		}
	})
}

func nearTo(t *testing.T, what string, got, want []float32) {
	t.Helper()
	top, worst := 1e-3, 0.0
	for i, w := range want {
		top, worst = max(top, math.Abs(float64(w))), max(worst, math.Abs(float64(w)-float64(got[i])))
	}
	if !(worst <= 1e-4*top) {
		t.Errorf("%s: off by %.3g, where the largest is %.3g", what, worst, top)
	}
}

// unembedded is the logits of one residual by the formula.
func unembedded(t *testing.T, m *lm.Model, residual []float32) []float32 {
	t.Helper()
	ws, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	c, x := m.Config(), make([]float64, len(residual))
	for i, v := range residual {
		x[i] = float64(v)
	}
	if c.Attends() && c.NormPlace != net.SumNorm {
		mean, square := 0.0, 0.0
		for _, v := range x {
			mean += v / float64(len(x))
		}
		if c.Norm == net.RMSNorm {
			mean = 0
		}
		for _, v := range x {
			square += (v - mean) * (v - mean) / float64(len(x))
		}
		for i := range x {
			x[i] = (x[i] - mean) / math.Sqrt(square+c.Epsilon)
			if g, ok := ws["final.weight"]; ok {
				x[i] *= float64(g.Data[i]) + c.NormOffset
			}
			if b, ok := ws["final.bias"]; ok {
				x[i] += float64(b.Data[i])
			}
		}
	}
	if w, ok := ws["head_in.weight"]; ok {
		x = matmul(w, x)
	}
	head, ok := ws["head.weight"]
	if !ok {
		head = ws["embed.weight"]
	}
	y := matmul(head, x)
	out := make([]float32, len(y))
	for i, v := range y {
		if b, ok := ws["head.bias"]; ok {
			v += float64(b.Data[i])
		}
		if c.LogitCap > 0 {
			v = c.LogitCap * math.Tanh(v/c.LogitCap)
		}
		out[i] = float32(v)
	}
	return out
}

// matmul is W x.
func matmul(w lm.Array, x []float64) []float64 {
	y := make([]float64, w.Dims[0])
	for i := range y {
		for j, v := range w.Index(i).Data {
			y[i] += float64(v) * x[j]
		}
	}
	return y
}
