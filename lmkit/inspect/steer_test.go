package inspect_test

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// steered is a small question of steering that every model can be asked.
func steered() inspect.Steer {
	return inspect.Steer{
		Toward: [][]token.ID{{4, 1, 12}, {2, 3}}, Away: [][]token.ID{{5, 6, 7, 8}, {1}},
		Prompts: [][]token.ID{{1, 2, 3}, {9, 8}}, Neutral: []token.ID{3, 4, 5, 6, 7}, Target: 3, Foil: 4,
		Layers: []int{0, 1}, Strengths: []float64{-1, 0.5, 3},
	}
}

// Steering by one pair is a patch, at strength 0 nothing changes, and the effect is that of an edit which adds the
// difference of the means: in every family.
func TestSteer(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		x, ctx := steered(), context.Background()
		found, err := x.Run(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if broken := found.Matrix.Evidence.Broken(); broken != nil {
			t.Errorf("%v: %+v", broken, found.Matrix.Evidence)
		}
		if err := found.Matrix.Validate(); err != nil {
			t.Fatal(err)
		}
		tap := lm.Tap("block.1.resid.post")
		if m.Config().Recurrent() {
			tap = "lstm.1.hidden"
		}
		mean := func(rows [][]token.ID) []float64 {
			a, err := m.Run(ctx, lm.Query{Rows: rows, Taps: []lm.Tap{tap}})
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float64, m.ResidualWidth())
			for r, row := range rows {
				for d, v := range a.At[tap].Index(r, len(row)-1).Data {
					out[d] += float64(v) / float64(len(rows))
				}
			}
			return out
		}
		toward, away := mean(x.Toward), mean(x.Away)
		for d, v := range found.Directions[1] {
			if want := toward[d] - away[d]; math.Abs(float64(v)-want) > 1e-4*(1+math.Abs(want)) {
				t.Fatalf("number %d of the direction is %v, want %v", d, v, want)
			}
		}
		of := []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: -1, ID: 4, Weight: -1}}}}
		a, err := m.Run(ctx, lm.Query{Rows: append(x.Prompts, x.Prompts...), Of: of, Edits: []lm.Edit{{Tap: tap,
			Rows: []int{2, 3}, Add: true, Times: 3,
			With: lm.FromValues(lm.Array{Dims: []int{m.ResidualWidth()}, Data: found.Directions[1]})}}})
		if err != nil {
			t.Fatal(err)
		}
		want := (a.Values[2] - a.Values[0] + a.Values[3] - a.Values[1]) / 2
		if got := found.Matrix.Values[1][2]; math.Abs(got-want) > 1e-3*max(1, math.Abs(want)) {
			t.Errorf("the effect is %v, want %v", got, want)
		}
	})
}

// A control vector has the directions of all layers but the first, as other programs read them.
func TestSteerVector(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	found, err := steered().Run(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := found.WriteVector(&b, m); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "v.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if names := strings.Join(f.Names(), " "); names != "direction.1" {
		t.Errorf("it holds %s", names)
	}
	if a := f.Settings()["general.architecture"]; a != "controlvector" {
		t.Errorf("it is a %v", a)
	}
	x := steered()
	x.Layers = []int{0}
	if found, err = x.Run(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	if err := found.WriteVector(&b, m); err == nil || !strings.Contains(err.Error(), "choose a later layer") {
		t.Error(err)
	}
}

// What cannot be steered is an error that says what is missing.
func TestSteerRefuses(t *testing.T) {
	m := explaintest.Models(t)["gpt2"]
	for want, change := range map[string]func(x *inspect.Steer){
		"there is no layer 7":   func(x *inspect.Steer) { x.Layers = []int{7} },
		"texts that show":       func(x *inspect.Steer) { x.Toward = nil },
		"give prompts":          func(x *inspect.Steer) { x.Prompts, x.Away = nil, x.Away[:1] },
		"the same token":        func(x *inspect.Steer) { x.Foil = x.Target },
		"fewer than two tokens": func(x *inspect.Steer) { x.Neutral = nil },
		"a strength is":         func(x *inspect.Steer) { x.Strengths = []float64{math.NaN()} },
	} {
		x := steered()
		change(&x)
		if _, err := x.Run(context.Background(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Lines of pieces and labels are read alone, or joined to texts where empty lines stand between them.
func TestReadLabelled(t *testing.T) {
	all, err := inspect.ReadLabelled([]string{"the\tDET", "dog\tNOUN", "", "it\tPRON", "barks\tVERB", ""})
	if err != nil || len(all) != 4 || all[1].Text != "the dog" || all[3].Text != "it barks" || all[2].Group != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	all, err = inspect.ReadLabelled([]string{"good film\tpos", "bad film\tneg"})
	if err != nil || len(all) != 2 || all[1].Text != "bad film" || all[1].Group != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	for _, bad := range [][]string{{}, {"no label"}, {"x\t"}, {"\ty"}, {"x\ty\tz"}} {
		if _, err := inspect.ReadLabelled(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// Any lines are read, or are an error; never a panic.
func FuzzReadLabelled(f *testing.F) {
	f.Add("a\tb\n\nc\td")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := inspect.ReadLabelled(strings.Split(text, "\n"))
		if err == nil && len(all) == 0 {
			t.Error("nothing was read, and nothing said")
		}
	})
}
