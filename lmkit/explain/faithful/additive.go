package faithful

import (
	"context"
	"errors"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Infidelity returns how far sums of scores are from what really changes: the mean over sets S of (sum of φ_i in S -
// (f(x)
// - f(x without S)))², in the game's unit squared. Scaled is the same for the scores times the factor β that makes it
// least, β = E[φ(S) Δ(S)] / E[φ(S)²]: it forgives a wrong scale, but not wrong proportions. Zero is best. The scores
// are contributions (as gradient times input), so the perturbation is to take the features of S away. Yeh et al., On
// the (in)fidelity and sensitivity of explanations, 2019. Cost: one coalition a set, and one.
func Infidelity(
	ctx context.Context, g explain.Game, scores []float64, sets [][]int,
) (plain, scaled float64, err error) {
	sums, drops, err := sumsAndDrops(ctx, g, scores, sets)
	if err != nil {
		return 0, 0, err
	}
	var cross, square float64
	for i := range sums {
		cross += sums[i] * drops[i]
		square += sums[i] * sums[i]
	}
	beta := 0.0
	if square > 0 {
		beta = cross / square
	}
	n := float64(len(sums))
	for i, s := range sums {
		plain += (s - drops[i]) * (s - drops[i]) / n
		scaled += (beta*s - drops[i]) * (beta*s - drops[i]) / n
	}
	return plain, scaled, nil
}

// FaithfulnessCorrelation returns Pearson's correlation, over sets S, of the sum of the scores in S with what the game
// loses without S, f(x) - f(x without S): 1 is best. It is NaN where either is the same for all sets. Bhatt et al.,
// Evaluating and aggregating feature-based model explanations, 2020. Cost: one coalition a set, and one.
func FaithfulnessCorrelation(ctx context.Context, g explain.Game, scores []float64, sets [][]int) (float64, error) {
	sums, drops, err := sumsAndDrops(ctx, g, scores, sets)
	if err != nil {
		return 0, err
	}
	return numerics.Pearson(sums, drops), nil
}

// SensitivityN returns the faithfulness correlation over sets of n features, all of them or count at random: it is 1
// for every n if and only if the scores add up for every set. Ancona et al., Towards better understanding of
// gradient-based attribution methods, 2018.
func SensitivityN(ctx context.Context, g explain.Game, scores []float64, n, count int, seed uint64) (float64, error) {
	if n < 1 {
		return 0, errors.New("sensitivity-n needs sets of at least 1 feature")
	}
	sets, err := Subsets(g.Features(), n, count, seed)
	if err != nil {
		return 0, err
	}
	return FaithfulnessCorrelation(ctx, g, scores, sets)
}

// LeaveOneOutTau returns Kendall's tau-b of the scores with what the game loses without each feature alone: 1 where the
// order is the same. It is NaN where either is constant. Jain and Wallace, Attention is not explanation, 2019. Cost:
// M+1 coalitions.
func LeaveOneOutTau(ctx context.Context, g explain.Game, scores []float64) (float64, error) {
	singles := make([][]int, g.Features())
	for i := range singles {
		singles[i] = []int{i}
	}
	alone, drops, err := sumsAndDrops(ctx, g, scores, singles)
	if err != nil {
		return 0, err
	}
	return Kendall(alone, drops)
}

// sumsAndDrops is, for each set, the sum of its scores and what the game loses without it.
func sumsAndDrops(
	ctx context.Context, g explain.Game, scores []float64, sets [][]int,
) (sums, drops []float64, err error) {
	if err := checkScores(g, scores); err != nil {
		return nil, nil, err
	}
	if len(sets) == 0 {
		return nil, nil, errors.New("there are no sets of features to take away")
	}
	M := g.Features()
	of := []explain.Coalition{explain.All(M)}
	sums, drops = make([]float64, len(sets)), make([]float64, len(sets))
	for i, set := range sets {
		if err := checkSet(M, set); err != nil {
			return nil, nil, err
		}
		of = append(of, explain.All(M).Without(set...))
		for _, f := range set {
			sums[i] += scores[f]
		}
	}
	values, err := play(ctx, g, of)
	if err != nil {
		return nil, nil, err
	}
	for i := range sets {
		drops[i] = values[0] - values[1+i]
	}
	return sums, drops, nil
}
