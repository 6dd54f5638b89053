// Package gradient explains a prediction by the gradient of the objective with respect to the token embeddings.
//
// The embedding of a token is attributed to; its position stays as it is, also in the baseline (a path that takes both
// away crosses the point where LayerNorm's variance is zero, and integrals along it are wrong).
package gradient

import (
	"context"
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Saliency is the size of the gradient by each feature's embeddings (Simonyan et al., 2013): where a small change
// would matter most. It has no sign and adds up to nothing.
type Saliency struct {
	Norm int `json:"norm"` // 1 or 2; 0: 2
}

// Name implements explain.Method.
func (Saliency) Name() string { return "saliency" }

// Explain implements explain.Method. Scores are in units of the objective per unit of embedding. Cost: one row
// forward and backward.
func (s Saliency) Explain(ctx context.Context, m *lm.Model, q explain.Question) (*explain.Attribution, error) {
	if s.Norm == 0 {
		s.Norm = 2
	}
	if s.Norm != 1 && s.Norm != 2 {
		return nil, fmt.Errorf("saliency: there is no norm %d; there are 1 and 2", s.Norm)
	}
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	a, err := p.Run(ctx, lm.Query{Rows: rows(p, 1), Of: []lm.Objective{p.LM()}, Wrt: []lm.Tap{embed}})
	if err != nil {
		return nil, err
	}
	return p.Finish(ctx, explain.Result{Name: s.Name(), Settings: s, Scores: norms(p, a.Grad[embed].Index(0), s.Norm),
		Unit: p.Unit() + " per embedding unit", Estimated: 2})
}

// InputXGradient is the gradient times the input, summed over each feature's embeddings (Shrikumar et al., 2016): the
// first-order guess of what the objective would lose without the feature, against a zero embedding. It does not
// promise to add up.
type InputXGradient struct{}

// Name implements explain.Method.
func (InputXGradient) Name() string { return "input-x-gradient" }

// Explain implements explain.Method. Cost: one row forward and backward.
func (x InputXGradient) Explain(ctx context.Context, m *lm.Model, q explain.Question) (*explain.Attribution, error) {
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	a, err := p.Run(ctx, lm.Query{Rows: rows(p, 1), Of: []lm.Objective{p.LM()}, Wrt: []lm.Tap{embed}})
	if err != nil {
		return nil, err
	}
	return p.Finish(ctx, explain.Result{Name: x.Name(), Scores: dots(p, a.At[embed].Index(0), a.Grad[embed].Index(0)), Estimated: 2})
}

// embed is the activation that all methods here attribute to.
const embed = lm.Tap("embed")

// rows is n copies of the input.
func rows(p *explain.Problem, n int) (rs [][]tokenID) {
	for range n {
		rs = append(rs, p.IDs)
	}
	return rs
}

// dots is, for each feature, the sum of a*b over its tokens and dimensions; a and b are [T, D].
func dots(p *explain.Problem, a, b lm.Array) []float64 {
	out := make([]float64, len(p.Features))
	for f, feature := range p.Features {
		for _, t := range feature.Tokens {
			x, y := a.Index(t).Data, b.Index(t).Data
			for d := range x {
				out[f] += float64(x[d]) * float64(y[d])
			}
		}
	}
	return out
}

// norms is, for each feature, the norm of g [T, D] over its tokens and dimensions.
func norms(p *explain.Problem, g lm.Array, norm int) []float64 {
	out := make([]float64, len(p.Features))
	for f, feature := range p.Features {
		for _, t := range feature.Tokens {
			for _, v := range g.Index(t).Data {
				if norm == 1 {
					out[f] += math.Abs(float64(v))
				} else {
					out[f] += float64(v) * float64(v)
				}
			}
		}
		if norm == 2 {
			out[f] = math.Sqrt(out[f])
		}
	}
	return out
}
