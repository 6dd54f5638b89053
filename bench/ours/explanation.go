package main

import (
	"context"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// method is what a row of a kind runs.
func method(r Row) explain.Method {
	switch r.Kind {
	case "ig":
		return gradient.Integrated{Steps: r.Points}
	case "ig-equal-error", "start", "memory":
		return gradient.Integrated{}
	case "occlusion":
		return perturb.Occlusion{}
	case "lime":
		return surrogate.LIME{Samples: r.Draws}
	case "kernelshap":
		return shapley.Kernel{Budget: r.Draws}
	}
	return shapley.Exact{}
}

func (r Row) question(k int) explain.Question {
	first := explain.ScoreFirst
	if r.Hold {
		first = explain.HoldFirst
	}
	baseline := fmt.Sprintf("#%d", r.Baseline)
	if r.Mean {
		baseline = "mean"
	}
	return explain.Question{IDs: r.Prompts[k], Target: []token.ID{r.Target}, Objective: explain.Logit, FirstToken: first,
		Baseline: baseline, Tolerance: r.Tolerance, Seed: 1}
}

// measureExplanation times a method as a user calls it: with the evidence that every attribution carries.
func measureExplanation(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	return r.sample(got, func() error {
		as, err := explain.Explain(ctx, m, r.question(0), method(r))
		if err != nil {
			return err
		}
		a := as[0]
		got.Values["value"], got.Values["scores"] = []float64{a.Value, a.Base}, a.Scores
		return nil
	})
}

// measureEqualError refines integrated gradients of several texts to one error; a sample is the mean time of a text.
func measureEqualError(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	err := r.sample(got, func() error {
		clear(got.Values)
		got.GFLOP = 0
		for k := range r.Prompts {
			as, err := explain.Explain(ctx, m, r.question(k), method(r))
			if err != nil {
				return err
			}
			a := as[0]
			if a.Evidence.Completeness == nil {
				return errors.New("an attribution does not say how complete it is")
			}
			got.computed(m.Config(), len(r.Prompts[k]), a.Cost.ForwardRows+a.Cost.BackwardRows)
			got.Values["value"] = append(got.Values["value"], a.Value, a.Base)
			got.Values["scores"] = append(got.Values["scores"], a.Scores...)
			got.Values["error"] = append(got.Values["error"], a.Evidence.Completeness.Relative)
		}
		return nil
	})
	for i := range got.Samples {
		got.Samples[i] /= float64(len(r.Prompts))
	}
	got.GFLOP /= float64(len(r.Prompts))
	return err
}

func measureGeneration(ctx context.Context, m *lm.Model, r Row, got *Measurement) error {
	err := r.sample(got, func() error {
		clear(got.Values)
		for t, err := range generate.Stream(ctx, m, r.Prompts[0], generate.Config{Tokens: r.Tokens}) {
			if err != nil {
				return err
			}
			got.Values["tokens"] = append(got.Values["tokens"], float64(t.ID))
		}
		return nil
	})
	for i, ms := range got.Samples {
		got.Samples[i] = float64(r.Tokens) / ms * 1000
	}
	return err
}

// long is the seconds from which a first call is warming up enough: what it compiled is little of it.
const long = 5

// sample calls do to warm up (the first call compiles; a second one follows unless that was long), then until there are
// samples enough, in milliseconds.
func (r Row) sample(got *Measurement, do func() error) error {
	watch := start()
	if err := do(); err != nil {
		return err
	}
	got.First = watch.lap()
	if got.First < long {
		if err := do(); err != nil {
			return err
		}
	}
	watch = start()
	for len(got.Samples) == 0 || !watch.enough(r) {
		if err := do(); err != nil {
			return err
		}
		got.Samples = append(got.Samples, watch.lap()*1000)
	}
	got.Others = watch.others()
	return nil
}
