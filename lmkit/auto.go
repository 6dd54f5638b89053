package lmkit

import (
	"context"
	"encoding/json"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/explain/relevance"
	"lmkit.internal/lmkit/explain/shapley"
)

const autoName = "auto"

// Auto explains by the best method that the number of features and the budget allow, and says in its settings which one
// it took and why (docs/methods.md has the reasons): exact Shapley values up to 12 features, as far as the budget
// holds all coalitions; else integrated gradients; where there is no budget for an integral, occlusion; and below that
// DeepLIFT.
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
	method, choice := a.choose(len(p.Features), len(p.Baselines))
	found, err := p.Score(ctx, method)
	if err != nil {
		return explain.Scores{}, err
	}
	choice.Settings = found.Method.Settings
	found.Scores.Settings = choice
	return found.Scores, nil
}

func (a Auto) choose(features, baselines int) (explain.Method, Choice) {
	c := Choice{Budget: a.Budget}
	if c.Budget == 0 {
		c.Budget = baselines << mostEnumerated
	}
	var m explain.Method
	switch {
	case features <= mostEnumerated && baselines<<features <= c.Budget:
		m, c.Why = shapley.Exact{}, fmt.Sprintf("the budget of %d rows holds all %d coalitions of %d features", c.Budget,
			1<<features, features)
	case baselines*rowsOfIntegral <= c.Budget:
		m, c.Why = gradient.Integrated{MaxSteps: c.Budget / 2 / baselines},
			fmt.Sprintf("%d features have too many coalitions for a budget of %d rows, and the model has gradients", features,
				c.Budget)
	case baselines*(features+1) <= c.Budget:
		m, c.Why = perturb.Occlusion{}, fmt.Sprintf("a budget of %d rows is too small for an integral, which "+
			"takes %d or more", c.Budget, baselines*rowsOfIntegral)
	default:
		m, c.Why = relevance.DeepLIFT{}, fmt.Sprintf("a budget of %d rows is too small to replace each of %d features",
			c.Budget, features)
	}
	c.Chosen = m.Name()
	return m, c
}
