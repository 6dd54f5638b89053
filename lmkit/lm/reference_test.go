package lm_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// reference is a model directory and what an independent implementation (bench/reference.py, PyTorch in float64)
// computed with it.
type reference struct {
	*lm.Model
	name string
	want map[string]safetensors.Tensor
}

func openReference(t *testing.T, e *backend.Engine, name string) reference {
	t.Helper()
	dir := filepath.Join("testdata", "reference", name)
	m, err := lm.Open(e, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	want, err := safetensors.ReadFile(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return reference{m, name, want}
}

var references = []string{"gpt2", "gpt2-untied", "gpt2-gelu", "lstm"}

func (r reference) rows() [][]token.ID { return idsOf(r.want["ids"]) }

func idsOf(x safetensors.Tensor) [][]token.ID {
	rows := make([][]token.ID, x.Dims[0])
	for i := range rows {
		for t := range x.Dims[1] {
			rows[i] = append(rows[i], token.ID(x.Data[i*x.Dims[1]+t]))
		}
	}
	return rows
}

// contrasts is the objective f of the reference: logit of the target minus that of the foil, at the last position.
func (r reference) contrasts() []lm.Objective {
	var of []lm.Objective
	for i, a := range r.want["target"].Data {
		of = append(of, lm.Objective{Unit: lm.Logit, Terms: []lm.Term{
			{Pos: -1, ID: token.ID(a), Weight: 1}, {Pos: -1, ID: token.ID(r.want["foil"].Data[i]), Weight: -1}}})
	}
	return of
}

// near fails unless got is want to 1e-4 relative (of the largest number of the array).
func near(t *testing.T, what string, got []float32, want safetensors.Tensor) {
	t.Helper()
	if len(got) != len(want.Data) || len(got) == 0 {
		t.Errorf("%s: %d numbers, want %d (%v)", what, len(got), len(want.Data), want.Dims)
		return
	}
	top, worst := 1e-3, 0.0
	for i, w := range want.Data {
		top = max(top, math.Abs(float64(w)))
		worst = max(worst, math.Abs(float64(got[i]-w)))
		if math.IsNaN(float64(got[i])) {
			worst = math.Inf(1)
		}
	}
	if worst > 1e-4*top {
		t.Errorf("%s: off by %.3g, where the largest is %.3g", what, worst, top)
	}
}

func join(as []lm.Array) []float32 {
	var out []float32
	for _, a := range as {
		out = append(out, a.Data...)
	}
	return out
}

func floats(xs []float64) []float32 {
	out := make([]float32, len(xs))
	for i, x := range xs {
		out[i] = float32(x)
	}
	return out
}

func tapNames(m *lm.Model) []lm.Tap {
	var names []lm.Tap
	for _, i := range m.Taps() {
		names = append(names, i.Name)
	}
	return names
}

func TestReferenceActivationsAndGradients(t *testing.T) {
	for i, name := range references {
		t.Run(name, func(t *testing.T) {
			e := backendtest.Engine(t)
			if !backendtest.Runs(e, i) {
				e = backendtest.PureGo(t)
			}
			r := openReference(t, e, name)
			a, err := r.Run(context.Background(), lm.Query{Rows: r.rows(), Of: r.contrasts(), Taps: tapNames(r.Model),
				Wrt: tapNames(r.Model), Logits: lm.AllLogits})
			if err != nil {
				t.Fatal(err)
			}
			near(t, "logits", join(a.Logits), r.want["logits"])
			near(t, "f", floats(a.Values), r.want["f"])
			taps := 0
			for k, want := range r.want {
				if tap, ok := strings.CutPrefix(k, "tap/"); ok {
					near(t, k, a.At[tap].Data, want)
					near(t, "d"+k, a.Grad[tap].Data, r.want["dtap/"+tap])
					taps++
				}
			}
			extra := 0
			if r.Config().Arch == lm.LSTM {
				extra = 2 * r.Config().Layers // the states: tested below
			}
			if taps+extra != len(r.Taps()) {
				t.Errorf("the reference has %d activations, the model %d", taps, len(r.Taps()))
			}
		})
	}
}

// The hidden states alone take another route through an LSTM's gradient than the gates do.
func TestReferenceEmbeddingGradientAlone(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		for i, name := range references {
			if !backendtest.Runs(e, i+1) { // in a short run the LSTM alone, which has two routes
				continue
			}
			t.Run(e.Kind+"/"+name, func(t *testing.T) {
				r := openReference(t, e, name)
				a, err := r.Gradient(context.Background(), r.rows(), r.contrasts(), []lm.Tap{"embed"})
				if err != nil {
					t.Fatal(err)
				}
				near(t, "dtap/embed", a.Grad["embed"].Data, r.want["dtap/embed"])
			})
		}
	}
}

func TestReferenceState(t *testing.T) {
	r := openReference(t, backendtest.Engine(t), "lstm")
	L, H := r.Config().Layers, r.Config().Hidden
	states := make([]lm.State, 2)
	for b := range states {
		for _, s := range []struct {
			to   *lm.Array
			from string
		}{{&states[b].Hidden, "state/h0"}, {&states[b].Cell, "state/c0"}} {
			s.to.Dims = []int{L, H}
			for l := range L {
				s.to.Data = append(s.to.Data, r.want[s.from].Data[(l*2+b)*H:][:H]...)
			}
		}
	}
	for _, extra := range [][]lm.Tap{nil, {"lstm.0.gate.f"}} { // both routes of the gradient
		wrt := append([]lm.Tap{"embed"}, extra...)
		for l := range L {
			wrt = append(wrt, stateTap(l, "hidden"), stateTap(l, "cell"))
		}
		a, err := r.Run(context.Background(), lm.Query{Rows: r.rows(), States: states, Final: true, Of: r.contrasts(),
			Wrt: wrt, Logits: lm.AllLogits})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "logits_state", join(a.Logits), r.want["logits_state"])
		near(t, "demb_state", a.Grad["embed"].Data, r.want["demb_state"])
		var h0, c0, h1, c1 []float32
		for l := range L {
			h0 = append(h0, a.Grad[stateTap(l, "hidden")].Data...)
			c0 = append(c0, a.Grad[stateTap(l, "cell")].Data...)
			for b := range 2 {
				h1 = append(h1, a.States[b].Hidden.Index(l).Data...)
				c1 = append(c1, a.States[b].Cell.Index(l).Data...)
			}
		}
		near(t, "dstate/h0", h0, r.want["dstate/h0"])
		near(t, "dstate/c0", c0, r.want["dstate/c0"])
		near(t, "state/h1", h1, r.want["state/h1"])
		near(t, "state/c1", c1, r.want["state/c1"])
	}
}

