package gradient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
)

// The rows forward and backward that a refinement may take, where no budget is given: of one line, and of each line
// where there is one for each feature, besides that. The latter is enough for the finest rule.
const (
	defaultBudget = 4096
	lineBudget    = 64
)

// Integrated is integrated gradients (Sundararajan et al., 2017): (x-x') times the integral of the gradient on the
// straight line from the baseline x' to the input x. The scores add up to f(x)-f(x').
type Integrated struct {
	// points of one Gauss-Legendre rule; 0: refine until the error is below the tolerance
	Steps int `json:"steps,omitempty"`
	// rows forward and backward that the refinement may take after its first round, about; 0: 4096 a baseline
	Budget int `json:"budget,omitempty"`
}

// Name implements explain.Method.
func (Integrated) Name() string { return "integrated-gradients" }

// Score implements explain.Method. Several baselines are averaged, and Spread is the standard error over them. Cost:
// Steps rows forward and backward, a baseline; when refined, 7 or more.
func (ig Integrated) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if err := checkSteps(ig.Name(), ig.Steps, ig.Budget); err != nil {
		return explain.Scores{}, err
	}
	lines, totals := make([]line, len(p.Baselines)), make([]float64, len(p.Baselines))
	for b := range lines {
		lines[b] = line{positions: p.Positions(p.AllFeatures()), baseline: p.Baselines[b].Vector}
		totals[b] = p.Value - p.Bases[b]
	}
	per, err := integrals(ctx, p, lines, totals, ig.Steps, cmp.Or(ig.Budget, len(lines)*defaultBudget), 0)
	if err != nil {
		return explain.Scores{}, err
	}
	mean, spread := numerics.MeanAndError(per)
	promise := &explain.Promise{Total: p.Value - p.Base(), Of: explain.Difference, Cure: cureIntegral(ig.Steps)}
	return explain.Scores{Values: mean, Spread: spread, Promise: promise, Settings: ig,
		Warnings: tooSmall(ig.Steps, ig.Budget, len(lines))}, nil
}

// Sequential is sequential integrated gradients (Enguehard, 2023): for each feature the integral on the line along
// which that feature alone goes from the baseline to the input, all others staying. Each score is f(x) minus f of x
// without the feature, so that they add up to the sum of those.
type Sequential struct {
	Steps int `json:"steps,omitempty"` // points of one Gauss-Legendre rule, a feature; 0: refine
	// rows forward and backward that the refinement may take, about; 0: 4096 and 64 a feature, a baseline
	Budget int `json:"budget,omitempty"`
}

// eachAlone is what the scores of Sequential add up to.
const eachAlone = "sum over the features of value - value without the feature"

// Name implements explain.Method.
func (Sequential) Name() string { return "sequential-ig" }

// Score implements explain.Method. Cost: as Integrated, for each feature.
func (s Sequential) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if err := checkSteps(s.Name(), s.Steps, s.Budget); err != nil {
		return explain.Scores{}, err
	}
	M := len(p.Features)
	var lines []line
	var single []explain.Replacement
	for b := range p.Baselines {
		for f := range p.Features {
			lines = append(lines, line{positions: p.Features[f].Tokens, baseline: p.Baselines[b].Vector})
			single = append(single, explain.Replacement{Features: []int{f}, Baseline: b})
		}
	}
	without, err := p.Values(ctx, single)
	if err != nil {
		return explain.Scores{}, err
	}
	totals := make([]float64, len(lines))
	for l := range lines {
		totals[l] = p.Value - without[l]
	}
	budget := cmp.Or(s.Budget, len(p.Baselines)*defaultBudget+len(lines)*lineBudget)
	scores, err := integrals(ctx, p, lines, totals, s.Steps, budget, len(single))
	if err != nil {
		return explain.Scores{}, err
	}
	per := make([][]float64, len(p.Baselines))
	total := 0.0
	for b := range per {
		for f := range M {
			per[b] = append(per[b], scores[b*M+f][f])
			total += totals[b*M+f] / float64(len(per))
		}
	}
	mean, spread := numerics.MeanAndError(per)
	promise := &explain.Promise{Total: total, Of: eachAlone, Cure: cureIntegral(s.Steps)}
	return explain.Scores{Values: mean, Spread: spread, Promise: promise, Settings: s,
		Warnings: tooSmall(s.Steps, s.Budget, len(lines))}, nil
}

// tooSmall returns a warning where a budget of rows forward and backward is below what the first round over so many
// lines takes.
func tooSmall(steps, budget, lines int) (warnings []string) {
	if least := 2 * rules[1] * lines; steps == 0 && budget > 0 && budget < least {
		warnings = append(warnings, fmt.Sprintf("the budget is %d rows, and an integral takes at least the %d that were "+
			"run: raise the budget, or take another method", budget, least))
	}
	return warnings
}

