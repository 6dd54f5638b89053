package faithful

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Noise says how an input is disturbed.
type Noise struct {
	Radius  float64 // the largest change of one number of the input; must be positive
	Samples int     // disturbed inputs; 0: 10
	Seed    uint64
}

// Validate returns all mistakes.
func (n Noise) Validate() error {
	var errs []error
	if !(n.Radius > 0) || math.IsInf(n.Radius, 0) {
		errs = append(errs, fmt.Errorf("the radius of the noise is %v; it must be a positive number", n.Radius))
	}
	if n.Samples < 0 {
		errs = append(errs, fmt.Errorf("%d samples of noise: give 1 or more, or 0 for 10", n.Samples))
	}
	return errors.Join(errs...)
}

// MaxSensitivity returns how much an explanation can change when its input hardly does: the largest ‖φ(x+δ) - φ(x)‖ /
// ‖φ(x)‖ (Euclidean norms) over random δ of width numbers, each uniform in ±Radius. explain returns the scores of the
// input plus δ; it is called first with zeros, then once a sample. Small is good, but 0 is reached by scores that
// ignore the model. It is +Inf where all scores of the undisturbed input are zero and others are not. It fails where
// explain does, or returns another number of scores. Yeh et al., On the (in)fidelity and sensitivity of explanations,
// 2019.
func MaxSensitivity(
	ctx context.Context, width int, n Noise, explain func(ctx context.Context, delta []float32) ([]float64, error),
) (float64, error) {
	if err := n.Validate(); err != nil {
		return 0, err
	}
	if width < 1 {
		return 0, fmt.Errorf("noise on %d numbers: there must be at least 1", width)
	}
	if n.Samples == 0 {
		n.Samples = 10
	}
	clean, err := explain(ctx, make([]float32, width))
	if err != nil {
		return 0, err
	}
	if err := checkFinite(clean); err != nil {
		return 0, err
	}
	size := norm(clean)
	worst := 0.0
	for s := range n.Samples {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rng := rand.New(rand.NewPCG(n.Seed, uint64(s)))
		delta := make([]float32, width)
		for i := range delta {
			delta[i] = float32(n.Radius * (2*rng.Float64() - 1))
		}
		noisy, err := explain(ctx, delta)
		if err != nil {
			return 0, err
		}
		if err := checkFinite(noisy); err != nil {
			return 0, err
		}
		if len(noisy) != len(clean) {
			return 0, fmt.Errorf("the disturbed input has %d scores, the undisturbed one %d", len(noisy), len(clean))
		}
		diff := make([]float64, len(clean))
		for i := range diff {
			diff[i] = noisy[i] - clean[i]
		}
		if d := norm(diff); d > 0 {
			worst = max(worst, d/size)
		}
	}
	return worst, nil
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum = math.Hypot(sum, x)
	}
	return sum
}

// EmbeddingSensitivity returns the max-sensitivity of a method to noise on the embeddings of the input's tokens. The
// noise is added to the rows of the embedding table that the input uses, so equal tokens move alike; the output
// matrix stays. Target and foil are those of the undisturbed model. Cost: the method's, once and once a sample, on
// models with programs of their own.
func EmbeddingSensitivity(
	ctx context.Context, m *lm.Model, method explain.Method, q explain.Question, n Noise,
) (float64, error) {
	q, p, err := pinned(ctx, m, q)
	if err != nil {
		return 0, err
	}
	used := slices.Compact(slices.Sorted(slices.Values(p.IDs)))
	ws, c, err := untied(m)
	if err != nil {
		return 0, err
	}
	table := ws[embedding]
	return MaxSensitivity(ctx, len(used)*c.Embedding(), n, func(ctx context.Context, delta []float32) ([]float64, error) {
		noisy := lm.Array{Dims: table.Dims, Data: slices.Clone(table.Data)}
		for i, id := range used {
			for d, v := range noisy.Index(int(id)).Data {
				noisy.Index(int(id)).Data[d] = v + delta[i*c.Embedding()+d]
			}
		}
		ws[embedding] = noisy
		moved, err := lm.FromWeights(m.Engine(), c, m.Tokenizer(), ws)
		if err != nil {
			return nil, err
		}
		defer moved.Close()
		return scoresOn(ctx, moved, method, q)
	})
}

// pinned fixes what the question leaves to the model, so that another model answers the same question.
func pinned(ctx context.Context, m *lm.Model, q explain.Question) (explain.Question, *explain.Problem, error) {
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return q, nil, err
	}
	q.Target, q.Foil = p.Target, p.Foil
	return q, p, nil
}

// untied returns the weights of a model, with the output matrix apart from the embedding.
func untied(m *lm.Model) (map[string]lm.Array, lm.Config, error) {
	ws, err := m.Weights()
	if err != nil {
		return nil, lm.Config{}, err
	}
	c := m.Config()
	if c.Tied {
		c.Tied = false
		ws[output] = ws[embedding]
	}
	return ws, c, nil
}

// The parameters that a model may share.
const (
	embedding = "embed.weight"
	output    = "head.weight"
)

// scoresOn returns the scores of a method on a model. No evidence is measured.
func scoresOn(ctx context.Context, m *lm.Model, method explain.Method, q explain.Question) ([]float64, error) {
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	s, err := p.Score(ctx, method)
	if err != nil {
		return nil, err
	}
	return s.Values, nil
}
