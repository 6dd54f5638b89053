package explain

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/numerics"
)

// Spearman returns the rank correlation of two score lists over the same features, from -1 to 1: Pearson's
// correlation of their ranks, where equal scores share the mean of the ranks they span. It compares signed scores as
// they are. It is NaN where it has no meaning: fewer than two features, or a list that is constant. It fails where
// the lengths differ or a score is NaN. Spearman, The proof and measurement of association between two things, 1904.
func Spearman(a, b []float64) (float64, error) {
	if err := sameFeatures(a, b); err != nil {
		return 0, err
	}
	return numerics.Pearson(numerics.Ranks(a), numerics.Ranks(b)), nil
}

// TopOverlap returns the share, from 0 to 1, of the k features with the largest |score| that two score lists have in
// common; k is lowered to the number of features. Of equal sizes the earlier feature counts as larger. It is NaN
// without features, and fails where the lengths differ, a score is NaN or k < 1. It is the feature agreement of
// Krishna et al., The disagreement problem in explainable machine learning, 2022.
func TopOverlap(a, b []float64, k int) (float64, error) {
	if err := sameFeatures(a, b); err != nil {
		return 0, err
	}
	if k < 1 {
		return 0, fmt.Errorf("the top %d features: expected 1 or more", k)
	}
	if len(a) == 0 {
		return math.NaN(), nil
	}
	k = min(k, len(a))
	inB := Ranked(b)[:k]
	common := 0
	for _, i := range Ranked(a)[:k] {
		if slices.Contains(inB, i) {
			common++
		}
	}
	return float64(common) / float64(k), nil
}

// Ranked returns the indices of scores from the largest |score| to the smallest, of equal sizes the earlier one first.
func Ranked(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(math.Abs(scores[j]), math.Abs(scores[i])) })
	return order
}

func sameFeatures(a, b []float64) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d scores against %d: only scores of the same features can be compared", len(a), len(b))
	}
	if slices.ContainsFunc(a, math.IsNaN) || slices.ContainsFunc(b, math.IsNaN) {
		return errors.New("a score is NaN: it has no rank")
	}
	return nil
}
