package faithful

import (
	"context"
	"math"
	"math/rand/v2"
	"unicode/utf8"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/token"
)

// Random scores each feature with a normally distributed random number from the question's seed: the row that every
// method must beat.
type Random struct{}

// Name implements explain.Method.
func (Random) Name() string { return "random" }

// Score implements explain.Method. It asks the model for no rows of its own.
func (r Random) Score(_ context.Context, p *explain.Problem) (explain.Scores, error) {
	rng := rand.New(rand.NewPCG(p.Question.Seed, 0))
	scores := make([]float64, len(p.Features))
	for i := range scores {
		scores[i] = rng.NormFloat64()
	}
	return explain.Scores{Values: scores, Unit: "random number"}, nil
}

// Longest scores each feature with the number of its characters: what can be had without looking at the model.
type Longest struct{}

// Name implements explain.Method.
func (Longest) Name() string { return "longest" }

// Score implements explain.Method. It asks the model for no rows of its own.
func (l Longest) Score(_ context.Context, p *explain.Problem) (explain.Scores, error) {
	scores := make([]float64, len(p.Features))
	for i, f := range p.Features {
		scores[i] = float64(utf8.RuneCountInString(f.Text))
	}
	return explain.Scores{Values: scores, Unit: "character"}, nil
}

// Rarest scores each feature with how surprising its rarest token is, by its frequency alone: what can be had without
// looking at the model.
type Rarest struct {
	Counts map[token.ID]int `json:"-"` // how often each token is in some text
}

// Name implements explain.Method.
func (Rarest) Name() string { return "rarest" }

// Score implements explain.Method. Scores are -ln of the token's share of the text, with one added to the
// count of every token of the vocabulary. It asks the model for no rows of its own.
func (r Rarest) Score(_ context.Context, p *explain.Problem) (explain.Scores, error) {
	total := p.Model.Config().Vocab
	for _, n := range r.Counts {
		total += n
	}
	scores := make([]float64, len(p.Features))
	for i, f := range p.Features {
		for _, t := range f.Tokens {
			scores[i] = max(scores[i], -math.Log(float64(r.Counts[p.IDs[t]]+1)/float64(total)))
		}
	}
	return explain.Scores{Values: scores, Unit: "nat"}, nil
}
