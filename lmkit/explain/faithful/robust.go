package faithful

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Robust is two measures of several methods side by side: whether sums of scores say what really changes, and whether
// scores stay as they are when the input hardly moves. Small is good for both. Yeh et al., On the (in)fidelity and
// sensitivity of explanations, 2019.
type Robust struct {
	Methods []explain.Method `json:"-"`
	Names   []string         `json:"methods"` // filled in
	Sets    int              `json:"sets"`    // of features to take away; 0: 64, or all there are if these are fewer
	Radius  float64          `json:"radius"`  // of the noise; 0: a twentieth of the root mean square of the embeddings
	Samples int              `json:"samples"` // of the noise; 0: 10
}

// Name implements explain.MatrixMethod.
func (Robust) Name() string { return "robustness" }

// Compare returns r with these methods to compare.
func (r Robust) Compare(methods ...explain.Method) explain.MatrixMethod {
	r.Methods = methods
	return r
}

// Suits implements explain.Selective: all methods must suit the model.
func (r Robust) Suits(m *lm.Model, q explain.Question) error {
	return suitAll(r.Name(), r.Methods, m, q)
}

// Matrix implements explain.MatrixMethod. Values are [methods][2]. The first column is the scaled [Infidelity], as a
// share of the mean square of what really changes: 0 where sums of scores are in proportion to the changes, 1 where
// they tell nothing of them. The second is [EmbeddingSensitivity], relative to the scores' own size. Cost: each
// method's, once for each measure and once a sample of noise, on models with programs of their own, which are not
// counted; and one row a set and baseline.
func (r Robust) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	fail := func(err error) (explain.MatrixScores, error) { return explain.MatrixScores{}, err }
	if r.Sets == 0 {
		r.Sets = 64
	}
	sets, err := Subsets(len(p.Features), 0, r.Sets, p.Question.Seed)
	if err != nil {
		return fail(err)
	}
	r.Sets = len(sets)
	if r.Radius == 0 {
		if r.Radius, err = hardly(p); err != nil {
			return fail(err)
		}
	}
	if r.Samples == 0 {
		r.Samples = 10
	}
	s := explain.MatrixScores{Axes: [2]string{"method", "measure"}, Columns: []string{"infidelity", "max-sensitivity"},
		Unit: "share"}
	game := explain.Remember(p.Game())
	for _, method := range r.Methods {
		found, err := p.Score(ctx, method)
		if err != nil {
			return fail(err)
		}
		missed, err := unfaithful(ctx, game, found.Values, sets)
		if err != nil {
			return fail(err)
		}
		noise := Noise{Radius: r.Radius, Samples: r.Samples, Seed: p.Question.Seed}
		moved, err := EmbeddingSensitivity(ctx, p.Model, method, p.Question, noise)
		if err != nil {
			return fail(fmt.Errorf("%s with noise on the embeddings: %w", method.Name(), err))
		}
		if math.IsInf(moved, 0) {
			moved = 0
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s: all scores of the undisturbed input are 0, so that there is no "+
				"size to compare a change with: its max-sensitivity is not measured", method.Name()))
		}
		s.Rows, s.Values = append(s.Rows, method.Name()), append(s.Values, []float64{missed, moved})
		r.Names = append(r.Names, method.Name())
	}
	s.Settings = r
	return s, nil
}

// hardly returns a radius of noise that hardly moves a text: a twentieth of the root mean square of the numbers in its
// tokens' embeddings.
func hardly(p *explain.Problem) (float64, error) {
	rows, err := p.Model.Embeddings(slices.Compact(slices.Sorted(slices.Values(p.IDs)))...)
	if err != nil {
		return 0, err
	}
	sum, n := 0.0, len(rows.Data)
	for _, v := range rows.Data {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return 0, fmt.Errorf("all numbers of the text's embeddings are 0: give a radius for the noise")
	}
	return math.Sqrt(sum/float64(n)) / 20, nil
}

// unfaithful returns the scaled infidelity of scores as a share of E[Δ(S)²], the mean square of what the game loses
// without the sets S; 0 where it loses nothing.
func unfaithful(ctx context.Context, g explain.Game, scores []float64, sets [][]int) (float64, error) {
	_, scaled, err := Infidelity(ctx, g, scores, sets)
	if err != nil {
		return 0, err
	}
	whole, _, err := Infidelity(ctx, g, make([]float64, len(scores)), sets) // of scores that say nothing changes
	if err != nil || whole == 0 {
		return 0, err
	}
	return scaled / whole, nil
}

// suitAll returns an error unless there are methods, and all of them suit the model and the question.
func suitAll(name string, methods []explain.Method, m *lm.Model, q explain.Question) error {
	if len(methods) == 0 {
		return fmt.Errorf("%s: no method is given whose scores are to be compared", name)
	}
	for _, method := range methods {
		if err := explain.Suits(method, m, q); err != nil {
			return err
		}
	}
	return nil
}