// checkSteps reports a number of steps that no integral needs, and a bound that is none.
func checkSteps(name string, steps, most int) error {
	if steps < 0 || most < 0 {
		return fmt.Errorf("%s: the number of steps must be positive, or 0 for as many as needed", name)
	}
	if steps > 100_000 {
		return fmt.Errorf("%s: %d steps are more than any integral needs; leave the number out to use as many as "+
			"needed", name, steps)
	}
	return nil
}

// cureIntegral says what helps where the scores of a refined integral, or of one of so many steps, do not add up.
func cureIntegral(steps int) string {
	if steps > 0 {
		return "leave the number of steps out, so that it is refined until it holds"
	}
	return "the budget is spent: raise it, choose another baseline (mean, or a token), or take owen, whose scores add " +
		"up however the model behaves"
}

// cure says what helps where the scores of an integral by one rule, which was doubled if no steps were given, do not
// add up.
func cure(steps int) string {
	if steps > 0 {
		return "give more steps, or leave their number out"
	}
	return "choose another baseline (mean, or a token), or give a number of steps above 256"
}

// integrals integrates each line by a fixed rule, or by refinement within a budget of rows forward and backward. totals
// is what the scores of each line must add up to, and before the rows that the method has run already.
func integrals(
	ctx context.Context, p *explain.Problem, lines []line, totals []float64, steps, budget, before int,
) (scores [][]float64, err error) {
	if steps > 0 {
		var points []point
		for l := range lines {
			points = append(points, gauss(l, steps, 0, 1)...)
		}
		p.Expect(before + 2*len(points))
		return integrate(ctx, p, lines, points)
	}
	size := rules[firstRule(p.Question.Tolerance)] + 1
	asked, computed := 0, 0 // points with those that fill up queries, and without
	return refine(func(points []point) ([][]float64, error) {
		asked += filledUp(len(points), size)
		computed += len(points)
		return inQueries(points, size, func(points []point) ([][]float64, error) { return slopes(ctx, p, lines, points) })
	}, totals, p.Question.Tolerance, budget/2, func(points int) {
		p.Expect(before + 2*(asked+filledUp(points-computed, size)))
	})
}

// Smooth is SmoothGrad (Smilkov et al., 2017): saliency of the mean gradient around the input, under normal noise on
// the embeddings.
type Smooth struct {
	Samples int     `json:"samples"` // 0: 50
	Noise   float64 `json:"noise"`   // standard deviation, as a share of that of the input's embeddings; 0: 0.15
}

// Name implements explain.Method.
func (Smooth) Name() string { return "smoothgrad" }

// smoothParts is how many parts the samples are cut into, to see how much the scores vary.
const smoothParts = 5

