package relevance

import (
	"context"

	"gonum.org/v1/gonum/stat"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// GIM is gradient times the difference from the baseline, with three changes to the gradients of a Transformer
// (gradient interaction modifications; Edin et al., 2025): softmax has the derivative that it has at twice the
// temperature, since attention makes up for what is taken from it and the derivatives of sharp patterns are too small;
// the scales of norms are constants; and the factors of a product share its gradient, so that a value gets half, a
// query and a key a quarter. The scores need not add up to anything.
type GIM struct{}

// Name implements explain.Method.
func (GIM) Name() string { return "gim" }

// Suits implements explain.Selective: the changes are to attention.
func (x GIM) Suits(m *lm.Model, _ explain.Question) error { return lm.GIM.Check(m.Config()) }

// Score implements explain.Method. Several baselines are averaged, and Spread is the standard error over them. Cost:
// one row forward and backward.
func (x GIM) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	const embed = lm.Tap("embed")
	a, err := p.Evaluate(ctx, lm.Query{Rows: p.Rows(1), Wrt: []lm.Tap{embed}, Rules: lm.GIM})
	if err != nil {
		return explain.Scores{}, err
	}
	input, gradient := a.At[embed].Index(0), a.Grad[embed].Index(0)
	var per [][]float64 // [baselines][features]
	for _, baseline := range p.Baselines {
		base := lm.Array{Dims: input.Dims}
		for range input.Dims[0] {
			base.Data = append(base.Data, baseline.Vector.Data...)
		}
		per = append(per, sums(p, perToken(input, &base, gradient)))
	}
	s := explain.Scores{}
	for f := range p.Features {
		var of []float64
		for _, scores := range per {
			of = append(of, scores[f])
		}
		mean, sd := stat.MeanStdDev(of, nil)
		s.Values = append(s.Values, mean)
		if len(per) > 1 {
			s.Spread = append(s.Spread, stat.StdErr(sd, float64(len(per))))
		}
	}
	return s, nil
}
