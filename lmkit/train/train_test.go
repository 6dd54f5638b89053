package train

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

var (
	tinyLSTM        = lm.Config{Arch: lm.LSTM, Vocab: 12, Width: 8, Hidden: 12, Layers: 2, Dropout: 0.1}
	tinyTransformer = lm.Config{Arch: lm.Transformer, Vocab: 12, Width: 8, Heads: 2, Layers: 1, Context: 8, Tied: true,
		Dropout: 0.1}
)

// text is n tokens of a sequence with something to learn: two cycles, and a rare slip.
func text(n int, seed uint64) corpus.Memory {
	rng := rand.New(rand.NewPCG(seed, 7))
	m := make(corpus.Memory, n)
	for i := range m {
		m[i] = token.ID(i % 5)
		if i%11 == 0 {
			m[i] = token.ID(5 + i%7)
		}
		if rng.IntN(40) == 0 {
			m[i] = 11
		}
	}
	return m
}

func newModel(t testing.TB, e *backend.Engine, c lm.Config) *lm.Model {
	t.Helper()
	m, err := lm.New(e, c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func textData(t testing.TB, m lm.Config, c Config) Data {
	t.Helper()
	d, err := Text(m, c, nil, text(403, 1), text(150, 2))
	if err != nil {
		t.Fatal(err)
	}
	d.BytesPerToken = 2
	return d
}

func startRun(t testing.TB, m *lm.Model, d Data, c Config, dir string) *Run {
	t.Helper()
	r, err := Start(m, d, c, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// finish takes a run to its end.
func finish(t testing.TB, r *Run) []Event {
	t.Helper()
	var es []Event
	for e, err := range r.Events(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	if !r.Done() {
		t.Fatal("the events ended, but the run is not done")
	}
	return es
}

func engines(t testing.TB) []*backend.Engine {
	return []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)}
}

func TestLearns(t *testing.T) {
	for _, e := range engines(t) {
		for i, mc := range []lm.Config{tinyLSTM, tinyTransformer} {
			if !backendtest.Runs(e, i) {
				continue
			}
			t.Run(e.Kind+"/"+mc.Arch, func(t *testing.T) {
				m := newModel(t, e, mc)
				c := Config{Steps: 150, Rows: 8, Length: 8, LearningRate: 0.02, Clip: 1, EvalEvery: 50, LogEvery: 25}
				d := textData(t, mc, c)
				before, err := Evaluate(context.Background(), m, d.Valid, 2)
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(before.Loss-math.Log(12)) > 0.2 {
					t.Errorf("an untrained model has loss %v, want about log 12", before.Loss)
				}
				r := startRun(t, m, d, c, "")
				events := finish(t, r)
				if len(events) != 6 {
					t.Fatalf("%d events, want 6", len(events))
				}
				last := events[5]
				if last.Step != 150 || last.Steps != 150 || last.Valid == nil || events[0].Valid != nil || last.Saved {
					t.Errorf("last event: %+v", last)
				}
				if last.Valid.Loss > 1 || last.TrainLoss > 1.2 {
					t.Errorf("after 150 steps the loss is %v, in validation %v", last.TrainLoss, last.Valid.Loss)
				}
				if want := last.Valid.Loss / math.Ln2 / 2; last.Valid.BitsPerByte != want ||
					last.Valid.Perplexity != math.Exp(last.Valid.Loss) {
					t.Errorf("evaluation %+v does not agree with itself", last.Valid)
				}
				trained, err := r.Model()
				if err != nil {
					t.Fatal(err)
				}
				defer trained.Close()
				after, err := Evaluate(context.Background(), trained, d.Valid, 2)
				if err != nil {
					t.Fatal(err)
				}
				if least := bestOf(events); after.Loss != least.Loss || after.Tokens != least.Tokens {
					t.Errorf("the model has loss %v, the best event %v", after.Loss, least.Loss)
				}
				if again, err := Evaluate(context.Background(), m, d.Valid, 2); err != nil || again != before {
					t.Errorf("training changed the model it began with: %v, %v", again, err)
				}
			})
		}
	}
}

func bestOf(events []Event) Evaluation {
	var b Evaluation
	for _, e := range events {
		if e.Best {
			b = *e.Valid
		}
	}
	return b
}

// Evaluation weights tokens alike: the loss does not depend on how the text is cut.
func TestEvaluateDoesNotDependOnTheBatches(t *testing.T) {
	e := backendtest.Either(t)
	stream := text(62, 5)
	loss := func(m *lm.Model, b corpus.Batches, err error) Evaluation {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		v, err := Evaluate(context.Background(), m, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	m := newModel(t, e, tinyLSTM)
	cut := func(length int) Evaluation { b, err := corpus.Carried(stream, 2, length); return loss(m, b, err) }
	whole, cut7 := cut(30), cut(7) // the last batch is shorter
	if whole.Tokens != 60 || cut7.Tokens != 60 || math.Abs(whole.Loss-cut7.Loss) > 1e-5 {
		t.Errorf("cut into carried segments: %+v, whole: %+v", cut7, whole)
	}
	fresh, err := corpus.Sweep(stream, 2, 7)
	if v := loss(m, fresh, err); math.Abs(v.Loss-whole.Loss) < 1e-4 {
		t.Errorf("rows that forget their state have the same loss %v as rows that carry it", v.Loss)
	}
	g := newModel(t, e, tinyTransformer)
	sweep := func(rows int) Evaluation { b, err := corpus.Sweep(stream, rows, 8); return loss(g, b, err) }
	if a, b := sweep(1), sweep(5); a.Tokens != 61 || b.Tokens != 61 || math.Abs(a.Loss-b.Loss) > 1e-5 {
		t.Errorf("one row at a time: %+v, five rows: %+v", a, b)
	}
}

func TestBreakSavesAndGoesOn(t *testing.T) {
	e := backendtest.Either(t)
	c := Config{Steps: 30, Rows: 4, Length: 8, LogEvery: 5, EvalEvery: 10}
	d := textData(t, tinyTransformer, c)
	dir := filepath.Join(t.TempDir(), "run")
	r := startRun(t, newModel(t, e, tinyTransformer), d, c, dir)
	for ev, err := range r.Events(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Step == 15 {
			break
		}
	}
	if s, err := readState(dir); err != nil || s.Step != 15 {
		t.Fatalf("after a break at step 15 the checkpoint is of step %d (%v)", s.Step, err)
	}
	if es := finish(t, r); es[0].Step != 20 || es[len(es)-1].Step != 30 {
		t.Errorf("the run went on at %d and ended at %d", es[0].Step, es[len(es)-1].Step)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for _, err := range r.Events(context.Background()) {
		if err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("a closed run says %v", err)
		}
	}
}

func TestCancelSaves(t *testing.T) {
	e := backendtest.PureGo(t)
	c := Config{Steps: 30, Rows: 4, Length: 8, LogEvery: 5, EvalEvery: 10}
	d := textData(t, tinyLSTM, c)
	dir := filepath.Join(t.TempDir(), "run")
	r := startRun(t, newModel(t, e, tinyLSTM), d, c, dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var failed error
	for ev, err := range r.Events(ctx) {
		if err != nil {
			failed = err
		} else if ev.Step == 10 {
			cancel()
		}
	}
	var stopped *Interrupted
	if !errors.As(failed, &stopped) || !errors.Is(failed, context.Canceled) || stopped.Step != 10 || stopped.Dir != dir {
		t.Fatalf("cancelled at step 10: %v", failed)
	}
	if m, err := lm.Open(e, dir); err != nil {
		t.Error(err)
	} else {
		m.Close()
	}
}

func TestPatience(t *testing.T) {
	e := backendtest.PureGo(t)
	c := Config{Steps: 200, Rows: 4, Length: 8, LearningRate: 1e-30, EvalEvery: 5, Patience: 3}
	r := startRun(t, newModel(t, e, tinyTransformer), textData(t, tinyTransformer, c), c, "")
	es := finish(t, r)
	if last := es[len(es)-1]; last.Step != 20 {
		t.Errorf("nothing is learned after step 5: the run ended at step %d, want 20", last.Step)
	}
}

// poisoned data turn the loss to NaN by way of the weights.
func TestDivergenceKeepsTheLastGoodCheckpoint(t *testing.T) {
	e := backendtest.PureGo(t)
	c := Config{Steps: 40, Rows: 4, Length: 8, LogEvery: 1, EvalEvery: 5}
	d := textData(t, tinyTransformer, c)
	dir := filepath.Join(t.TempDir(), "run")
	r := startRun(t, newModel(t, e, tinyTransformer), d, c, dir)
	var failed error
	for ev, err := range r.Events(context.Background()) {
		if failed = err; err == nil && ev.Step == 12 {
			r.drop() // the next step has its rate already
			r.config.LearningRate = 1e38
		}
	}
	if !errors.Is(failed, ErrDiverged) || !strings.Contains(failed.Error(), "step 10") ||
		strings.Contains(failed.Error(), "\n") {
		t.Fatalf("diverged: %v", failed)
	}
	if s, err := readState(dir); err != nil || s.Step != 10 {
		t.Fatalf("the checkpoint is of step %d: %v", s.Step, err)
	}
	m, err := lm.Open(e, dir)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	for _, err := range r.Events(context.Background()) {
		if !errors.Is(err, ErrDiverged) {
			t.Errorf("a diverged run goes on: %v", err)
		}
	}
}

func TestStartErrors(t *testing.T) {
	e := backendtest.PureGo(t)
	ok := Config{Steps: 2, Rows: 4, Length: 8}
	held := filepath.Join(t.TempDir(), "held")
	startRun(t, newModel(t, e, tinyLSTM), textData(t, tinyLSTM, ok), ok, held)
	aModel := t.TempDir()
	if err := newModel(t, e, tinyLSTM).Save(aModel); err != nil {
		t.Fatal(err)
	}
	aFile := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(aFile, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	long := Config{Rows: 4, Length: 9}
	endless, err := corpus.Windows(text(90, 1), 4, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		model   lm.Config
		data    func(c Config) Data
		config  Config
		dir     string
		wantErr string
	}{
		{"held", tinyLSTM, nil, ok, held, "already holds a run, at step 0 of 2: resume it, or choose another folder"},
		{"model", tinyLSTM, nil, ok, aModel, "already holds a model"},
		{"file", tinyLSTM, nil, ok, aFile, "not a directory"},
		{"mistakes", tinyLSTM, nil, Config{Steps: -1, LearningRate: math.NaN()}, "", "the learning rate is NaN"},
		{"no data", tinyLSTM, func(Config) Data { return Data{} }, ok, "", "no data"},
		{"too long", tinyTransformer, func(Config) Data { return textData(t, tinyTransformer, long) }, long, "",
			"longer than the model's context of 8"},
		{"vocabulary", lm.Config{Arch: lm.LSTM, Vocab: 5, Width: 8, Hidden: 12, Layers: 1}, nil, ok, "",
			"outside the model's vocabulary of 5"},
		{"endless epochs", tinyTransformer, nil, Config{Epochs: 2, Rows: 4, Length: 8}, "", "give a number of steps"},
		{"endless schedule", tinyTransformer, nil, Config{Steps: 2, Schedule: StepLR, Rows: 4, Length: 8}, "", "no epochs"},
		{"endless validation", tinyTransformer, func(Config) Data { return Data{Train: endless, Valid: endless} }, ok, "",
			"the data to validate on have no end"},
		{"long warm-up", tinyLSTM, nil, Config{Steps: 5, Warmup: 5, Rows: 4, Length: 8}, "", "does not fit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := c.data
			if data == nil {
				data = func(Config) Data { return textData(t, c.model, ok) }
			}
			r, err := Start(newModel(t, e, c.model), data(c.config), c.config, c.dir)
			if err == nil {
				r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("got %v, want ... %s ...", err, c.wantErr)
			}
		})
	}
	if _, err := Text(tinyLSTM, ok, nil, text(5, 1), nil); err == nil ||
		!strings.Contains(err.Error(), "the corpus has 5 tokens") {
		t.Errorf("a corpus that is too short: %v", err)
	}
	if _, err := Evaluate(context.Background(), newModel(t, e, tinyTransformer), endless, 0); err == nil ||
		!strings.Contains(err.Error(), "no end") {
		t.Errorf("an evaluation without end: %v", err)
	}
}
