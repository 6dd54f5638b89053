package train

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
)

// A folder takes one run at a time: while it is open neither a second run nor the same one again comes in, and
// nothing of it changes.
func TestOneRunAFolder(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.LSTM)
	d, dir := textData(t, mc, c), filepath.Join(t.TempDir(), "run")
	d.Source = []byte(`{"data": "mine"}`)
	first := startRun(t, newModel(t, e, mc), d, c, dir)
	before := outcome(t, dir)
	if _, err := Start(newModel(t, e, mc), d, c, dir); err == nil || !strings.Contains(err.Error(),
		"already holds a run") {
		t.Errorf("a second run: %v", err)
	}
	for range 2 {
		if _, err := Resume(e, dir, d, 0); err == nil || !strings.Contains(err.Error(), "another process is training in") {
			t.Errorf("resumed beside itself: %v", err)
		}
	}
	same(t, outcome(t, dir), before)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Resume(e, dir, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	stored, err := Read(dir)
	if err != nil || stored.Step != c.Steps || string(stored.Source) != string(d.Source) ||
		stored.Model != mc.WithDefaults() {
		t.Errorf("%+v, %v", stored, err)
	}
}

// A run with a later end does what a run with that end from the start does, bit by bit, where no schedule depends
// on the end.
func TestLaterEnd(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.LSTM)
	d := textData(t, mc, c)
	m := newModel(t, e, mc)
	whole, extended := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	long := c
	long.Steps = 45
	long.EvalEvery, long.LogEvery, long.SaveEvery = 9, 9, 9
	c.Steps, c.EvalEvery, c.LogEvery, c.SaveEvery = 27, 9, 9, 9
	long.Keep, c.Keep = 0, 0 // which models are kept goes by the end, too
	for dir, config := range map[string]Config{whole: long, extended: c} {
		r := startRun(t, m, d, config, dir)
		finish(t, r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, steps := range []int{1, 27} {
		if _, err := Resume(e, extended, d, steps); err == nil || !strings.Contains(err.Error(),
			"has done 27 steps already") {
			t.Errorf("an end at %d: %v", steps, err)
		}
	}
	r, err := Resume(e, extended, d, 45)
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range finish(t, r) {
		if event.Steps != 45 {
			t.Errorf("an event of %d steps", event.Steps)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got, want := outcome(t, extended), outcome(t, whole)
	for _, out := range []map[string]string{got, want} { // which also tell of the end that was planned
		delete(out, EventsFile)
		delete(out, lm.TrainingFile)
	}
	same(t, got, want)
}

// Patience that was at its end begins anew with a later end.
func TestLaterEndGivesPatience(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.LSTM)
	c.Steps, c.EvalEvery, c.Patience, c.LearningRate = 30, 1, 2, 1e-9
	c.WeightDecay = 1e3 // the model gets worse
	d, dir := textData(t, mc, c), filepath.Join(t.TempDir(), "run")
	r := startRun(t, newModel(t, e, mc), d, c, dir)
	finish(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	at := r.Step()
	if at >= 30 {
		t.Skip("the patience did not end")
	}
	if r, err := Resume(e, dir, d, 40); err != nil || r.Done() {
		t.Errorf("%v, stopped at %d", err, at)
	} else {
		r.Close()
	}
}

// Whatever a folder holds that a run would write makes it taken, and stays as it is; only what a run left that was
// stopped before its first checkpoint does not.
func TestVacant(t *testing.T) {
	files := []string{lm.ConfigFile, lm.TokenizerFile, lm.TrainingFile, lm.WeightsFile, SourceFile, EventsFile, CurveFile,
		"model-00001-of-00002.safetensors", "notes.txt", ".hidden", lastDir + "/" + slots[1], lastDir + "/" + lockFile}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "va[can]t*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		other, weights, begun := false, false, false
		there := rapid.SliceOfDistinct(rapid.SampledFrom(files), func(s string) string { return s }).Draw(t, "files")
		for _, name := range there {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasPrefix(name, lastDir):
				begun = true
			case strings.HasSuffix(name, ".safetensors"):
				weights = true
			case name != "notes.txt" && name != ".hidden":
				other = true
			}
		}
		taken := weights || other && !begun
		var occupied *Occupied
		if err := Vacant(dir); errors.As(err, &occupied) != taken || err != nil && occupied == nil {
			t.Fatalf("%v: %v, want taken: %v", there, err, taken)
		}
	})
	if err := Vacant(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no run: %v", err)
	}
}
