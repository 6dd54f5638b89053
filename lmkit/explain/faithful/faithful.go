// Package faithful measures whether an attribution tells the truth about the model.
//
// Most metrics see a game (the model's number for any set of present features) and scores or an order, and nothing
// else. An order says which features count as important, best first: Order(scores) takes those that speak most for
// the objective, Order(Sizes(scores)) those that matter most either way. A metric that takes sets is given the
// features that are absent in each: Subsets draws them.
package faithful

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Order returns the indices of scores from the largest to the smallest, of equal ones the earlier first.
func Order(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
	return order
}

// Sizes returns the absolute values of scores.
func Sizes(scores []float64) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = math.Abs(s)
	}
	return out
}

// Subsets returns different non-empty sets of features, 0 to features-1, each ascending: all sets with size members, or
// with size 0 all sets of any size, if there are no more than count; otherwise count of them, drawn uniformly without
// repetition from the seed.
func Subsets(features, size, count int, seed uint64) ([][]int, error) {
	switch {
	case features < 1:
		return nil, fmt.Errorf("sets of %d features: there must be at least 1", features)
	case size < 0 || size > features:
		return nil, fmt.Errorf("sets of %d of %d features: ask for 1 to %d, or 0 for any size", size, features, features)
	case count < 1:
		return nil, fmt.Errorf("%d sets of features: ask for at least 1", count)
	}
	if total := howMany(features, size); total <= float64(count) {
		return allSubsets(features, size), nil
	}
	var sets [][]int
	seen := map[string]bool{}
	rng := rand.New(rand.NewPCG(seed, uint64(size)))
	for len(sets) < count {
		set := draw(rng, features, size)
		key := fmt.Sprint(set)
		if len(set) > 0 && !seen[key] {
			seen[key] = true
			sets = append(sets, set)
		}
	}
	return sets, nil
}

// howMany returns the number of non-empty sets, as far as a float64 can tell.
func howMany(features, size int) float64 {
	if size == 0 {
		return math.Exp2(float64(features)) - 1
	}
	return numerics.Binomial(features, size)
}

func allSubsets(features, size int) [][]int {
	var sets [][]int
	if size == 0 {
		for mask := uint(1); mask < 1<<features; mask++ {
			set := make([]int, 0, bits.OnesCount(mask))
			for i := range features {
				if mask>>i&1 == 1 {
					set = append(set, i)
				}
			}
			sets = append(sets, set)
		}
		return sets
	}
	for set := range numerics.Combinations(features, size) {
		sets = append(sets, slices.Clone(set))
	}
	return sets
}

func draw(rng *rand.Rand, features, size int) []int {
	if size > 0 {
		set := rng.Perm(features)[:size]
		slices.Sort(set)
		return set
	}
	var set []int
	for i := range features {
		if rng.IntN(2) == 1 {
			set = append(set, i)
		}
	}
	return set
}

// play asks a game for its values, each coalition once.
func play(ctx context.Context, g explain.Game, of []explain.Coalition) ([]float64, error) {
	return explain.Remember(g).Values(ctx, of)
}

// checkOrder fails when an order does not hold each of the game's features once.
func checkOrder(g explain.Game, order []int) error {
	M := g.Features()
	if M < 1 {
		return fmt.Errorf("the game has %d features: there must be at least 1", M)
	}
	if len(order) != M {
		return fmt.Errorf("the order has %d features, the game %d", len(order), M)
	}
	return checkSet(M, order)
}

// checkSet fails when a set holds what is no feature, or a feature twice.
func checkSet(features int, set []int) error {
	in := make([]bool, features)
	for _, f := range set {
		switch {
		case f < 0 || f >= features:
			return fmt.Errorf("there is no feature %d; there are %d", f, features)
		case in[f]:
			return fmt.Errorf("feature %d is there twice", f)
		}
		in[f] = true
	}
	return nil
}

// checkScores fails when there is not one number for each of the game's features.
func checkScores(g explain.Game, scores []float64) error {
	if len(scores) != g.Features() || len(scores) == 0 {
		return fmt.Errorf("%d scores for a game of %d features: there must be one each, and at "+
			"least one", len(scores), g.Features())
	}
	return checkFinite(scores)
}

func checkFinite(scores []float64) error {
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("the score of feature %d is %v: scores must be finite", i, s)
		}
	}
	return nil
}
