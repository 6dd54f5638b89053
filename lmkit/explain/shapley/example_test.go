package shapley_test

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/shapley"
)

// sentiment is any function of which words are present: no model is needed.
type sentiment []string

func (s sentiment) Features() int { return len(s) }

func (s sentiment) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for k, present := range of {
		sign := 1.0
		for i, word := range s {
			switch {
			case present[i] && word == "not":
				sign = -1
			case present[i] && word == "good":
				out[k] = 2 * sign
			}
		}
	}
	return out, nil
}

func ExampleAuto() {
	game := sentiment{"the", "food", "is", "not", "good"}
	e, how, err := shapley.Auto{}.Play(context.Background(), game, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(how.Chosen, "because", how.Why)
	for i, word := range game {
		fmt.Printf("%-5s %+.0f\n", word, e.Scores[i])
	}
	// Output:
	// shapley-exact because all 32 coalitions of 5 features fit the budget
	// the   +0
	// food  +0
	// is    +0
	// not   -2
	// good  +0
}
