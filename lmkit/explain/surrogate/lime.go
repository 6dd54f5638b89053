// Package surrogate explains a model by a simpler one that imitates it: a linear one near one input, or a decision tree
// near one input or over many. A surrogate says how well it imitates.
package surrogate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// LIME fits a linear model to the objective on versions of the input in which some features are absent, closer ones
// weighing more; the scores are its coefficients (Ribeiro, Singh and Guestrin, "Why should I trust you?", 2016). It is
// the authors' method for text: the number of absent features is drawn first, then which ones; the weight is
// exp(-d²/(2·Width²)), where d is 100 times the cosine distance to the whole input; features are selected by forward
// selection if there are up to six to select, otherwise by their weights in a fit with ridge 0.01; the fit has ridge 1.
// Where Samples reaches all coalitions, each is asked for once, with the weight that it has on average: no chance
// remains.
type LIME struct {
	Samples  int     // versions of the input, with the input itself; 0: 5000
	Width    float64 // of the neighbourhood; 0: 25
	Features int     // to select; the others score 0; 0: all (the authors' default is 10)
}

// Local is a linear model near one input.
type Local struct {
	Scores     []float64 // the coefficients, one a feature
	Spread     []float64 // their standard errors, given what was selected; nil: nothing was sampled
	Intercept  float64
	R2         float64 // of the weighted variance of the objective, what the model explains
	Prediction float64 // of the model, for the input
	Value      float64 // the objective on the input
	Asked      int     // distinct coalitions
	Enumerated bool    // these were all
}

// settings is what LIME ran with and how good its fit is, as a result reports it.
type settings struct {
	Samples    int     `json:"samples"`
	Width      float64 `json:"width"`
	Features   int     `json:"features"`
	Enumerated bool    `json:"enumerated"`
	R2         float64 `json:"r2"`
	Prediction float64 `json:"prediction"`
	Intercept  float64 `json:"intercept"`
}

// poorFit is the R² below which a result carries a warning.
const poorFit = 0.5

// Name implements explain.Method.
func (LIME) Name() string { return "lime" }

// Score implements explain.Method. Cost: Samples rows forward a baseline, or 2^M where that is less.
func (l LIME) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	fit, err := l.Play(ctx, p.Game(), p.Question.Seed)
	if err != nil {
		return explain.Scores{}, err
	}
	l = l.defaults(len(fit.Scores))
	r := explain.Scores{
		Values: fit.Scores, Spread: fit.Spread,
		Settings: settings{l.Samples, l.Width, l.Features, fit.Enumerated, fit.R2, fit.Prediction, fit.Intercept},
	}
	if fit.R2 < poorFit {
		r.Warnings = append(r.Warnings, doubt("linear model", fit.R2))
	}
	if miss := fit.Prediction - p.Value; math.Abs(miss) > 0.25*math.Abs(p.Value-p.Base()) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("for the input itself the linear model says %.3g, where the "+
			"objective is %.3g: it describes the neighbourhood, not the input; a smaller width stays "+
			"closer", fit.Prediction, p.Value))
	}
	return r, nil
}

// doubt returns a warning about a surrogate that explains the share r2 of the variance, which is little.
func doubt(what string, r2 float64) string {
	return fmt.Sprintf("the %s explains %.0f %% of how the objective varies near the input: its scores are a poor "+
		"summary; compare them with Shapley values", what, 100*max(0, r2))
}

func (l LIME) defaults(M int) LIME {
	if l.Samples == 0 {
		l.Samples = 5000
	}
	if l.Width == 0 {
		l.Width = 25
	}
	if l.Features == 0 || l.Features > M {
		l.Features = M
	}
	return l
}

// Play fits a linear model to any game: Σ weight (y - intercept - Σ_f coef_f x_f)² + Σ coef² is least, where x_f is 1
// if feature f is present and else 0, and the weight falls with the distance from the input. Scores are the
// coefficients.
func (l LIME) Play(ctx context.Context, g explain.Game, seed uint64) (*Local, error) {
	M := g.Features()
	if l.Samples < 0 || l.Samples == 1 || l.Width < 0 || math.IsNaN(l.Width) || l.Features < 0 {
		return nil, fmt.Errorf("lime: %d samples of width %v for %d features: there must be at least two samples, "+
			"and nothing negative", l.Samples, l.Width, l.Features)
	}
	l = l.defaults(M)
	near := neighbourhood(M, l.Samples, seed)
	game := explain.Remember(g)
	y, err := game.Values(ctx, near.in)
	if err != nil {
		return nil, err
	}
	weights := make([]float64, len(y))
	for i, c := range near.in {
		weights[i] = near.weight[i] * kernel(c, l.Width)
	}
	fit := linear(near.in, y, weights, l.Features, !near.all)
	fit.Value, fit.Asked, fit.Enumerated = y[0], game.Asked(), near.all
	return fit, nil
}

// neighbours are versions of an input in which some features are absent. The input itself is the first.
type neighbours struct {
	in     []explain.Coalition
	weight []float64 // how many of the samples each stands for
	all    bool      // these are all coalitions
}

