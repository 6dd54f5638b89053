package faithful

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Agreement is how far two score lists over the same features say the same. Shares are from 0 to 1, of the k features
// with the largest |score|. Krishna et al., The disagreement problem in explainable machine learning, 2022.
type Agreement struct {
	Feature    float64 // share of the top k that are in both: explain.TopOverlap
	Rank       float64 // ... and have the same rank
	Sign       float64 // ... and have the same sign
	SignedRank float64 // ... and have the same rank and sign
	// Correlation is Spearman's correlation of |score|: NaN where one list is constant.
	Correlation float64
	// Pairwise is the share of all pairs of features that both lists put in the same order by |score| (or both leave
	// tied): NaN with a single feature.
	Pairwise float64
}

// Agree compares two score lists over the same features; k is lowered to the number of features. It fails where the
// lengths differ, there are no features, a score is not finite or k < 1.
func Agree(a, b []float64, k int) (Agreement, error) {
	if len(a) == 0 {
		return Agreement{}, errors.New("there are no scores to compare")
	}
	if err := errors.Join(checkFinite(a), checkFinite(b)); err != nil {
		return Agreement{}, err
	}
	feature, err := explain.TopOverlap(a, b, k)
	if err != nil {
		return Agreement{}, err
	}
	out := Agreement{Feature: feature}
	if out.Correlation, err = explain.Spearman(Sizes(a), Sizes(b)); err != nil {
		return Agreement{}, err
	}
	k = min(k, len(a))
	inA, inB := explain.Ranked(a)[:k], explain.Ranked(b)[:k]
	for rank, f := range inA {
		at := slices.Index(inB, f)
		if at < 0 {
			continue
		}
		sameSign := cmp.Compare(a[f], 0) == cmp.Compare(b[f], 0)
		if at == rank {
			out.Rank += 1 / float64(k)
		}
		if sameSign {
			out.Sign += 1 / float64(k)
		}
		if at == rank && sameSign {
			out.SignedRank += 1 / float64(k)
		}
	}
	out.Pairwise = pairwise(Sizes(a), Sizes(b))
	return out, nil
}

func pairwise(a, b []float64) float64 {
	same, pairs := 0, 0
	for i := range a {
		for j := range i {
			pairs++
			if cmp.Compare(a[i], a[j]) == cmp.Compare(b[i], b[j]) {
				same++
			}
		}
	}
	if pairs == 0 {
		return math.NaN()
	}
	return float64(same) / float64(pairs)
}

// Kendall returns Kendall's tau-b of two lists, from -1 to 1: pairs in the same order minus pairs in opposite order,
// over the geometric mean of the pairs that each list does not tie. It is NaN where a list is constant or has one
// entry. It fails where the lengths differ or a number is not finite. Kendall, The treatment of ties in ranking
// problems, 1945.
func Kendall(a, b []float64) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("%d scores against %d: only scores of the same features can be compared", len(a), len(b))
	}
	if err := errors.Join(checkFinite(a), checkFinite(b)); err != nil {
		return 0, err
	}
	return numerics.Kendall(a, b), nil
}
