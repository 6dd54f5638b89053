package shapley

import (
	"context"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Permutation estimates Shapley values by random orders of arrival: a feature's score is the mean of what the value
// gains when it arrives (Castro, Gómez and Tejada, 2009). Each order is followed by its reverse: the mean of such a
// pair is exact where features interact at most in twos (Mitchell et al., Sampling permutations for Shapley value
// estimation, 2022). Scores add up to the difference to be explained, whatever the budget.
type Permutation struct {
	Budget int `json:"budget"` // coalitions to ask for at most; 0: 4096 up to 12 features, otherwise 2M + 2048
}

// Name implements explain.Method.
func (Permutation) Name() string { return "permutation-shapley" }

// Score implements explain.Method. Cost: 2M rows forward a pair of orders and a baseline, Budget at most.
func (s Permutation) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	est, err := s.Play(ctx, p.Game(), p.Question.Seed)
	return scores(p, est, s), err
}

// Play estimates the Shapley values of any game. It is exact where the budget holds all coalitions.
func (s Permutation) Play(ctx context.Context, g explain.Game, seed uint64) (Estimate, error) {
	M := g.Features()
	budget, err := checkBudget(s.Name(), s.Budget, M, 2*M)
	if err != nil {
		return Estimate{}, err
	}
	m := explain.Remember(g)
	if enumerable(M, budget) {
		return enumerate(ctx, m)
	}
	var orders [][]int
	var of []explain.Coalition
	distinct := map[string]bool{}
	// Orders whose coalitions are all known cost nothing, but must not go on for ever: there are budget pairs at most.
	for pair := 0; pair < budget; pair++ {
		order := rand.New(rand.NewPCG(seed, uint64(pair))).Perm(M)
		backwards := slices.Clone(order)
		slices.Reverse(backwards)
		both := append(prefixes(order), prefixes(backwards)...)
		for _, c := range both {
			distinct[c.Key()] = true
		}
		if len(distinct) > budget {
			break
		}
		orders, of = append(orders, order), append(of, both...)
	}
	values, err := m.Values(ctx, of)
	if err != nil {
		return Estimate{}, err
	}
	est := Estimate{Full: values[M], Empty: values[0], Asked: m.Asked()}
	pairs := make([][]float64, len(orders))
	for k, order := range orders {
		pairs[k] = make([]float64, M)
		there, back := values[2*k*(M+1):], values[(2*k+1)*(M+1):]
		for i, f := range order {
			pairs[k][f] = (there[i+1] - there[i] + back[M-i] - back[M-1-i]) / 2
		}
	}
	est.Scores, est.Spread = numerics.MeanAndError(pairs)
	if est.Spread == nil {
		est.Warnings = append(est.Warnings, "the budget allows for one pair of orders only, which cannot tell how "+
			"far it is off: raise the budget")
	}
	return est, nil
}

// prefixes returns the M+1 coalitions that form as features arrive in an order, from none to all.
func prefixes(order []int) []explain.Coalition {
	out := make([]explain.Coalition, len(order)+1)
	c := make(explain.Coalition, len(order))
	out[0] = append(explain.Coalition{}, c...)
	for i, f := range order {
		c[f] = true
		out[i+1] = append(explain.Coalition{}, c...)
	}
	return out
}
