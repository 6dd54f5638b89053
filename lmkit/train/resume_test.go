package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// resumable is a run with dropout, a schedule, carried states, a last batch that is shorter, and events, evaluations
// and checkpoints that do not fall together.
func resumable(arch string) (lm.Config, Config) {
	c := Config{Steps: 37, Rows: 4, Length: 8, LearningRate: 0.01, Clip: 1, LogEvery: 3, EvalEvery: 9, SaveEvery: 7,
		Keep: 3, Seed: 5}
	if arch == lm.LSTM {
		c.Schedule, c.Gamma = StepLR, 0.7
		return tinyLSTM, c
	}
	c.Optimizer, c.WeightDecay, c.Schedule, c.Warmup = AdamW, 0.1, Cosine, 5
	return tinyTransformer, c
}

// outcome is all that a run leaves behind, without what a clock says.
func outcome(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		got[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var events strings.Builder
	for line := range strings.Lines(got[EventsFile]) {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", EventsFile, err)
		}
		e.Seconds, e.TokensPerSecond = 0, 0
		timeless, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		events.Write(timeless)
	}
	got[EventsFile] = events.String()
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	ts, err := safetensors.ReadFile(filepath.Join(dir, lastDir, s.Tensors))
	if err != nil {
		t.Fatal(err)
	}
	var tensors bytes.Buffer
	if err := safetensors.Write(&tensors, ts); err != nil {
		t.Fatal(err)
	}
	got["tensors"] = tensors.String()
	for _, n := range append(slots[:], stateFile) {
		got[filepath.Join(lastDir, n)] = "" // which slot is which, and seconds, may differ
	}
	return got
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for n := range got {
		if _, ok := want[n]; !ok {
			t.Errorf("%s is left behind", n)
		}
	}
	for n, w := range want {
		if got[n] != w {
			t.Errorf("%s differs from that of a run without a break", n)
			if n == EventsFile {
				t.Logf("got:\n%s\nwant:\n%s", got[n], w)
			}
		}
	}
}

// fuse calls burn when a batch is asked for the n-th time.
type fuse struct {
	corpus.Batches
	left *atomic.Int64
	burn func()
}

func (f fuse) At(i int) (corpus.Batch, error) {
	if f.left.Add(-1) == 0 {
		f.burn()
	}
	return f.Batches.At(i)
}

// A run that is cancelled again and again, at any step and in the middle of evaluations, ends with the same bits.
func TestResumedRunIsTheSame(t *testing.T) {
	for _, e := range engines(t) {
		for i, arch := range []string{lm.Transformer, lm.LSTM} {
			if !backendtest.Runs(e, i) {
				continue
			}
			t.Run(e.Kind+"/"+arch, func(t *testing.T) {
				mc, c := resumable(arch)
				d := textData(t, mc, c)
				if e.Loops() { // where compiling takes long, without the shorter last batch
					var err error
					if d, err = Text(mc, c, nil, text(388, 1), text(132, 2)); err != nil {
						t.Fatal(err)
					}
				}
				m := newModel(t, e, mc)
				unbroken, broken := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
				finish(t, startRun(t, m, d, c, unbroken))
				rng := rand.New(rand.NewPCG(3, 4))
				startRun(t, m, d, c, broken).Close()
				stops := 0
				for done := false; !done; stops++ {
					ctx, cancel := context.WithCancel(context.Background())
					var left atomic.Int64
					burning := d
					burning.Train, burning.Valid = fuse{d.Train, &left, cancel}, fuse{d.Valid, &left, cancel}
					r, err := Resume(e, broken, burning, 0)
					if err != nil {
						t.Fatal(err)
					}
					left.Store(1 + rng.Int64N(15))
					if e.Loops() {
						left.Store(25 + 1000*int64(stops)) // there, one stop is enough
					}
					for _, err := range r.Events(ctx) {
						var stopped *Interrupted
						if err != nil && !errors.As(err, &stopped) {
							t.Fatal(err)
						}
					}
					done = r.Done()
					if err := r.Close(); err != nil {
						t.Fatal(err)
					}
					cancel()
				}
				if stops < 2 {
					t.Fatal("the run was never stopped: the test tests nothing")
				}
				same(t, outcome(t, broken), outcome(t, unbroken))
			})
		}
	}
}

func TestResumeErrors(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.LSTM)
	d := textData(t, mc, c)
	other, err := Text(mc, c, nil, text(404, 1), text(150, 2))
	if err != nil {
		t.Fatal(err)
	}
	otherValid, err := Text(mc, c, nil, text(403, 1), text(151, 2))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(name, old, new string) func(dir string) error {
		return func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || !strings.Contains(string(data), old) {
				return fmt.Errorf("%s has no %q: %v", name, old, err)
			}
			return os.WriteFile(filepath.Join(dir, name), []byte(strings.Replace(string(data), old, new, 1)), 0o644)
		}
	}
	for _, x := range []struct {
		name    string
		damage  func(dir string) error
		data    Data
		wantErr string
	}{
		{"no run", func(dir string) error { return os.RemoveAll(filepath.Join(dir, lastDir)) }, d, "there is no run"},
		{"other data", func(string) error { return nil }, other, "the run was trained on other data"},
		{"other validation data", func(string) error { return nil }, otherValid, "validated on other data than these"},
		{"older version", edit("last/state.json", `"train_data"`, `"was"`), otherValid, "begun by a version that cut the"},
		{"other model", edit(lm.ConfigFile, `"hidden_size": 12`, `"hidden_size": 14`), d, "of another model"},
		{"other version", edit("last/state.json", `"version": 1`, `"version": 2`), d, "version 2"},
		{"not JSON", edit("last/state.json", `{`, ``), d, "state.json is damaged"},
		{"strange slot", edit("last/state.json", slots[0], "../../x"), d, "state.json is damaged"},
		{"impossible settings", edit("last/state.json", `"clip": 1`, `"clip": -1`), d, "state.json is damaged"},
		{"damaged tensors", edit("last/a.safetensors", `data_offsets`, `data_offsetz`), d, "a.safetensors is damaged"},
		{"missing tensors", func(dir string) error { return os.Remove(filepath.Join(dir, "last", "a.safetensors")) }, d,
			"no such file"},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			r := startRun(t, newModel(t, e, mc), d, c, dir)
			r.Close()
			if err := x.damage(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Resume(e, dir, x.data, 0)
			if err == nil || !strings.Contains(err.Error(), x.wantErr) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want ... %s ...", err, x.wantErr)
			}
		})
	}
}

