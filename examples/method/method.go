// Package method adds an explanation method to lmkit from outside: all of it is in this file.
package method

import (
	"context"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// KeepOne scores a feature by what the objective is with that feature alone, compared with nothing: occlusion turned
// round. It finds causes that suffice, where occlusion finds those that are needed.
type KeepOne struct{}

// Name implements explain.Method.
func (KeepOne) Name() string { return "keep-one" }

// Explain implements explain.Method. Cost: one row forward a feature and a baseline, and one a baseline.
func (k KeepOne) Explain(ctx context.Context, m *lm.Model, q explain.Question) (*explain.Attribution, error) {
	p, err := explain.Prepare(ctx, m, q) // tokens, target, foil, features, baselines
	if err != nil {
		return nil, err
	}
	scores, err := k.Play(ctx, p.Game()) // absent features are replaced by the baseline
	if err != nil {
		return nil, err
	}
	// Finish measures the evidence: does deleting what the method names change the prediction?
	return p.Finish(ctx, explain.Result{Name: k.Name(), Scores: scores, Estimated: (len(scores) + 1) * len(p.Baselines)})
}

// Play scores the features of any game, so that the method can be tested, and used, without a model.
func (KeepOne) Play(ctx context.Context, g explain.Game) ([]float64, error) {
	of := []explain.Coalition{make(explain.Coalition, g.Features())} // nothing
	for f := range g.Features() {
		alone := make(explain.Coalition, g.Features())
		alone[f] = true
		of = append(of, alone)
	}
	values, err := g.Values(ctx, of)
	if err != nil {
		return nil, err
	}
	scores := make([]float64, g.Features())
	for f := range scores {
		scores[f] = values[f+1] - values[0]
	}
	return scores, nil
}