func stateTap(l int, what string) lm.Tap { return "lstm." + string(rune('0'+l)) + ".state." + what }

// editCase is a case of testdata/reference/edits.json: edits of a reference model, whose results PyTorch has computed.
type editCase struct {
	Name, Model string
	Edits       []struct {
		Tap                    string
		Rows, Positions, Heads []int
		Keep                   float64
		FromRow                *int    `json:"from_row"` // the row to copy from; or
		Values                 *string // the name of a tensor; or zeros
	}
}

func TestReferenceEdits(t *testing.T) {
	data, err := os.ReadFile("testdata/reference/edits.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []editCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 10 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		for i, c := range cases {
			if !backendtest.Runs(e, i) {
				continue
			}
			t.Run(e.Kind+"/"+c.Model+"/"+c.Name, func(t *testing.T) { c.check(t, openReference(t, e, c.Model)) })
		}
	}
}

// check compares logits, objectives and gradients under the edits.
func (c editCase) check(t *testing.T, r reference) {
	q := lm.Query{Rows: r.rows(), Of: r.contrasts(), Wrt: []lm.Tap{"embed"}, Logits: lm.AllLogits}
	for _, x := range c.Edits {
		edit := lm.Edit{Tap: x.Tap, Rows: x.Rows, Positions: x.Positions, Heads: x.Heads, Keep: x.Keep}
		if x.FromRow != nil {
			edit.With = lm.FromRow(*x.FromRow)
		} else if x.Values != nil {
			v, ok := r.want[*x.Values]
			if !ok {
				t.Fatalf("no tensor %q", *x.Values)
			}
			edit.With = lm.FromValues(lm.Array(v))
		}
		q.Edits, q.Wrt = append(q.Edits, edit), append(q.Wrt, x.Tap)
	}
	a, err := r.Run(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	at := "edit/" + c.Name + "/"
	near(t, "logits", join(a.Logits), r.want[at+"logits"])
	near(t, "f", floats(a.Values), r.want[at+"f"])
	near(t, "dembed", a.Grad["embed"].Data, r.want[at+"dembed"])
	for _, x := range c.Edits {
		near(t, "dtap", a.Grad[x.Tap].Data, r.want[at+"dtap/"+x.Tap])
	}
}
