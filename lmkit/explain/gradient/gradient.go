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

// Score implements explain.Method. Scores are in units of the objective per unit of embedding. Cost: one row
// forward and backward.
func (s Saliency) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if s.Norm == 0 {
		s.Norm = 2
	}
	if s.Norm != 1 && s.Norm != 2 {
		return explain.Scores{}, fmt.Errorf("saliency: there is no norm %d; there are 1 and 2", s.Norm)
	}
	a, err := atInput(ctx, p)
	if err != nil {
		return explain.Scores{}, err
	}
	return explain.Scores{Settings: s, Values: norms(p, a.Grad[embed].Index(0), s.Norm),
		Unit: p.Unit + " per embedding unit"}, nil
}

// InputXGradient is the gradient times the input, summed over each feature's embeddings (Shrikumar et al., 2016): the
// first-order guess of what the objective would lose without the feature, against a zero embedding. It does not
// promise to add up.
type InputXGradient struct{}

// Name implements explain.Method.
func (InputXGradient) Name() string { return "input-x-gradient" }

// Score implements explain.Method. Cost: one row forward and backward.
func (x InputXGradient) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	a, err := atInput(ctx, p)
	if err != nil {
		return explain.Scores{}, err
	}
	return explain.Scores{Values: dots(p, a.At[embed].Index(0), a.Grad[embed].Index(0))}, nil
}

// embed is the activation that all methods here attribute to.
const embed = lm.Tap("embed")

// atInput asks for the gradient of the objective by the input's embeddings. It edits nothing, so that the program is
// that of gradients along a path.
func atInput(ctx context.Context, p *explain.Problem) (*lm.Answer, error) {
	nothing := lm.Edit{Tap: embed, Rows: []int{0}, Positions: []int{}, With: lm.FromValues(p.Embeddings.Index(0))}
	return p.Evaluate(ctx, lm.Query{Rows: p.Rows(1), Wrt: []lm.Tap{embed}, Edits: []lm.Edit{nothing}})
}

// dots is, for each feature, the sum of a*b over its tokens and dimensions; a and b are [T, D].
func dots(p *explain.Problem, a, b lm.Array) []float64 {
	out := make([]float64, len(p.Features))
	for f, feature := range p.Features {
		var x, y []float32
		for _, t := range feature.Tokens {
			x, y = append(x, a.Index(t).Data...), append(y, b.Index(t).Data...)
		}
		out[f] = dot(x, y)
	}
	return out
}

// norms is, for each feature, the norm of g [T, D] over its tokens and dimensions.
func norms(p *explain.Problem, g lm.Array, which int) []float64 {
	out := make([]float64, len(p.Features))
	for f, feature := range p.Features {
		var x []float32
		for _, t := range feature.Tokens {
			x = append(x, g.Index(t).Data...)
		}
		out[f] = norm(x, which)
	}
	return out
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// norm returns the L1 or L2 norm.
func norm(of []float32, which int) float64 {
	sum := 0.0
	for _, v := range of {
		if which == 1 {
			sum += math.Abs(float64(v))
		} else {
			sum += float64(v) * float64(v)
		}
	}
	if which == 2 {
		return math.Sqrt(sum)
	}
	return sum
}
