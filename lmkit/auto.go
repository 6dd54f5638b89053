package lmkit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/explain/relevance"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/lm"
)

const autoName = "auto"

// Auto explains by the best method that the number of features, the budget and the model allow, and says in its
// settings which one it took and why (docs/methods.md has the reasons): exact Shapley values up to 12 features, as far
// as the budget holds all coalitions; else integrated gradients, and Owen values where these do not add up, as in a
// model whose slopes jump; where there is no budget for an integral, occlusion; and below that relevance, by the rules
// that found most in a model of this architecture.
type Auto struct {
	Budget int // rows forward and backward, about; 0: 4096 a baseline
}

// Choice is what Auto took, as it is reported in the settings.
type Choice struct {
	Budget   int             `json:"budget"`
	Chosen   string          `json:"chosen"` // the method's name
	Why      string          `json:"why"`
	Settings json.RawMessage `json:"settings,omitempty"` // the chosen method's
}

const (
	mostEnumerated = 12 // features whose coalitions are mostEnumerated at most
	rowsOfIntegral = 30 // rows forward and backward of a refined integral, as often as not
)

// Name implements explain.Method.
func (Auto) Name() string { return autoName }

// Score implements explain.Method. Cost: that of the chosen method.
func (a Auto) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if a.Budget < 0 {
		return explain.Scores{}, fmt.Errorf("auto: a budget of %d rows: it must be positive, or 0 for the default", a.Budget)
	}
	budget := cmp.Or(a.Budget, len(p.Baselines)<<mostEnumerated)
	before := rowsOf(p.Cost())
	method, choice := choose(p, budget)
	found, err := p.Score(ctx, method)
	if _, is := method.(gradient.Integrated); is && ctx.Err() == nil && (err != nil || !found.Kept(p.Question.Tolerance)) {
		left := (budget - rowsOf(p.Cost()) + before) / len(p.Baselines)
		if err != nil || left >= len(p.Features) {
			owen := shapley.Owen{Budget: max(left, len(p.Features))}
			choice.Chosen, choice.Why = owen.Name(), fmt.Sprintf("integrated gradients did not add up within %.3g %%: this "+
				"model's slopes change too fast along the way from the baseline, and Owen values add up in any model",
				100*p.Question.Tolerance)
			found, err = p.Score(ctx, owen)
		}
	}
	if err != nil {
		return explain.Scores{}, err
	}
	choice.Settings = found.Method.Settings
	found.Scores.Settings = choice
	return found.Scores, nil
}

// rowsOf is how many rows forward and backward a cost has.
func rowsOf(c lm.Cost) int { return c.ForwardRows + c.BackwardRows }

// choose returns the method to begin with, and why it is the one.
func choose(p *explain.Problem, budget int) (explain.Method, Choice) {
	c := Choice{Budget: budget}
	features, baselines := len(p.Features), len(p.Baselines)
	var m explain.Method
	switch integral := baselines * rowsOfIntegral; {
	case features <= mostEnumerated && baselines<<features <= budget:
		m, c.Why = shapley.Exact{}, fmt.Sprintf("the budget of %d rows holds all %d coalitions of %d features", budget,
			1<<features, features)
	case integral <= budget: // half of it is for what comes next, if the integral does not add up
		m, c.Why = gradient.Integrated{Budget: max(integral, budget/2)},
			fmt.Sprintf("%d features have too many coalitions for a budget of %d rows, and the model has gradients", features,
				budget)
	case baselines*(features+1) <= budget:
		m, c.Why = perturb.Occlusion{}, fmt.Sprintf("a budget of %d rows is too small for an integral, which "+
			"takes %d or more", budget, integral)
	default:
		m = relevance.DeepLIFT{}
		if better := (relevance.CPLRP{}); explain.Suits(better, p.Model, p.Question) == nil {
			m = better // on Transformers it found 0.99 of what was planted, and DeepLIFT 0.68
		}
		c.Why = fmt.Sprintf("a budget of %d rows is too small to replace each of %d features", budget, features)
	}
	c.Chosen = m.Name()
	return m, c
}
