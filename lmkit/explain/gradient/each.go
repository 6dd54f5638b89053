package gradient

import (
	"cmp"
	"context"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
)

// heldNumbers bounds the gradients that a query of many rows returns.
const heldNumbers = 64 << 20

// ScoreEach implements explain.EachToken. Cost: a row forward and backward a token.
func (s Saliency) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	if s.Norm == 0 {
		s.Norm = 2
	}
	return eachGradient(ctx, p, parts, func(_, grad lm.Array) explain.Scores {
		return explain.Scores{Settings: s, Values: norms(p, grad, s.Norm), Unit: p.Unit + " per embedding unit"}
	})
}

// ScoreEach implements explain.EachToken. Cost: a row forward and backward a token.
func (x InputXGradient) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	return eachGradient(ctx, p, parts, func(at, grad lm.Array) explain.Scores {
		return explain.Scores{Values: dots(p, at, grad)}
	})
}

// eachGradient scores each part by the embeddings and its gradient by them.
func eachGradient(
	ctx context.Context, p *explain.Problem, parts []explain.Part, score func(at, grad lm.Array) explain.Scores,
) (all []explain.Scores, err error) {
	p.Expect(2 * len(parts))
	for chunk := range slices.Chunk(parts, max(8, heldNumbers/len(p.Embeddings.Data))) {
		q := lm.Query{Rows: p.Rows(len(chunk)), Wrt: []lm.Tap{embed}}
		for _, x := range chunk {
			q.Of = append(q.Of, x.Objective)
		}
		a, err := p.Run(ctx, q)
		if err != nil {
			return nil, err
		}
		for k := range chunk {
			all = append(all, score(a.At[embed].Index(k), a.Grad[embed].Index(k)))
		}
	}
	return all, nil
}

// ScoreEach implements explain.EachToken: on the way from a baseline, the answer's earlier tokens go with the input's.
// Cost: as Score, for each token, the points of all tokens in the same queries.
func (ig Integrated) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	if err := checkSteps(ig.Name(), ig.Steps, ig.Budget); err != nil {
		return nil, err
	}
	var lines []line
	var totals []float64
	for k := range parts {
		for b, base := range p.Baselines {
			lines = append(lines, line{p.Positions(p.AllFeatures()), base.Vector, &parts[k]})
			totals = append(totals, parts[k].Value-parts[k].Bases[b])
		}
	}
	budget := cmp.Or(ig.Budget, len(p.Baselines)*defaultBudget+len(lines)*lineBudget)
	per, err := integrals(ctx, p, lines, totals, ig.Steps, budget, 0)
	if err != nil {
		return nil, err
	}
	var all []explain.Scores
	n := len(p.Baselines)
	for k, x := range parts {
		mean, spread := numerics.MeanAndError(per[k*n : (k+1)*n])
		all = append(all, explain.Scores{Values: mean, Spread: spread, Settings: ig,
			Promise:  &explain.Promise{Total: x.Value - x.Base(), Of: explain.Difference, Cure: cureIntegral(ig.Steps)},
			Warnings: tooSmall(ig.Steps, ig.Budget, len(lines))})
	}
	return all, nil
}
