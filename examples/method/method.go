// Package method adds an explanation method to lmkit from outside: all of it is in this file.
package method

import (
	"context"

	"lmkit.internal/lmkit/explain"
)

// KeepOne scores a feature by what the objective is with that feature alone, compared with nothing: occlusion turned
// round. It finds causes that suffice, where occlusion finds those that are needed.
type KeepOne struct{}

// Name implements explain.Method.
func (KeepOne) Name() string { return "keep-one" }

// Score implements explain.Method. The problem has all that a method needs (tokens, target, foil, features, baselines),
// and evidence is not a method's business: explain.Explain measures it. Cost: one row forward a feature and a baseline.
func (k KeepOne) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	scores, err := k.Play(ctx, p.Game()) // absent features are replaced by the baseline
	if err != nil {
		return explain.Scores{}, err
	}
	return explain.Scores{Values: scores}, nil
}

// Play scores the features of any game, so that the method can be tested, and used, without a model.
func (KeepOne) Play(ctx context.Context, g explain.Game) ([]float64, error) {
	of := []explain.Coalition{explain.Only(g.Features())} // nothing
	for f := range g.Features() {
		of = append(of, explain.Only(g.Features(), f))
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
