package relevance

import (
	"context"

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
	const embed = lm.Tap("embed")
	n := len(p.Baselines)
	query := lm.Query{Rows: p.Rows(2 * n), Of: []lm.Objective{p.Objective}, Wrt: []lm.Tap{embed}, Rules: lm.DeepLIFT}
	var replaced []int
	for _, f := range p.Features {
		replaced = append(replaced, f.Tokens...)
	}
	for b, baseline := range p.Baselines {
		query.Edits = append(query.Edits, lm.Edit{Tap: embed, Rows: []int{2*b + 1}, Positions: replaced,
			With: lm.FromValues(baseline.Vector)})
	}
	a, err := p.Run(ctx, query)
	if err != nil {
		return explain.Scores{}, err
	}
	per := make([][]float64, len(p.Features)) // [features][baselines]
	for b := range n {
		base := a.At[embed].Index(2*b + 1)
		for f, s := range sums(p, perToken(a.At[embed].Index(2*b), &base, a.Grad[embed].Index(2*b))) {
			per[f] = append(per[f], s)
		}
	}
	promise := &explain.Promise{Total: p.Value - p.Base(), Of: explain.Difference,
		Cure: "contributions that are much larger than their sum cancel, and rounding shows: choose another baseline"}
	s := explain.Scores{Promise: promise}
	for _, x := range per {
		mean, sd := stat.MeanStdDev(x, nil)
		s.Values = append(s.Values, mean)
		if n > 1 {
			s.Spread = append(s.Spread, stat.StdErr(sd, float64(n)))
		}
	}
	return s, nil
}
