package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// someTexts is texts of random tokens.
func someTexts(n, tokens int) (rows [][]token.ID) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range n {
		row := make([]token.ID, tokens)
		for i := range row {
			row[i] = token.ID(rng.IntN(lmtest.Vocab))
		}
		rows = append(rows, row)
	}
	return rows
}

// A tuned lens is the logit lens before its first step, and nearer to the output afterwards; it survives its file, is
// refused by another model, and its last row stays the output.
func TestTuneLens(t *testing.T) {
	ctx, ms := context.Background(), explaintest.Models(t)
	other := map[string]string{"gpt2": "lstm", "lstm": "gpt2"}
	for name, m := range ms {
		x := inspect.TuneLens{Texts: someTexts(60, 8), Steps: 60, Rate: 0.01, Batch: 32}
		by, found, err := x.Fit(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if broken := found.Evidence.Broken(); broken != nil || found.Validate() != nil {
			t.Errorf("%s: %+v", name, found.Evidence)
		}
		for i, row := range found.Values {
			if !(row[1] < row[0]) {
				t.Errorf("%s: %s diverges by %v as a logit lens, by %v tuned", name, found.Rows[i], row[0], row[1])
			}
		}
		path := filepath.Join(t.TempDir(), "lens.safetensors")
		var file bytes.Buffer
		if err := errors.Join(by.Write(&file), os.WriteFile(path, file.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
		if begins := []byte(inspect.LensBegins)[8:]; !bytes.HasPrefix(file.Bytes()[8:], begins) {
			t.Errorf("%s: behind its length the file does not begin with %q", name, begins)
		}
		back, err := inspect.ReadTranslator(path, m)
		if err != nil {
			t.Fatal(err)
		}
		q := explain.Question{IDs: prompt}
		a := look(t, m, q, inspect.Lens{By: by, Fitted: "tuned"})
		b := look(t, m, q, inspect.Lens{By: back, Fitted: "tuned"})
		for r := range a.Values {
			for c, v := range a.Values[r] {
				if b.Values[r][c] != v {
					t.Fatalf("%s: the lens changes in its file", name)
				}
			}
		}
		_, err = inspect.ReadTranslator(path, ms[other[name]])
		if err == nil || !strings.Contains(err.Error(), "a lens for another model") {
			t.Error(err)
		}
	}
}

// The gradient of the divergence is that of finite differences, and the divergence of residuals from themselves is 0.
func TestDivergence(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		ctx, rng, D := context.Background(), rand.New(rand.NewPCG(2, 3)), m.ResidualWidth()
		draw := func() lm.Array {
			x := lm.Array{Dims: []int{3, D}}
			for range 3 * D {
				x.Data = append(x.Data, float32(rng.NormFloat64()))
			}
			return x
		}
		x, toward, direction := draw(), draw(), draw()
		sum := func(x lm.Array) (s float64) {
			each, _, err := m.Divergence(ctx, x, toward)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range each {
				s += float64(v)
			}
			return s
		}
		_, by, err := m.Divergence(ctx, x, toward)
		if err != nil {
			t.Fatal(err)
		}
		along := 0.0
		moved := func(step float32) lm.Array {
			out := lm.Array{Dims: x.Dims}
			for i, v := range x.Data {
				out.Data = append(out.Data, v+step*direction.Data[i])
			}
			return out
		}
		for i, g := range by.Data {
			along += float64(g) * float64(direction.Data[i])
		}
		if d := (sum(moved(0.01)) - sum(moved(-0.01))) / 0.02; math.Abs(d-along) > 1e-2*max(1, math.Abs(along)) {
			t.Errorf("the gradient says %v, the values %v", along, d)
		}
		if self, _, err := m.Divergence(ctx, toward, toward); err != nil || math.Abs(float64(self[0])) > 1e-5 {
			t.Errorf("%v, %v", self, err)
		}
	})
}

// The Jacobian of the last residual is 1; in a model whose layers write nothing, all are; and along a direction it is
// what the last residual changes by.
func TestJacobianLens(t *testing.T) {
	ctx := context.Background()
	c := lm.Config{Arch: lm.Transformer, Vocab: 13, Width: 8, Layers: 2, Heads: 2, Context: 16}
	m, err := lm.New(backendtest.PureGo(t), c, nil, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ws, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range ws {
		for i := range w.Data {
			if strings.Contains(name, "attn.out.") || strings.Contains(name, "mlp.out.") {
				w.Data[i] = 0
			}
		}
	}
	silent, err := lm.FromWeights(backendtest.PureGo(t), m.Config(), nil, ws)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	by, found, err := inspect.JacobianLens{Texts: someTexts(2, 6)}.Fit(ctx, silent)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range found.Values {
		if row[0] > 1e-5 {
			t.Errorf("%s: nothing is written, and the Jacobian is %v from 1", found.Rows[i], row[0])
		}
	}
	if len(by.Weights) != 2 {
		t.Errorf("%d maps", len(by.Weights))
	}

	row := someTexts(1, 6)
	if by, found, err = (inspect.JacobianLens{Texts: row}).Fit(ctx, m); err != nil || found.Evidence.Broken() != nil {
		t.Fatal(err, found)
	}
	tap, last := lm.Tap("block.0.resid.post"), lm.Tap("block.1.resid.post")
	v := lm.Array{Dims: []int{8}, Data: []float32{0.3, -1, 0.5, 0.2, 0, 1, -0.4, 0.7}}
	const from, to = 1, 5 // of six tokens the first, a quarter of them, and the last are left out
	want := make([]float64, 8)
	for p := from; p < to; p++ {
		a, err := m.Run(ctx, lm.Query{Rows: append(row, row...), Taps: []lm.Tap{last}, Edits: []lm.Edit{
			{Tap: tap, Rows: []int{0}, Positions: []int{p}, Add: true, Times: 0.001, With: lm.FromValues(v)},
			{Tap: tap, Rows: []int{1}, Positions: []int{p}, Add: true, Times: -0.001, With: lm.FromValues(v)}}})
		if err != nil {
			t.Fatal(err)
		}
		for q := from; q < to; q++ {
			for d := range want {
				up, down := a.At[last].Index(0, q).Data[d], a.At[last].Index(1, q).Data[d]
				want[d] += float64(up-down) / 0.002 / (to - from)
			}
		}
	}
	for d, w := range want {
		got := 0.0
		for i, x := range v.Data {
			got += float64(by.Weights[tap].Index(d).Data[i]) * float64(x)
		}
		if math.Abs(got-w) > 1e-3*(1+math.Abs(w)) {
			t.Errorf("number %d changes by %v, the lens says %v", d, w, got)
		}
	}
	if _, _, err := (inspect.JacobianLens{Texts: [][]token.ID{{1}}}).Fit(ctx, m); err == nil {
		t.Error("a text of one token made a lens")
	}
}
