package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// checkSteps is how many steps both sides do without dropout, to see that their losses agree.
const checkSteps = 4

// config is the training that a row asks for, without end.
func (r Row) config() train.Config {
	c := train.Config{Steps: 1 << 30, EvalEvery: 1 << 30, LogEvery: r.Steps, Clip: r.Clip, Beta2: r.Beta2,
		WeightDecay: r.WeightDecay}
	if r.WeightDecay > 0 {
		c.Optimizer = train.AdamW
	}
	return c
}

func measureTraining(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	losses, err := lossesWithoutDropout(ctx, m, r)
	if err != nil {
		return err
	}
	got.Values["loss"] = losses

	run, err := train.Start(m, train.Data{Train: newStream(m, r)}, r.config(), "")
	if err != nil {
		return err
	}
	defer run.Close()
	began := time.Now()
	var watch *stopwatch
	for _, err := range run.Events(ctx) {
		if err != nil {
			return err
		}
		if watch == nil { // the first steps compile
			got.First = time.Since(began).Seconds()
			watch = start()
			continue
		}
		got.Samples = append(got.Samples, float64(r.Steps*r.Batch*r.Length)/watch.lap())
		if watch.enough(r) {
			break
		}
	}
	got.Others = watch.others()
	return nil
}

// lossesWithoutDropout trains a few steps: their losses prove forward pass, gradients, clipping and optimiser at once.
func lossesWithoutDropout(ctx context.Context, m *lm.Model, r Row) ([]float64, error) {
	weights, err := m.Weights()
	if err != nil {
		return nil, err
	}
	shape := m.Config()
	shape.Dropout = 0
	plain, err := lm.FromWeights(m.Engine(), shape, nil, weights)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	c := r.config()
	c.Steps, c.LogEvery = checkSteps, 1
	run, err := train.Start(plain, train.Data{Train: newStream(m, r)}, c, "")
	if err != nil {
		return nil, err
	}
	defer run.Close()
	var losses []float64
	for e, err := range run.Events(ctx) {
		if err != nil {
			return nil, err
		}
		losses = append(losses, e.TrainLoss)
	}
	return losses, nil
}

func measureEvaluation(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	// The first batch compiles; the clock starts at the second, and laps every Steps batches.
	b := newStream(m, r)
	b.length = 1 + r.Steps*max(r.Samples, 6)
	b.lap = func(i int) {
		switch {
		case i == 0:
			b.watch = start()
		case i == 1:
			got.First = b.watch.lap()
			b.watch = start()
		case (i-1)%r.Steps == 0:
			got.Samples = append(got.Samples, float64(r.Steps*r.Batch*r.Length)/b.watch.lap())
		}
	}
	e, err := train.Evaluate(ctx, m, b, 0)
	if err != nil {
		return err
	}
	b.lap(b.length) // the last batch ends with the evaluation
	got.Values["loss"], got.Others = []float64{e.Loss}, b.watch.others()
	return nil
}

// measureCompilation is the time from Start to the first step's loss, less what a step takes.
func measureCompilation(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	c := r.config()
	c.LogEvery = 1
	watch := start()
	run, err := train.Start(m, train.Data{Train: newStream(m, r)}, c, "")
	if err != nil {
		return err
	}
	defer run.Close()
	var laps []float64
	for _, err := range run.Events(ctx) {
		if err != nil {
			return err
		}
		if laps = append(laps, watch.lap()); len(laps) == 4 {
			break
		}
	}
	if len(laps) < 4 {
		return errors.New("the run ended before its time")
	}
	got.First = laps[0]
	got.Samples = []float64{max(0, laps[0]-slices.Sorted(slices.Values(laps[1:]))[1])}
	got.Others = watch.others()
	return nil
}

// period is after how many batches the data begin again.
const period = 64

// stream is batches of tokens that either side can make: token k of the stream is tokenAt(k).
type stream struct {
	tokens      []token.ID
	rows, width int
	length      int // batches; 0: no end
	lap         func(i int)
	watch       *stopwatch
}

func newStream(m *lm.Model, r Row) *stream {
	tokens := make([]token.ID, period*r.Batch*r.Length+1)
	for k := range tokens {
		tokens[k] = tokenAt(uint32(k), m.Config().Vocab)
	}
	return &stream{tokens: tokens, rows: r.Batch, width: r.Length}
}

// tokenAt scrambles k as the finaliser of MurmurHash3 does.
func tokenAt(k uint32, vocab int) token.ID {
	k = (k + 1) * 0x9e3779b1
	k = (k ^ k>>16) * 0x85ebca6b
	k = (k ^ k>>13) * 0xc2b2ae35
	return token.ID((k ^ k>>16) % uint32(vocab))
}

// Len implements corpus.Batches.
func (s *stream) Len() int { return s.length }

// At implements corpus.Batches: row r of batch i is the stretch i*rows+r of the stream. An LSTM carries its state on.
func (s *stream) At(i int) (corpus.Batch, error) {
	if s.lap != nil {
		s.lap(i)
	}
	n := s.rows * s.width
	at := i % period * n
	return corpus.Batch{Inputs: s.tokens[at : at+n], Targets: s.tokens[at+1 : at+n+1], Rows: s.rows, Length: s.width,
		Fresh: i == 0}, nil
}
