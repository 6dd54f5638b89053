package faithful

import (
	"context"
	"errors"
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
)

// Bins are the shares of the features that ERASER takes away, or keeps.
var Bins = []float64{0.01, 0.05, 0.1, 0.2, 0.5}

// Erasure is what a game's value becomes without the top features, and with nothing but them, for growing shares of
// the features.
type Erasure struct {
	Shares  []float64 // of the features, 0 to 1
	Full    float64   // f(x): the value with all features
	Without []float64 // f(x \ r): without the top share, one a share
	Only    []float64 // f(r): with nothing but the top share, one a share
}

// Erase plays a game without, and with nothing but, the first features of an order. A share stands for that many of
// the features, rounded up. Shares nil: Bins. On a game of probabilities this is ERASER, but that absent features are
// what the game makes of them, rather than cut out; and that all means are over the shares, where the paper's formula
// has one share of 0 more (DeYoung et al., ERASER: a benchmark to evaluate rationalized NLP models, 2020). Cost: at
// most two coalitions a share, and one.
func Erase(ctx context.Context, g explain.Game, order []int, shares []float64) (*Erasure, error) {
	if err := checkOrder(g, order); err != nil {
		return nil, err
	}
	if shares == nil {
		shares = Bins
	}
	if err := checkShares(shares); err != nil {
		return nil, err
	}
	M := g.Features()
	of := []explain.Coalition{explain.All(M)}
	for _, s := range shares {
		top := order[:topCount(M, s)]
		of = append(of, explain.All(M).Without(top...), explain.Only(M, top...))
	}
	values, err := play(ctx, g, of)
	if err != nil {
		return nil, err
	}
	e := &Erasure{Shares: shares, Full: values[0]}
	for i := range shares {
		e.Without, e.Only = append(e.Without, values[1+2*i]), append(e.Only, values[2+2*i])
	}
	return e, nil
}

func checkShares(shares []float64) error {
	if len(shares) == 0 {
		return errors.New("there are no shares of features to erase")
	}
	for _, s := range shares {
		if !(s >= 0 && s <= 1) {
			return fmt.Errorf("a share of the features is %v; it must be between 0 and 1", s)
		}
	}
	return nil
}

// topCount returns a share of the features, rounded up; the share's own rounding does not count.
func topCount(features int, share float64) int {
	return min(features, int(math.Ceil(share*float64(features)-1e-9)))
}

// Comprehensiveness returns the mean over the shares of f(x) - f(x \ r), the area over the perturbation curve (AOPC):
// large when the top features are needed. DeYoung et al., 2020; AOPC: Samek et al., Evaluating the visualization of
// what a deep neural network has learned, 2017.
func (e *Erasure) Comprehensiveness() float64 {
	sum := 0.0
	for _, v := range e.Without {
		sum += e.Full - v
	}
	return sum / float64(len(e.Without))
}

// Sufficiency returns the mean over the shares of f(x) - f(r): small when the top features are enough. DeYoung et
// al., 2020.
func (e *Erasure) Sufficiency() float64 {
	sum := 0.0
	for _, v := range e.Only {
		sum += e.Full - v
	}
	return sum / float64(len(e.Only))
}

// LogOdds returns the mean over the shares of ln(f(x \ r) / f(x)), for a game of probabilities: very negative when
// the top features are needed. It fails where a value is not positive. Shrikumar et al., Learning important features
// through propagating activation differences, 2017.
func (e *Erasure) LogOdds() (float64, error) {
	sum := 0.0
	for _, v := range e.Without {
		if v <= 0 || e.Full <= 0 {
			return 0, fmt.Errorf("log-odds of the values %v and %v: they need a game of probabilities above 0", v, e.Full)
		}
		sum += math.Log(v / e.Full)
	}
	return sum / float64(len(e.Without)), nil
}
