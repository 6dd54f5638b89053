// Package trial trains small models on planted tasks until they know them.
package trial

import (
	"context"
	"time"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// Config says what to train.
type Config struct {
	Arch     string // lm.Transformer or lm.LSTM
	Width    int    // of embedding and hidden state; 0: 64
	Items    int    // texts to learn from; 0: 4,000
	Steps    int    // at the most; 0: 3,000. It ends earlier, as soon as the model knows the task
	Seed     uint64
	Progress progress.Func // hears of the steps
	What     string        // what Progress is told
}

// Heads is how many heads of attention a Transformer has; its width is a multiple.
const Heads = 4

// Trained is a model and how it came about.
type Trained struct {
	Model   *lm.Model
	Steps   int
	Loss    float64 // on unseen texts, in nats a label
	Seconds float64
	Curves  plot.Curves
}

const (
	evalEvery = 50
	enough    = 0.02 // nats a label on unseen texts: the model knows the task
)

// Train trains a model to predict the labels of a task's items, each text in a row of its own.
func Train(ctx context.Context, e *backend.Engine, task *plant.Task, c Config) (*Trained, error) {
	c.Width, c.Items, c.Steps = or(c.Width, 64), or(c.Items, 4000), or(c.Steps, 3000)
	tok, err := token.NewWord(func(yield func(string) bool) {
		for _, w := range task.Vocabulary() {
			if !yield(w) {
				return
			}
		}
	}, token.WordConfig{})
	if err != nil {
		return nil, err
	}
	data, longest, err := batches(tok, task, c)
	if err != nil {
		return nil, err
	}
	m := lm.Config{Arch: c.Arch, Vocab: tok.Size(), Width: c.Width, Layers: 2, Dropout: 0.1}
	if m.Recurrent() {
		m.Hidden, m.Layers, m.Dropout = c.Width, 1, 0.3
	} else {
		m.Heads, m.Context, m.Tied = Heads, longest, true
	}
	fresh, err := lm.New(e, m, tok, c.Seed)
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	run, err := train.Start(fresh, data, train.Config{Optimizer: train.AdamW, LearningRate: 2e-3, WeightDecay: 0.1,
		Clip:  1,
		Steps: c.Steps, EvalEvery: evalEvery, LogEvery: 10, Seed: c.Seed}, "")
	if err != nil {
		return nil, err
	}
	defer run.Close()
	return follow(ctx, run, c)
}

// follow runs the training to its end, or until the model knows the task.
func follow(ctx context.Context, run *train.Run, c Config) (*Trained, error) {
	start := time.Now()
	t := &Trained{}
	var learned, judged []plot.Point
	for e, err := range run.Events(ctx) {
		if err != nil {
			return nil, err
		}
		t.Steps = e.Step
		c.Progress.At(c.What, int64(e.Step), int64(c.Steps), progress.Steps)
		learned = append(learned, plot.Point{X: float64(e.Step), Y: e.TrainLoss})
		if e.Valid != nil {
			judged = append(judged, plot.Point{X: float64(e.Step), Y: e.Valid.Loss})
			if t.Loss = e.Valid.Loss; t.Loss < enough {
				break
			}
		}
	}
	c.Progress.At(c.What, int64(c.Steps), int64(c.Steps), progress.Steps)
	t.Seconds = time.Since(start).Seconds()
	t.Curves = plot.Loss(learned, judged)
	var err error
	t.Model, err = run.Model()
	return t, err
}

func batches(tok token.Tokenizer, task *plant.Task, c Config) (data train.Data, longest int, err error) {
	for _, part := range []struct {
		to   *corpus.Batches
		part plant.Part
		n    int
	}{{&data.Train, plant.Train, c.Items}, {&data.Valid, plant.Valid, 200}} {
		examples, err := plant.Examples(tok, task.Items(c.Seed, part.part, part.n))
		if err != nil {
			return data, 0, err
		}
		for _, e := range examples {
			longest = max(longest, len(e.Tokens))
		}
		if *part.to, err = corpus.Padded(examples, 50); err != nil {
			return data, 0, err
		}
	}
	return data, longest, nil
}

func or(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}