// Score implements explain.Method. Scores are L2 norms, in units of the objective per unit of embedding; Spread is
// their standard error over five parts of the samples. Cost: Samples rows forward and backward.
func (s Smooth) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if s.Samples == 0 {
		s.Samples = 50
	}
	if s.Noise == 0 {
		s.Noise = 0.15
	}
	if s.Samples < smoothParts || s.Noise < 0 || math.IsNaN(s.Noise) {
		return explain.Scores{}, fmt.Errorf("smoothgrad: %d samples with noise %v: it takes at least %d, and "+
			"positive noise", s.Samples, s.Noise, smoothParts)
	}
	sum := make([]lm.Array, smoothParts)
	for r := range sum {
		sum[r] = lm.Array{Dims: p.Embeddings.Dims, Data: make([]float32, len(p.Embeddings.Data))}
	}
	p.Expect(2 * s.Samples)
	sd := s.Noise * deviation(p.Embeddings.Data)
	for chunk := range slices.Chunk(numbers(s.Samples), 64) {
		query := lm.Query{Rows: p.Rows(len(chunk)), Wrt: []lm.Tap{embed}}
		for i, k := range chunk {
			rng := rand.New(rand.NewPCG(p.Question.Seed, uint64(k)))
			noisy := lm.Array{Dims: p.Embeddings.Dims, Data: make([]float32, len(p.Embeddings.Data))}
			copy(noisy.Data, p.Embeddings.Data)
			for d := range p.Input * p.Embeddings.Dims[1] {
				noisy.Data[d] += float32(sd * rng.NormFloat64())
			}
			query.Edits = append(query.Edits, lm.Edit{Tap: embed, Rows: []int{i}, With: lm.FromValues(noisy)})
		}
		a, err := p.Evaluate(ctx, query)
		if err != nil {
			return explain.Scores{}, err
		}
		for i, k := range chunk {
			for d, v := range a.Grad[embed].Index(i).Data {
				sum[k%smoothParts].Data[d] += v
			}
		}
	}
	whole := lm.Array{Dims: p.Embeddings.Dims, Data: make([]float32, len(p.Embeddings.Data))}
	var parts [][]float64
	for r := range sum {
		n := float32((s.Samples - r + smoothParts - 1) / smoothParts)
		for d, v := range sum[r].Data {
			whole.Data[d] += v / float32(s.Samples)
			sum[r].Data[d] = v / n
		}
		parts = append(parts, norms(p, sum[r], 2))
	}
	_, spread := numerics.MeanAndError(parts)
	return explain.Scores{Settings: s, Values: norms(p, whole, 2), Spread: spread,
		Unit: p.Unit + " per embedding unit"}, nil
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// deviation returns the standard deviation of numbers.
func deviation(xs []float32) float64 {
	var sum, squares float64
	for _, x := range xs {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	n := float64(len(xs))
	return math.Sqrt(max(0, squares/n-sum*sum/n/n))
}

// Expected is expected gradients (Erion et al., 2021): integrated gradients averaged over random baselines and random
// places on the way. Here a baseline is the input with every token exchanged for a random one of the vocabulary, or
// the rows of References. The scores add up, in expectation, to f(x) minus the mean of f over the baselines.
type Expected struct {
	Samples int `json:"samples"` // 0: 200
	// texts of the input's length to draw baselines from; nil: random tokens
	References [][]tokenID `json:"references,omitempty"`
}

// Name implements explain.Method.
func (Expected) Name() string { return "expected-gradients" }

// Score implements explain.Method. Spread is the standard error of each score. Places on the way are stratified: one
// in each of Samples equal pieces. Cost: Samples rows forward and backward, and Samples forward for the base.
func (x Expected) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if x.Samples == 0 {
		x.Samples = 200
	}
	if x.Samples < 2 {
		return explain.Scores{}, errors.New("expected-gradients: it takes at least 2 samples")
	}
	for i, r := range x.References {
		if len(r) != p.Input {
			return explain.Scores{}, fmt.Errorf("expected-gradients: reference %d has %d tokens, the "+
				"input %d", i, len(r), p.Input)
		}
	}
	p.Expect(3 * x.Samples)
	var per [][]float64
	base := 0.0
	for chunk := range slices.Chunk(numbers(x.Samples), 64) {
		bases, scores, err := x.draw(ctx, p, chunk)
		if err != nil {
			return explain.Scores{}, err
		}
		per = append(per, scores...)
		for _, b := range bases {
			base += b / float64(x.Samples)
		}
	}
	mean, spread := numerics.MeanAndError(per)
	promise := &explain.Promise{Total: p.Value - base, Of: explain.Difference,
		Cure: "draw more samples: the error of a mean falls with the root of their number"}
	return explain.Scores{Values: mean, Spread: spread, Promise: promise, Base: &base,
		BaseOf: "the mean on the method's own baselines", Settings: x}, nil
}

// draw computes the objective at, and the gradient on the way from, some random baselines.
func (x Expected) draw(
	ctx context.Context, p *explain.Problem, samples []int,
) (bases []float64, scores [][]float64, err error) {
	n := len(samples)
	at := lm.Query{Rows: p.Rows(n)}
	way := lm.Query{Rows: p.Rows(n), Wrt: []lm.Tap{embed}}
	positions := p.Positions(p.AllFeatures())
	var baselines []lm.Array
	for i, k := range samples {
		rng := rand.New(rand.NewPCG(p.Question.Seed, uint64(k)))
		ids := slices.Clone(p.IDs)
		for t := range p.Input {
			ids[t] = tokenID(rng.IntN(p.Model.Config().Vocab))
			if x.References != nil {
				ids[t] = x.References[k%len(x.References)][t]
			}
		}
		b, err := p.Model.Embeddings(ids...)
		if err != nil {
			return nil, nil, err
		}
		baselines = append(baselines, b)
		alpha := (float64(k) + rng.Float64()) / float64(x.Samples)
		at.Edits = append(at.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: positions, With: lm.FromValues(b)})
		way.Edits = append(way.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: positions, Keep: alpha,
			With: lm.FromValues(b)})
	}
	a, err := p.Evaluate(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	w, err := p.Evaluate(ctx, way)
	if err != nil {
		return nil, nil, err
	}
	for i := range samples {
		diff := lm.Array{Dims: p.Embeddings.Dims, Data: slices.Clone(p.Embeddings.Data)}
		for d := range diff.Data {
			diff.Data[d] -= baselines[i].Data[d]
		}
		scores = append(scores, dots(p, diff, w.Grad[embed].Index(i)))
	}
	return a.Values, scores, nil
}
