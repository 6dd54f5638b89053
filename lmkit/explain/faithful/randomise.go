package faithful

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Stage is a model of which all parts from the output down to one are random.
type Stage struct {
	Part  string    // the lowest random part: "head", "block.1", "lstm.0", ..., "embed"
	Model *lm.Model // valid until the next stage
}

// Randomize yields models whose parts are replaced by fresh random weights one after the other, from the output down
// to the embedding: first the head, then the highest layer as well, and so on. Fresh weights are those of lm.New with
// the seed. An output matrix that is tied to the embedding is set apart first, so that the embedding is random only
// in the last stage. Adebayo et al., Sanity checks for saliency maps, 2018 (cascading randomization).
func Randomize(m *lm.Model, seed uint64) iter.Seq2[Stage, error] {
	return func(yield func(Stage, error) bool) {
		ws, c, err := untied(m)
		if err != nil {
			yield(Stage{}, err)
			return
		}
		fresh, err := freshWeights(m, c, seed)
		if err != nil {
			yield(Stage{}, err)
			return
		}
		for _, part := range slices.Backward(c.Parts()) {
			for _, p := range c.Params() {
				if p.Part == part {
					ws[p.Name] = fresh[p.Name]
				}
			}
			if !yieldModel(m, c, ws, part, yield) {
				return
			}
		}
	}
}

func yieldModel(like *lm.Model, c lm.Config, ws map[string]lm.Array, part string, yield func(Stage, error) bool) bool {
	m, err := lm.FromWeights(like.Engine(), c, like.Tokenizer(), ws)
	if err != nil {
		yield(Stage{}, err)
		return false
	}
	defer m.Close()
	return yield(Stage{Part: part, Model: m}, nil)
}

func freshWeights(like *lm.Model, c lm.Config, seed uint64) (map[string]lm.Array, error) {
	m, err := lm.New(like.Engine(), c, like.Tokenizer(), seed)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Weights()
}

// StageScore is how much of an explanation is left at a stage of randomisation.
type StageScore struct {
	Part string
	// Spearman is the rank correlation of |score| with those of the model as it is: near 0 when the method looks at the
	// weights, near 1 when it would say the same of any model. It is NaN where one has no order: all scores are alike.
	Spearman float64
}

// ParameterRandomization explains the same question, with the model's own target and foil, at every stage of Randomize,
// and compares. Adebayo et al., 2018. Cost: the method's, once and once a stage, on models with programs of their own.
func ParameterRandomization(
	ctx context.Context, m *lm.Model, method explain.Method, q explain.Question, seed uint64,
) ([]StageScore, error) {
	q, p, err := pinned(ctx, m, q)
	if err != nil {
		return nil, err
	}
	clean, err := p.Score(ctx, method)
	if err != nil {
		return nil, err
	}
	var out []StageScore
	for stage, err := range Randomize(m, seed) {
		if err != nil {
			return nil, err
		}
		random, err := scoresOn(ctx, stage.Model, method, q)
		if err != nil {
			return nil, fmt.Errorf("%s with random weights down to %s: %w", method.Name(), stage.Part, err)
		}
		rho, err := explain.Spearman(Sizes(clean.Values), Sizes(random))
		if err != nil {
			return nil, err
		}
		out = append(out, StageScore{Part: stage.Part, Spearman: rho})
	}
	return out, nil
}

// Randomised is ParameterRandomization of several methods side by side: how much of each one's ranking is left as
// more and more of the model is random.
type Randomised struct {
	Methods []explain.Method `json:"-"`
	Names   []string         `json:"methods"` // filled in
}

// Name implements explain.MatrixMethod.
func (Randomised) Name() string { return "randomised" }

// Compare returns r with these methods to compare.
func (r Randomised) Compare(methods ...explain.Method) explain.MatrixMethod {
	r.Methods = methods
	return r
}

// Suits implements explain.Selective: all methods must suit the model.
func (r Randomised) Suits(m *lm.Model, q explain.Question) error {
	return suitAll(r.Name(), r.Methods, m, q)
}

// Matrix implements explain.MatrixMethod. Values are [methods][stages]: Spearman's rank correlation of |score| with
// those of the model as it is, from the stage at which the head alone is random to that at which all is. It is 0,
// with a warning, where one of the two has no order, since all its scores are alike. The seed of the random weights
// is the question's. Cost: each method's, once and once a stage, on models with programs of their own, which are not
// counted.
func (r Randomised) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	s := explain.MatrixScores{Axes: [2]string{"method", "random from the output down to"}, Unit: "rank correlation"}
	for i, method := range r.Methods {
		stages, err := ParameterRandomization(ctx, p.Model, method, p.Question, p.Question.Seed)
		if err != nil {
			return explain.MatrixScores{}, err
		}
		row := make([]float64, len(stages))
		for k, stage := range stages {
			if i == 0 {
				s.Columns = append(s.Columns, stage.Part)
			}
			if row[k] = stage.Spearman; math.IsNaN(row[k]) {
				row[k] = 0
				s.Warnings = append(s.Warnings, fmt.Sprintf("%s, random down to %s: all scores are alike, and have no "+
					"order to compare", method.Name(), stage.Part))
			}
		}
		s.Rows, s.Values, r.Names = append(s.Rows, method.Name()), append(s.Values, row), append(r.Names, method.Name())
	}
	s.Settings = r
	return s, nil
}
