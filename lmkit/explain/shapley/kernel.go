package shapley

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Kernel estimates Shapley values by a linear fit to the game: if coalitions of size s have the weight
// (M-1) / (C(M,s) s (M-s)), the coefficients of the fit are the Shapley values (Lundberg and Lee, A unified approach to
// interpreting model predictions, 2017). That the scores add up to the difference to be explained is a constraint of
// the fit, not a large weight. Each coalition comes together with its complement (Covert and Lee, Improving KernelSHAP,
// 2021). The budget is divided among the sizes by their weights. A size takes part with all its coalitions where its
// share is enough for them, and else with as many as its share allows, drawn without repetition.
type Kernel struct {
	Budget int `json:"budget"` // coalitions to ask for at most; 0: 4096 up to 12 features, otherwise 2M + 2048
}

// Name implements explain.Method.
func (Kernel) Name() string { return "kernel-shap" }

// Score implements explain.Method. Cost: Budget rows forward a baseline.
func (k Kernel) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	est, err := k.Play(ctx, p.Game(), p.Question.Seed)
	return scores(p, est, k), err
}

// Play estimates the Shapley values of any game. It is exact where the budget holds all coalitions.
func (k Kernel) Play(ctx context.Context, g explain.Game, seed uint64) (Estimate, error) {
	M := g.Features()
	budget, err := checkBudget(k.Name(), k.Budget, M, 2*M+2)
	if err != nil {
		return Estimate{}, err
	}
	m := explain.Remember(g)
	if enumerable(M, budget) {
		return enumerate(ctx, m)
	}
	pairs := draw(M, budget/2-1, seed)
	of := []explain.Coalition{explain.All(M), explain.Only(M)}
	for _, p := range pairs {
		of = append(of, p.in, p.in.Complement())
	}
	values, err := m.Values(ctx, of)
	if err != nil {
		return Estimate{}, err
	}
	est := Estimate{Full: values[0], Empty: values[1], Asked: m.Asked()}
	for i := range pairs {
		pairs[i].half = (values[2*i+2] - values[2*i+3]) / 2
	}
	weights := make([]float64, len(pairs))
	sampled := 0
	for i, p := range pairs {
		weights[i] = p.weight
		if p.sampled {
			sampled++
		}
	}
	whole := gather(M, pairs, weights)
	if est.Scores, err = whole.fit(est.Full - est.Empty); err != nil {
		return Estimate{}, err
	}
	if sampled < 2 {
		est.Warnings = append(est.Warnings, fmt.Sprintf("the budget of %d coalitions leaves too few to draw for %d "+
			"features, and nothing can tell how far the scores are off: raise the budget", budget, M))
		return est, nil
	}
	est.Spread, err = spread(whole, pairs, sampled, est.Full-est.Empty)
	return est, err
}

// pair is a coalition, and with it its complement.
type pair struct {
	in      explain.Coalition
	half    float64 // (v(in) - v(complement)) / 2
	weight  float64 // in the fit
	sampled bool    // the pair was drawn; false: all pairs of its size take part
	missing float64 // of a sampled pair: the share of the pairs of its size that were not drawn
}

// draw chooses up to n pairs of M features for the fit, each with its weight. Sizes s and M-s are one stratum, since a
// pair has a coalition of each. The strata are gone through from s = 1 on: as long as a stratum's share of n holds all
// its pairs, it is taken whole. The rest of n is divided among the strata that are left, and drawn.
func draw(M, n int, seed uint64) []pair {
	strata, left := make([]stratum, M/2), 0.0
	for i := range strata {
		strata[i] = newStratum(M, i+1)
		left += strata[i].weight
	}
	var pairs []pair
	for len(strata) > 0 {
		s := strata[0]
		// Size 1 is always taken whole: its M pairs alone make the fit unique.
		if s.size > 1 && float64(n)*s.weight/left < s.pairs {
			break
		}
		for set := range numerics.Combinations(M, s.size) {
			c := explain.Only(M, set...)
			if 2*s.size < M || c[0] {
				pairs = append(pairs, pair{in: c, weight: s.weight / s.pairs})
			}
		}
		n -= int(s.pairs)
		left -= s.weight
		strata = strata[1:]
	}
	if len(strata) == 0 || n < 1 {
		return pairs
	}
	// Systematic sampling: the strata's weights are laid end to end, and every step of length left/n on them, from a
	// random start, draws a pair of the stratum that it falls into. So each stratum gets its share, rounded up or down.
	rng := rand.New(rand.NewPCG(seed, 0))
	step := left / float64(n)
	at, upTo := step*rng.Float64(), 0.0
	for _, s := range strata {
		upTo += s.weight
		drawn := map[string]bool{}
		for ; at < upTo && float64(len(drawn)) < s.pairs; at += step {
			c := s.random(M, rng, drawn)
			pairs = append(pairs, pair{in: c, weight: step, sampled: true})
		}
		for i := len(pairs) - len(drawn); i < len(pairs); i++ {
			pairs[i].missing = 1 - float64(len(drawn))/s.pairs
		}
	}
	return pairs
}

// stratum is all pairs of a coalition of some size and its complement.
type stratum struct {
	size   int     // of the smaller one of a pair
	pairs  float64 // how many pairs there are: C(M, size), or half as many where size = M - size
	weight float64 // of all pairs together, in the fit and in dividing the budget
}