// neighbourhood returns n versions of an input of M features. It draws how many features are absent, from 1 to M with
// equal probabilities, and then which, for each version from a seed of its own. Where there are no more than n
// coalitions, it returns all of them in place of a sample, each with the weight n-1 times its probability.
func neighbourhood(M, n int, seed uint64) neighbours {
	full := explain.All(M)
	near := neighbours{in: []explain.Coalition{full}, weight: []float64{1}}
	if M < 31 && 1<<M <= n {
		near.all = true
		for gone := 1; gone < 1<<M; gone++ {
			c, k := slices.Clone(full), 0
			for i := range M {
				if gone>>i&1 == 1 {
					c[i] = false
					k++
				}
			}
			near.in = append(near.in, c)
			near.weight = append(near.weight, float64(n-1)/(float64(M)*numerics.Binomial(M, k)))
		}
		return near
	}
	for s := 1; s < n; s++ {
		rng := rand.New(rand.NewPCG(seed, uint64(s)))
		c := full.Without(rng.Perm(M)[:1+rng.IntN(M)]...)
		near.in, near.weight = append(near.in, c), append(near.weight, 1)
	}
	return near
}

// kernel returns exp(-d²/(2 width²)), the weight of a version of the input at the distance d. It is 100 times the
// cosine distance of the version's 0s and 1s from the input's 1s: d = 100 (1 - sqrt(present/M)).
func kernel(c explain.Coalition, width float64) float64 {
	present := 0
	for _, in := range c {
		if in {
			present++
		}
	}
	d := 100 * (1 - math.Sqrt(float64(present)/float64(len(c))))
	return math.Exp(-d * d / (2 * width * width))
}

// jackknifeParts is how many parts the sample is cut into for standard errors: each in turn is left out of a fit.
const jackknifeParts = 20

// linear selects features and fits a ridge regression (penalty 1) of y to their presence in the versions of the
// input, of which in[0] is the input itself. If the versions are a sample, it also finds standard errors, by a
// jackknife: from the fits without one part of the sample after another.
func linear(in []explain.Coalition, y, weights []float64, features int, sampled bool) *Local {
	M := len(in[0])
	groups := min(jackknifeParts, len(in))
	var parts []*numerics.Moments
	for g := range groups {
		var rows [][]float64
		var ys, ws []float64
		for i := g; i < len(in); i += groups {
			// y is taken relative to the value of the input, so that a large constant costs no digits.
			rows, ys, ws = append(rows, zeroOne(in[i])), append(ys, y[i]-y[0]), append(ws, weights[i])
		}
		parts = append(parts, numerics.NewMoments(M, rows, ys, ws))
	}
	all := numerics.NewMoments(M, nil, nil, nil)
	for _, p := range parts {
		all.Add(1, p)
	}
	chosen := choice(all, M, features)
	scores := func(line numerics.Line) []float64 {
		out := make([]float64, M)
		for i, f := range chosen {
			out[f] = line.Coef[i]
		}
		return out
	}
	line := all.Ridge(chosen, 1)
	fit := &Local{Scores: scores(line), Intercept: line.Intercept + y[0], R2: line.R2, Prediction: line.Intercept + y[0]}
	for _, c := range line.Coef {
		fit.Prediction += c
	}
	if !sampled {
		return fit
	}
	var without [][]float64
	for _, p := range parts {
		rest := numerics.NewMoments(M, nil, nil, nil)
		scale := float64(groups) / float64(groups-1) // keeps the balance of the data and the penalty
		rest.Add(scale, all)
		rest.Add(-scale, p)
		without = append(without, scores(rest.Ridge(chosen, 1)))
	}
	fit.Spread = numerics.Jackknife(without)
	return fit
}

// choice selects so many of M features, as LIME's authors do. Up to 6 it selects one after another, each time the one
// with which R² becomes largest. More than 6 are those with the largest coefficients in a fit of all. Of equals, it
// takes the first.
func choice(m *numerics.Moments, M, features int) []int {
	every := make([]int, M)
	for i := range every {
		every[i] = i
	}
	if features >= M {
		return every
	}
	if features > 6 {
		coef := m.Ridge(every, 0.01).Coef
		return slices.Sorted(slices.Values(explain.Ranked(coef)[:features]))
	}
	var chosen []int
	for range features {
		best, top := -1, math.Inf(-1)
		for f := range M {
			if slices.Contains(chosen, f) {
				continue
			}
			if r2 := m.Ridge(append(slices.Clone(chosen), f), 0).R2; r2 > top {
				best, top = f, r2
			}
		}
		chosen = append(chosen, best)
	}
	return slices.Sorted(slices.Values(chosen))
}

// zeroOne returns 1 for each feature that is present, and 0 for each that is absent.
func zeroOne(c explain.Coalition) []float64 {
	out := make([]float64, len(c))
	for i, in := range c {
		if in {
			out[i] = 1
		}
	}
	return out
}
