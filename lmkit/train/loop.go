package train

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"lmkit.internal/lmkit/internal/program"
)

// Events trains, and tells of it. It ends with the run, or with an error. When ctx is cancelled, a checkpoint is saved
// and the error is an [Interrupted]. A break saves a checkpoint too; ranging over Events again goes on from there.
func (r *Run) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := r.loop(ctx, func(e Event) bool { return yield(e, nil) }); err != nil {
			yield(Event{}, fmt.Errorf("train: %w", err))
		}
	}
}

func (r *Run) loop(ctx context.Context, yield func(Event) bool) error {
	if r.failed != nil {
		return r.failed
	}
	began, before := time.Now(), r.state.Seconds
	tick := func() { r.state.Seconds = before + time.Since(began).Seconds() }
	r.watch.start()
	r.recent = 0
	for {
		tick()
		if r.due() {
			e, err := r.event(ctx)
			if err != nil {
				return r.stop(ctx, err)
			}
			if !yield(e) {
				r.unsaid = r.save()
				return nil
			}
			r.watch.start()
			r.recent = 0
		}
		if r.Done() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return r.stop(ctx, err)
		}
		if err := r.advance(ctx); err != nil {
			return r.stop(ctx, fmt.Errorf("step %d: %w", r.state.Step+1, err))
		}
	}
}

// stop ends the iteration: the run can go on if it was the context that stopped it, and else not.
func (r *Run) stop(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		if err = r.save(); err == nil {
			return &Interrupted{Step: r.state.Step, Dir: r.dir, cause: cause}
		}
	}
	r.failed = err
	return err
}

// due reports whether the step that was just done is one to tell of.
func (r *Run) due() bool {
	return r.state.Step > r.state.Logged && (r.state.Step%r.config.LogEvery == 0 || r.saveDue())
}

func (r *Run) evalDue() bool {
	return r.state.Step%r.config.EvalEvery == 0 || r.state.Step == r.config.Steps
}

func (r *Run) saveDue() bool {
	return r.evalDue() || r.config.SaveEvery > 0 && r.state.Step%r.config.SaveEvery == 0 || r.keepDue()
}

// advance does one step. When ctx ends while the step is compiled, before the first one, nothing is done.
func (r *Run) advance(ctx context.Context) error {
	s := &r.state
	b := r.batch(s.Step)
	if b.err != nil {
		return b.err
	}
	defer b.args.free()
	args := along(r.kept, b.args)
	if !r.compiled {
		compile, err := r.program.Ready(ctx, args)
		r.watch.less += compile
		if err != nil {
			return err
		}
		r.compiled = true
	}
	outs, compile, err := r.program.Run(args)
	if err != nil {
		return err
	}
	r.kept.free() // the engine's memory: Go's collector does not see how much it is
	r.kept = apart(outs, r.devices)
	r.memory.tidy()
	r.watch.less += compile
	r.recent += b.read
	s.Pending += b.scored
	s.Step++
	return nil
}

// event measures where the run stands, and writes it down.
func (r *Run) event(ctx context.Context) (Event, error) {
	s := &r.state
	got, err := r.kept.copy(r.engine, program.Whole, len(r.kept[0])-1)
	if err != nil {
		return Event{}, err
	}
	progress := got.Data
	e := Event{Step: s.Step, Steps: r.config.Steps, Seconds: s.Seconds, LearningRate: r.config.rate(s.Step-1, r.epoch),
		TrainLoss: float64(progress[0]) / float64(max(1, s.Pending)), GradNorm: float64(progress[1])}
	e.TokensPerSecond = float64(r.recent) / max(r.watch.seconds(), 1e-9)
	if r.epoch > 0 {
		e.Epoch = (s.Step-1)/r.epoch + 1
	}
	if !finite(e.TrainLoss) || !finite(e.GradNorm) {
		return Event{}, r.diverged(fmt.Sprintf("the loss is %v and the gradient's norm %v", progress[0], progress[1]))
	}
	if r.eval != nil && r.evalDue() {
		n, err := r.eval.run(ctx, r.kept[0][:len(r.model.Params())], r.data.Valid)
		if err != nil {
			return Event{}, err
		}
		v := n.evaluation(r.data.BytesPerToken)
		if !finite(v.Loss) {
			return Event{}, r.diverged(fmt.Sprintf("the validation loss is %v", v.Loss))
		}
		if err := r.judge(&e, v); err != nil {
			return Event{}, err
		}
	}
	if err := r.restart(); err != nil {
		return Event{}, err
	}
	s.Pending, s.Logged = 0, s.Step
	e.Saved = r.dir != "" && r.saveDue()
	r.curve = append(r.curve, e)
	if err := r.log(e); err != nil {
		return Event{}, err
	}
	if r.saveDue() {
		return e, r.save()
	}
	return e, nil
}

// restart zeroes the progress.
func (r *Run) restart() error {
	for d, ts := range r.kept {
		last := len(ts) - 1
		zero, err := program.PutOn(r.engine, d, []float32{0, 0}, 2)
		if err != nil {
			return err
		}
		program.Free(ts[last])
		ts[last] = zero
	}
	return nil
}

// judge compares an evaluation with the best so far.
func (r *Run) judge(e *Event, v Evaluation) (err error) {
	s := &r.state
	e.Valid, s.Since = &v, s.Since+1
	if s.Best != nil && v.Loss >= s.Best.Loss {
		return nil
	}
	s.Best, s.Since, e.Best = &best{s.Step, v.Loss}, 0, true
	if r.dir == "" {
		r.best, err = r.weights()
	}
	return err
}

func (r *Run) diverged(what string) error {
	where := "nothing was saved, as the run has no folder"
	if r.dir != "" {
		where = fmt.Sprintf("the last good checkpoint, of step %d, is kept in %s", r.state.saved.step, r.dir)
	}
	return fmt.Errorf("%w: %s at step %d; %s; take a lower learning rate, a longer warm-up or a smaller clipping norm",
		ErrDiverged, what, r.state.Step, where)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// stopwatch measures the time that is spent in steps.
type stopwatch struct {
	began time.Time
	less  time.Duration // what does not count: compilation
}

func (s *stopwatch) start() { s.began, s.less = time.Now(), 0 }

func (s *stopwatch) seconds() float64 { return (time.Since(s.began) - s.less).Seconds() }
