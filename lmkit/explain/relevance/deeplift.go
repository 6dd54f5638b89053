package relevance

import (
	"context"
	"slices"

	"gonum.org/v1/gonum/stat"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// DeepLIFT shares out the difference between input and baseline (Shrikumar et al., 2017; the rescale rule, with the
// exact rule (difference of a)*(mean of b) + (difference of b)*(mean of a) for products ab, through softmax and
// LayerNorm, too). The scores add up to f(x)-f(x') to rounding, for any model and objective.
type DeepLIFT struct{}

// Name implements explain.Method.
func (DeepLIFT) Name() string { return "deeplift" }

// Score implements explain.Method. Several baselines are averaged, and Spread is the standard error over them. Cost:
// two rows forward and backward, a baseline.
func (d DeepLIFT) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	a, err := p.Evaluate(ctx, pairs(p, 1))
	if err != nil {
		return explain.Scores{}, err
	}
	return d.scores(p, a, 0, p.Value-p.Base()), nil
}

// ScoreEach implements explain.EachToken. Cost: two rows forward and backward for each token and baseline.
func (d DeepLIFT) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) (all []explain.Scores, err error) {
	n := len(p.Baselines)
	p.Expect(4 * n * len(parts))
	for chunk := range slices.Chunk(parts, max(4, heldNumbers/len(p.Embeddings.Data)/2/n)) {
		q := pairs(p, len(chunk))
		for _, x := range chunk {
			for range 2 * n {
				q.Of = append(q.Of, x.Objective)
			}
		}
		a, err := p.Run(ctx, q)
		if err != nil {
			return nil, err
		}
		for k, x := range chunk {
			all = append(all, d.scores(p, a, 2*n*k, x.Value-x.Base()))
		}
	}
	return all, nil
}

// embed is the activation that is shared out.
const embed = lm.Tap("embed")

// pairs is, some times over, the input beside each baseline.
func pairs(p *explain.Problem, times int) lm.Query {
	n := len(p.Baselines)
	q := lm.Query{Rows: p.Rows(2 * n * times), Wrt: []lm.Tap{embed}, Rules: lm.DeepLIFT}
	replaced := p.Positions(p.AllFeatures())
	for i := range n * times {
		q.Edits = append(q.Edits, lm.Edit{Tap: embed, Rows: []int{2*i + 1}, Positions: replaced,
			With: lm.FromValues(p.Baselines[i%n].Vector)})
	}
	return q
}

// scores returns what the pairs of rows from first on share out, which must add up to total.
func (DeepLIFT) scores(p *explain.Problem, a *lm.Answer, first int, total float64) explain.Scores {
	n := len(p.Baselines)
	per := make([][]float64, len(p.Features)) // [features][baselines]
	for b := range n {
		row := first + 2*b
		base := a.At[embed].Index(row + 1)
		for f, s := range sums(p, perToken(a.At[embed].Index(row), &base, a.Grad[embed].Index(row))) {
			per[f] = append(per[f], s)
		}
	}
	promise := &explain.Promise{Total: total, Of: explain.Difference,
		Cure: "contributions that are much larger than their sum cancel, and rounding shows: choose another baseline"}
	s := explain.Scores{Promise: promise}
	for _, x := range per {
		mean, sd := stat.MeanStdDev(x, nil)
		s.Values = append(s.Values, mean)
		if n > 1 {
			s.Spread = append(s.Spread, stat.StdErr(sd, float64(n)))
		}
	}
	return s
}