// newStratum returns a stratum with its weight 2 (M-1) / (size (M-size)): that of both its sizes.
func newStratum(M, size int) stratum {
	s := stratum{size: size, pairs: numerics.Binomial(M, size), weight: 2 * float64(M-1) / float64(size*(M-size))}
	if 2*size == M {
		s.pairs, s.weight = s.pairs/2, s.weight/2
	}
	return s
}

// random draws a pair of the stratum that is not among drawn, adds it there, and returns its smaller coalition. Of two
// equal halves that is the one with feature 0.
func (s stratum) random(M int, rng *rand.Rand, drawn map[string]bool) explain.Coalition {
	for {
		c := explain.Only(M, rng.Perm(M)[:s.size]...)
		if 2*s.size == M && !c[0] {
			c = c.Complement()
		}
		if k := c.Key(); !drawn[k] {
			drawn[k] = true
			return c
		}
	}
}

// moments are the sums over pairs that a fit needs: A = Σ weights[k] x_k x_kᵀ and b = Σ weights[k] half_k x_k. Here x_k
// is +1/2 for the features in coalition k and -1/2 for the others.
type moments struct {
	a *mat.SymDense
	b *mat.VecDense
}

func zeroMoments(M int) moments { return moments{mat.NewSymDense(M, nil), mat.NewVecDense(M, nil)} }

// gather returns the moments of pairs of M features under weights.
func gather(M int, pairs []pair, weights []float64) moments {
	m := zeroMoments(M)
	if len(pairs) == 0 {
		return m
	}
	scaled := mat.NewDense(len(pairs), M, nil)
	for k, p := range pairs {
		row := scaled.RawRowView(k)
		for i, in := range p.in {
			row[i] = -0.5
			if in {
				row[i] = 0.5
			}
			m.b.SetVec(i, m.b.AtVec(i)+weights[k]*p.half*row[i])
			row[i] *= math.Sqrt(weights[k])
		}
	}
	m.a.SymOuterK(1, scaled.T())
	return m
}

// add adds other moments, times a number.
func (m moments) add(times float64, other moments) {
	var part mat.SymDense
	part.ScaleSym(times, other.a)
	m.a.AddSym(m.a, &part)
	m.b.AddScaledVec(m.b, times, other.b)
}

// fit returns the φ that minimises Σ weights[k] (half_k - x_k·φ)² under the constraint Σφ = total. This is what the fit
// to single coalitions comes to when each is there together with its complement, as the constant of the fit cancels:
// φ = A⁻¹b + λ A⁻¹1, where λ is such that the constraint holds.
func (m moments) fit(total float64) ([]float64, error) {
	var chol mat.Cholesky
	if !chol.Factorize(m.a) {
		return nil, errors.New("kernel-shap: the fit has no unique solution: raise the budget")
	}
	M := m.b.Len()
	ones := mat.NewVecDense(M, nil)
	for i := range M {
		ones.SetVec(i, 1)
	}
	var free, back mat.VecDense
	if err := errors.Join(chol.SolveVecTo(&free, m.b), chol.SolveVecTo(&back, ones)); err != nil {
		return nil, fmt.Errorf("kernel-shap: the fit is close to singular (%w): raise the budget", err)
	}
	free.AddScaledVec(&free, (total-mat.Sum(&free))/mat.Sum(&back), &back)
	return free.RawVector().Data, nil
}

// jackknifeParts is how many parts the sample is cut into for standard errors: each in turn is left out of a fit.
const jackknifeParts = 20

// spread returns the standard errors of the scores, by a jackknife: the sample is fitted again without one part after
// another, while the weights of the other parts grow to make up for it, and the scatter of these fits tells how much
// the scores depend on what was drawn. Of a size of which nearly all pairs were drawn, another sample would be nearly
// the same: so the change of a weight is multiplied by sqrt(missing), the correction for sampling without repetition.
//
// A fit without part g has the moments whole + change (Σ parts - part g) - part g, where whole are those of all pairs,
// and a part has those of its pairs with their weights times sqrt(missing): every pair is looked at twice, however many
// fits there are.
func spread(whole moments, pairs []pair, sampled int, total float64) ([]float64, error) {
	groups := min(jackknifeParts, sampled)
	members, weights := make([][]pair, groups), make([][]float64, groups)
	k := 0
	for _, p := range pairs {
		if p.sampled {
			g := k % groups
			members[g], weights[g] = append(members[g], p), append(weights[g], p.weight*math.Sqrt(p.missing))
			k++
		}
	}
	M := whole.b.Len()
	all, parts := zeroMoments(M), make([]moments, groups)
	for g := range parts {
		parts[g] = gather(M, members[g], weights[g])
		all.add(1, parts[g])
	}
	var estimates [][]float64
	for g, part := range parts {
		change := float64(len(members[g])) / float64(sampled-len(members[g]))
		without := zeroMoments(M)
		without.add(1, whole)
		without.add(change, all)
		without.add(-change-1, part)
		scores, err := without.fit(total)
		if err != nil {
			return nil, err
		}
		estimates = append(estimates, scores)
	}
	return numerics.Jackknife(estimates), nil
}