// What cannot be written stops the run, and the checkpoint before stays.
func TestFullDisk(t *testing.T) {
	e := backendtest.PureGo(t)
	mc, c := resumable(lm.Transformer)
	d := textData(t, mc, c)
	dir := filepath.Join(t.TempDir(), "run")
	r := startRun(t, newModel(t, e, mc), d, c, dir)
	slot := filepath.Join(dir, lastDir, slots[1]) // the next to be written
	if err := errors.Join(os.Remove(slot), os.Mkdir(slot, 0o755)); err != nil {
		t.Fatal(err)
	}
	var failed error
	for _, err := range r.Events(context.Background()) {
		failed = err
	}
	if failed == nil || !strings.Contains(failed.Error(), "the checkpoint of step 7 cannot be written") ||
		!strings.Contains(failed.Error(), "resume from step 0") {
		t.Fatalf("got %v", failed)
	}
	r.Close()
	if err := os.Remove(slot); err != nil {
		t.Fatal(err)
	}
	resumed, err := Resume(e, dir, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer resumed.Close()
	if es := finish(t, resumed); es[0].Step != 3 {
		t.Errorf("resumed at %d", es[0].Step)
	}
}

// A run that is killed again and again, between any two writes to the disk, in the middle of one, and at any time,
// ends with the same files as one that never was.
func TestKilledRunIsTheSame(t *testing.T) {
	for _, arch := range []string{lm.LSTM, lm.Transformer} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			unbroken, killed, timed := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"),
				filepath.Join(t.TempDir(), "c")
			if err := child(unbroken, arch, 0, 0); err != nil {
				t.Fatal(err)
			}
			want := outcome(t, unbroken)
			kills := 0
			for n := 1; child(killed, arch, n, 0) != nil; n++ {
				if kills++; kills > 100 {
					t.Fatal("the run does not come to its end")
				}
			}
			if kills < 12 {
				t.Errorf("the run was killed %d times only", kills)
			}
			same(t, outcome(t, killed), want)

			rng := rand.New(rand.NewPCG(1, 2))
			for n := range 1000 {
				if child(timed, arch, rng.IntN(12+n), time.Duration(1+rng.IntN(40*(1+n)))*time.Millisecond) == nil {
					break
				}
			}
			same(t, outcome(t, timed), want)
		})
	}
}

// child runs a process that starts the run in dir, or resumes it. It is killed before its n-th write to the disk, and
// after a while, if these are not 0. The error says that it did not come to its end.
func child(dir, arch string, n int, after time.Duration) error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TRAIN_TEST_CHILD="+arch, "TRAIN_TEST_DIR="+dir, "TRAIN_TEST_KILL="+strconv.Itoa(n))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	if after > 0 {
		stop := time.AfterFunc(after, func() { cmd.Process.Kill() })
		defer stop.Stop()
	}
	err := cmd.Wait()
	if out.Len() > 0 {
		panic(out.String())
	}
	return err
}

func TestMain(m *testing.M) {
	if arch := os.Getenv("TRAIN_TEST_CHILD"); arch != "" {
		if err := beChild(arch, os.Getenv("TRAIN_TEST_DIR"), os.Getenv("TRAIN_TEST_KILL")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beChild(arch, dir, kill string) error {
	n, err := strconv.Atoi(kill)
	if err != nil {
		return err
	}
	passing = func(what string) {
		if n--; n != 0 {
			return
		}
		if slices.Contains(slots[:], what) { // dies while it writes: what is there is no longer the old, and not the new
			_ = os.WriteFile(filepath.Join(dir, lastDir, what), []byte("half"), 0o644)
		}
		if f, err := os.OpenFile(filepath.Join(dir, EventsFile), os.O_WRONLY|os.O_APPEND, 0); what == "event" && err == nil {
			_, _ = f.WriteString(`{"step":`)
		}
		if what == "state" { // dies before it renames
			_ = os.WriteFile(filepath.Join(dir, lastDir, "."+stateFile+"123"), nil, 0o644)
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			_ = self.Kill()
		}
		select {}
	}
	e, err := backend.Open(context.Background(), backend.Options{Name: backend.Go})
	if err != nil {
		return err
	}
	tok, err := token.NewChar("abcdefghijkl")
	if err != nil {
		return err
	}
	mc, c := resumable(arch)
	d, err := Text(mc, c, nil, text(403, 1), text(150, 2))
	if err != nil {
		return err
	}
	r, err := Resume(e, dir, d, 0)
	if errors.Is(err, fs.ErrNotExist) {
		var m *lm.Model
		if m, err = lm.New(e, mc, tok, 1); err == nil {
			r, err = Start(m, d, c, dir)
		}
	}
	if err != nil {
		return err
	}
	for _, err := range r.Events(context.Background()) {
		if err != nil {
			return err
		}
	}
	return r.Close()
}
