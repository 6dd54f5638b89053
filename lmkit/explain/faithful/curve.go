package faithful

import (
	"context"

	"lmkit.internal/lmkit/explain"
)

// Curve is a game's values while features vanish or appear one by one: M+1 values for M features.
type Curve []float64

// Deletion takes the features of an order away one by one, the first one first. A good order makes the curve fall at
// once: its area is small. Petsiuk et al., RISE: randomized input sampling for explanation of black-box models, 2018.
// Cost: M+1 coalitions.
func Deletion(ctx context.Context, g explain.Game, order []int) (Curve, error) {
	return curve(ctx, g, order, func(first []int) explain.Coalition { return explain.All(len(order)).Without(first...) })
}

// Insertion puts the features of an order back one by one, the first one first, from none to all. A good order makes
// the curve rise at once: its area is large. Petsiuk et al., 2018. Cost: M+1 coalitions.
func Insertion(ctx context.Context, g explain.Game, order []int) (Curve, error) {
	return curve(ctx, g, order, func(first []int) explain.Coalition { return explain.Only(len(order), first...) })
}

func curve(ctx context.Context, g explain.Game, order []int, with func(first []int) explain.Coalition) (Curve, error) {
	if err := checkOrder(g, order); err != nil {
		return nil, err
	}
	var of []explain.Coalition
	for k := range len(order) + 1 {
		of = append(of, with(order[:k]))
	}
	return play(ctx, g, of)
}

// Area returns the area under the curve over the share of features, 0 to 1, by the trapezoid rule: the mean height,
// in the game's unit. It is 0 for a curve without a step.
func (c Curve) Area() float64 {
	sum := 0.0
	for i := 1; i < len(c); i++ {
		sum += (c[i-1] + c[i]) / 2 / float64(len(c)-1)
	}
	return sum
}
