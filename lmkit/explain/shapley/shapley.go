// Package shapley shares a prediction out among the features of its input as Shapley values do (Shapley, A value for
// n-person games, 1953): a feature's score is its mean marginal contribution over all orders of arrival.
package shapley

import (
	"context"
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Estimate is what a method found out about a game.
type Estimate struct {
	Scores      []float64 // one a feature
	Spread      []float64 // standard errors; nil: nothing was sampled, or too little to tell
	Full, Empty float64   // the value of all features, and of none
	Asked       int       // distinct coalitions whose value was asked for
	Enumerated  bool      // all coalitions were: the scores are exact
	Warnings    []string
}

// Exact is the Shapley values by enumeration of all 2^M coalitions of M features, in one call of the game.
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

// Explain implements explain.Method. Cost: 2^M rows forward a baseline.
func (e Exact) Explain(ctx context.Context, m *lm.Model, q explain.Question) (*explain.Attribution, error) {
	return answer(ctx, m, q, e.Name(), func(p *explain.Problem) (Estimate, any, error) {
		est, err := e.Play(ctx, p.Game())
		return est, e, err
	})
}

// Play finds the Shapley values of any game of up to Most features.
func (e Exact) Play(ctx context.Context, g explain.Game) (Estimate, error) {
	most := e.Most
	if most == 0 {
		most = fewFeatures
	}
	if most < 1 || most > mostFeatures {
		return Estimate{}, fmt.Errorf("shapley-exact: at most %d features were asked for; 1 to %d can be enumerated", e.Most, mostFeatures)
	}
	if M := g.Features(); M > most {
		return Estimate{}, fmt.Errorf("shapley-exact: %d features have 2^%d coalitions, too many to enumerate: group the input into at most %d features, or sample with kernel-shap", M, M, most)
	}
	return enumerate(ctx, newMemo(g))
}

// enumerate finds the Shapley values from the values of all coalitions.
func enumerate(ctx context.Context, m *memo) (Estimate, error) {
	M := m.game.Features()
	v, err := table(ctx, m)
	if err != nil {
		return Estimate{}, err
	}
	est := Estimate{Scores: make([]float64, M), Full: v[len(v)-1], Empty: v[0], Asked: len(m.known), Enumerated: true}
	for set, value := range v {
		for i := range M {
			if set>>i&1 == 0 {
				est.Scores[i] += weight(M-1, size(set)) * (v[set|1<<i] - value)
			}
		}
	}
	return est, nil
}

// table is the value of every coalition; the bits of its index say who is in it.
func table(ctx context.Context, m *memo) ([]float64, error) {
	M := m.game.Features()
	of := make([]explain.Coalition, 1<<M)
	for set := range of {
		of[set] = make(explain.Coalition, M)
		for i := range M {
			of[set][i] = set>>i&1 == 1
		}
	}
	return m.values(ctx, of)
}

// weight is s!(n-s)!/(n+1)!: how likely s of n others arrive before a feature.
func weight(n, s int) float64 { return 1 / (float64(n+1) * choose(n, s)) }

// choose is the binomial coefficient; +Inf where it is beyond float64.
func choose(n, k int) float64 {
	c := 1.0
	for i := range min(k, n-k) {
		c *= float64(n-i) / float64(i+1)
	}
	return math.Round(c)
}

func size(set int) int {
	n := 0
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

// enumerable says whether all coalitions of M features fit into a budget.
func enumerable(M, budget int) bool { return M <= mostFeatures && 1<<M <= budget }

// defaultBudget is the coalitions that are asked for where no budget is given: all of up to 12 features, and otherwise
// what the usual implementations ask for.
func defaultBudget(M int) int {
	if M <= fewFeatures {
		return 1 << fewFeatures
	}
	return 2*M + 2048
}

// checkBudget puts the default in place of no budget.
func checkBudget(name string, budget, M, least int) (int, error) {
	if budget == 0 {
		budget = defaultBudget(M)
	}
	if budget < 2 || !enumerable(M, budget) && budget < least {
		return 0, fmt.Errorf("%s: a budget of %d coalitions is too small for %d features: it takes at least %d; raise the budget, or group the input into fewer features", name, budget, M, least)
	}
	return budget, nil
}

// memo asks a game for each coalition once.
type memo struct {
	game  explain.Game
	known map[string]float64
}

func newMemo(g explain.Game) *memo { return &memo{g, map[string]float64{}} }

// values is the value of each coalition. Those that are not known yet are asked for in one call.
func (m *memo) values(ctx context.Context, of []explain.Coalition) ([]float64, error) {
	keys := make([]string, len(of))
	var fresh []explain.Coalition
	var names []string
	asked := map[string]bool{}
	for i, c := range of {
		k := key(c)
		keys[i] = k
		if _, ok := m.known[k]; !ok && !asked[k] {
			asked[k] = true
			fresh, names = append(fresh, c), append(names, k)
		}
	}
	if len(fresh) > 0 {
		vs, err := m.game.Values(ctx, fresh)
		if err != nil {
			return nil, err
		}
		if len(vs) != len(fresh) {
			return nil, fmt.Errorf("a game gave %d values for %d coalitions", len(vs), len(fresh))
		}
		for i, v := range vs {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("the objective is %v where some features are absent: the model's weights or the baseline are too large to compute with", v)
			}
			m.known[names[i]] = v
		}
	}
	out := make([]float64, len(of))
	for i, k := range keys {
		out[i] = m.known[k]
	}
	return out, nil
}

// key names a coalition.
func key(c explain.Coalition) string {
	b := make([]byte, (len(c)+7)/8)
	for i, in := range c {
		if in {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return string(b)
}

func complement(c explain.Coalition) explain.Coalition {
	out := make(explain.Coalition, len(c))
	for i, in := range c {
		out[i] = !in
	}
	return out
}

// ends is the value of all features, and of none.
func ends(ctx context.Context, m *memo) (full, empty float64, err error) {
	none := make(explain.Coalition, m.game.Features())
	vs, err := m.values(ctx, []explain.Coalition{complement(none), none})
	if err != nil {
		return 0, 0, err
	}
	return vs[0], vs[1], nil
}

// answer makes a method of a way to play: play returns the estimate, and the settings to report.
func answer(ctx context.Context, m *lm.Model, q explain.Question, name string, play func(*explain.Problem) (Estimate, any, error)) (*explain.Attribution, error) {
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	est, settings, err := play(p)
	if err != nil {
		return nil, err
	}
	return p.Finish(ctx, explain.Result{
		Name: name, Settings: settings, Scores: est.Scores, Spread: est.Spread, Complete: true, Total: p.Value - p.Base(),
		Estimated: est.Asked * len(p.Baselines), Warnings: est.Warnings,
	})
}
