package shapley

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/explain"
)

// Auto finds Shapley values in the way that suits the number of features and the budget, and says which one it took
// and why: Exact where the budget holds all coalitions; Kernel where it is at least 16 coalitions a feature, so that
// the fit is well determined; Permutation below that; and Owen where not even one order and its reverse can be
// walked.
type Auto struct {
	Budget int // coalitions to ask for at most; 0: 4096 up to 12 features, otherwise 2M + 2048
}

// Choice is what Auto took, as it is reported in the settings.
type Choice struct {
	Budget int    `json:"budget"`
	Chosen string `json:"chosen"` // the method's name
	Why    string `json:"why"`
	Tree   *Tree  `json:"tree,omitempty"` // of owen
}

// enoughToFit is the coalitions a feature from which on a fit is better than orders of arrival at the same price. On
// games of 14, 60 and 150 features with interactions of up to five, the two cross between 8 and 30.
const enoughToFit = 16

// Name implements explain.Method.
func (Auto) Name() string { return "shapley" }

// Score implements explain.Method. Cost: Budget rows forward a baseline at most.
func (a Auto) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	est, choice, err := a.play(ctx, p.Game(), p.Question.Seed, Owen{}.withTree(p).Tree)
	return scores(p, est, choice), err
}

// Play finds the Shapley values of any game, and says how.
func (a Auto) Play(ctx context.Context, g explain.Game, seed uint64) (Estimate, Choice, error) {
	return a.play(ctx, g, seed, nil)
}

func (a Auto) play(ctx context.Context, g explain.Game, seed uint64, tree *Tree) (Estimate, Choice, error) {
	M := g.Features()
	budget, err := checkBudget(a.Name(), a.Budget, M, 2)
	if err != nil {
		return Estimate{}, Choice{}, err
	}
	c := Choice{Budget: budget}
	var est Estimate
	switch {
	case enumerable(M, budget):
		c.Chosen, c.Why = Exact{}.Name(), fmt.Sprintf("all %d coalitions of %d features fit the budget", 1<<M, M)
		est, err = Exact{Most: mostFeatures}.Play(ctx, g)
	case budget >= enoughToFit*M:
		c.Chosen, c.Why = Kernel{}.Name(), fmt.Sprintf("the budget is at least %d coalitions for each of %d "+
			"features: enough for a fit", enoughToFit, M)
		est, err = Kernel{Budget: budget}.Play(ctx, g, seed)
	case budget >= 2*M:
		c.Chosen, c.Why = Permutation{}.Name(), fmt.Sprintf("the budget is below %d coalitions for each of %d "+
			"features: too little for a fit", enoughToFit, M)
		est, err = Permutation{Budget: budget}.Play(ctx, g, seed)
	default:
		c.Chosen, c.Why, c.Tree = Owen{}.Name(), fmt.Sprintf("the budget is below the %d coalitions of one order of "+
			"%d features and its reverse", 2*M, M), tree
		est, err = Owen{Budget: budget, Tree: tree}.Play(ctx, g)
		est.Warnings = append(est.Warnings, "these are Owen values, which follow the structure of the text, not "+
			"Shapley values: raise the budget for those")
	}
	return est, c, err
}
