package train

import (
	"slices"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
)

// A run keeps as many models as it is told, evenly, with the learning rates of their steps; and the last is the model
// as the run leaves it.
func TestKept(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.Transformer)
	dir := t.TempDir()
	r := startRun(t, newModel(t, e, mc), textData(t, mc, c), c, dir)
	finish(t, r)
	last, err := r.weights()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := Kept(dir)
	if err != nil {
		t.Fatal(err)
	}
	var steps []int
	for _, k := range kept {
		steps = append(steps, k.Step)
		if want := r.config.rate(k.Step-1, r.epoch); k.Rate != want {
			t.Errorf("step %d: rate %v, not %v", k.Step, k.Rate, want)
		}
	}
	if !slices.Equal(steps, []int{13, 25, 37}) {
		t.Fatalf("kept at %v", steps)
	}
	m, err := lm.Open(e, kept[2].Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ws, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range ws {
		if !slices.Equal(w.Data, last[name].Data) {
			t.Errorf("%s is not what the run ended with", name)
		}
	}
}

// A run that kept no model has its best one.
func TestKeptNone(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.LSTM)
	c.Keep, c.Steps = 0, 9
	dir := t.TempDir()
	r := startRun(t, newModel(t, e, mc), textData(t, mc, c), c, dir)
	finish(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if kept, err := Kept(dir); err != nil || len(kept) != 1 || kept[0].Dir != dir || kept[0].Rate <= 0 {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, err := Kept(t.TempDir()); err == nil {
		t.Error("a folder without a run")
	}
}
