// Package trial trains small models on planted tasks until they know them: models of which the true cause of every
// answer is known, to try explanations on.
package trial

import (
	"context"
	"slices"
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
	Arch     string  // lm.Transformer or lm.LSTM
	Width    int     // of embedding and hidden state; 0: 64
	Items    int     // texts to learn from; 0: 4,000
	Steps    int     // at the most; 0: 3,000. It ends earlier, as soon as the model knows the task
	Rate     float64 // the learning rate; 0: 0.002
	Warmup   int     // steps over which it rises
	Seed     uint64
	Enough   float64       // nats a label on unseen texts, at which the model knows the task; 0: 0.02
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
	enough    = 0.02
)

// Train trains a model to predict the labels of a task's items, each text in a row of its own.
func Train(ctx context.Context, e *backend.Engine, task *plant.Task, c Config) (*Trained, error) {
	c.Items = or(c.Items, 4000)
	tok, err := Tokenizer(task)
	if err != nil {
		return nil, err
	}
	var parts [2][]corpus.Example
	for i, part := range []plant.Part{plant.Train, plant.Valid} {
		n := []int{c.Items, 200}[i]
		if parts[i], err = plant.Examples(tok, task.Items(c.Seed, part, n)); err != nil {
			return nil, err
		}
	}
	shape := lm.Config{Vocab: tok.Size(), Dropout: 0.1}
	if c.Arch == lm.LSTM {
		shape.Dropout = 0.3
	}
	return Learn(ctx, e, shape, tok, parts[0], parts[1], c)
}

// Tokenizer has the words of a task.
func Tokenizer(task *plant.Task) (token.Tokenizer, error) {
	return token.NewWord(slices.Values(task.Vocabulary()), token.WordConfig{})
}

// Learn trains a model on examples, each in a row of its own, as Train does: one of the shape's vocabulary and dropout.
// tok may be nil.
func Learn(ctx context.Context, e *backend.Engine, shape lm.Config, tok token.Tokenizer,
	examples, valid []corpus.Example, c Config) (*Trained, error) {
	c.Width, c.Steps, c.Enough = or(c.Width, 64), or(c.Steps, 3000), or(c.Enough, enough)
	var data train.Data
	longest := 0
	for _, part := range []struct {
		to       *corpus.Batches
		examples []corpus.Example
	}{{&data.Train, examples}, {&data.Valid, valid}} {
		for _, e := range part.examples {
			longest = max(longest, len(e.Tokens))
		}
		var err error
		if *part.to, err = corpus.Padded(part.examples, 50); err != nil {
			return nil, err
		}
	}
	m := shape
	m.Arch, m.Width, m.Layers = c.Arch, c.Width, 2
	if m.Recurrent() {
		m.Hidden, m.Layers = c.Width, 1
	} else {
		m.Heads, m.Context, m.Tied = Heads, longest, true
	}
	fresh, err := lm.New(e, m, tok, c.Seed)
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	run, err := train.Start(fresh, data, train.Config{Optimizer: train.AdamW, LearningRate: or(c.Rate, 2e-3),
		Warmup: c.Warmup, WeightDecay: 0.1, Clip: 1, Steps: c.Steps, EvalEvery: evalEvery, LogEvery: 10, Seed: c.Seed}, "")
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
			if t.Loss = e.Valid.Loss; t.Loss < c.Enough {
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

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
