// Package shapley shares a prediction out among the features of its input as Shapley values do (Shapley, A value for
// n-person games, 1953): a feature's score is its mean marginal contribution over all orders of arrival.
package shapley

import (
	"context"
	"fmt"
	"math/bits"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Estimate holds what a method found out about a game.
type Estimate struct {
	Scores      []float64 // one a feature
	Spread      []float64 // standard errors; nil: nothing was sampled, or too little to tell
	Full, Empty float64   // the value of all features, and of none
	Asked       int       // how many distinct coalitions the game was asked for
	Enumerated  bool      // these were all there are: the scores are exact
	Warnings    []string
}

// Exact computes the Shapley values from all 2^M coalitions of M features, in one call of the game: with v the game,
// the score of feature i is the mean of v(S+i) - v(S), over the sizes of coalitions S without i, and for each size
// over the coalitions of that size.
type Exact struct {
	Most int `json:"most,omitempty"` // features at most; 0: 12
}

// The most features that are enumerated: by default, and at all.
const (
	fewFeatures  = 12
	mostFeatures = 20
)

// Name implements explain.Method.
func (Exact) Name() string { return "shapley-exact" }

// Score implements explain.Method. Cost: 2^M rows forward a baseline.
func (e Exact) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	est, err := e.Play(ctx, p.Game())
	return scores(p, est, e), err
}

// Play finds the Shapley values of any game of up to Most features.
func (e Exact) Play(ctx context.Context, g explain.Game) (Estimate, error) {
	most := e.Most
	if most == 0 {
		most = fewFeatures
	}
	if most < 1 || most > mostFeatures {
		return Estimate{}, fmt.Errorf("shapley-exact: at most %d features were asked for; 1 to %d can be "+
			"enumerated", e.Most, mostFeatures)
	}
	if M := g.Features(); M > most {
		return Estimate{}, fmt.Errorf("shapley-exact: %d features have 2^%d coalitions, too many to enumerate: group "+
			"the input into at most %d features, or sample with kernel-shap", M, M, most)
	}
	return enumerate(ctx, explain.Remember(g))
}

// enumerate finds the Shapley values from the values of all coalitions.
func enumerate(ctx context.Context, m *explain.Memory) (Estimate, error) {
	M := m.Features()
	v, err := table(ctx, m)
	if err != nil {
		return Estimate{}, err
	}
	est := Estimate{Scores: make([]float64, M), Full: v[len(v)-1], Empty: v[0], Asked: m.Asked(), Enumerated: true}
	for set, value := range v {
		for i := range M {
			if set>>i&1 == 0 {
				est.Scores[i] += weight(M-1, bits.OnesCount(uint(set))) * (v[set|1<<i] - value)
			}
		}
	}
	return est, nil
}

// table returns the value of every coalition. Bit i of an index says whether feature i is in the coalition.
func table(ctx context.Context, m *explain.Memory) ([]float64, error) {
	M := m.Features()
	of := make([]explain.Coalition, 1<<M)
	for set := range of {
		of[set] = make(explain.Coalition, M)
		for i := range M {
			of[set][i] = set>>i&1 == 1
		}
	}
	return m.Values(ctx, of)
}

// weight returns s!(n-s)!/(n+1)!: how likely it is that exactly a given s of n others arrive before a feature, where
// all orders of arrival are equally likely.
func weight(n, s int) float64 { return 1 / (float64(n+1) * numerics.Binomial(n, s)) }

// enumerable reports whether all coalitions of M features fit into a budget.
func enumerable(M, budget int) bool { return M <= mostFeatures && 1<<M <= budget }

// defaultBudget returns how many coalitions are asked for where no budget is given: all of up to 12 features, and
// otherwise 2M + 2048, as many as the usual implementations ask for.
func defaultBudget(M int) int {
	if M <= fewFeatures {
		return 1 << fewFeatures
	}
	return 2*M + 2048
}

// checkBudget returns the budget of a method, or its default in place of 0. It returns an error if that is below least,
// the coalitions that the method needs, and below all the coalitions there are.
func checkBudget(name string, budget, M, least int) (int, error) {
	if budget == 0 {
		budget = defaultBudget(M)
	}
	if M <= mostFeatures {
		least = min(least, 1<<M)
	}
	if least = max(2, least); budget < least {
		features := "features"
		if M == 1 {
			features = "feature"
		}
		return 0, fmt.Errorf("%s: a budget of %d coalitions is too small for %d %s: it takes at least %d; "+
			"raise the budget, or group the input into fewer features", name, budget, M, features, least)
	}
	return budget, nil
}

// ends returns the value of all features, and of none.
func ends(ctx context.Context, m *explain.Memory) (full, empty float64, err error) {
	vs, err := m.Values(ctx, []explain.Coalition{explain.All(m.Features()), explain.Only(m.Features())})
	if err != nil {
		return 0, 0, err
	}
	return vs[0], vs[1], nil
}

// scores returns an estimate of a problem's game as a method reports it.
func scores(p *explain.Problem, est Estimate, settings any) explain.Scores {
	return explain.Scores{
		Values: est.Scores, Spread: est.Spread, Promise: &explain.Promise{Total: p.Value - p.Base(), Of: explain.Difference},
		Settings: settings, Warnings: est.Warnings,
	}
}
