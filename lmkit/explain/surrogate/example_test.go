package surrogate_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/surrogate"
)

// likes returns a classifier in plain Go: 1 for a text that it likes, and else 0.
func likes(_ context.Context, texts []string) ([]float64, error) {
	out := make([]float64, len(texts))
	for i, text := range texts {
		if strings.Contains(text, "good") && !strings.Contains(text, "not") {
			out[i] = 1
		}
	}
	return out, nil
}

// Imitate a function of texts near one text, by a linear model.
func ExampleLIME() {
	game, words, err := explain.Func(likes).Game("the food was good", "...")
	if err != nil {
		log.Fatal(err)
	}
	near, err := surrogate.LIME{}.Play(context.Background(), game, 1)
	if err != nil {
		log.Fatal(err)
	}
	top := explain.Ranked(near.Scores)[0]
	fmt.Printf("of %d coalitions: %q counts most\n", near.Asked, words[top])
	// Output: of 16 coalitions: "good" counts most
}

// Imitate it by a decision tree, which shows what counts only together.
func ExampleLocalTree() {
	game, words, err := explain.Func(likes).Game("not good", "...")
	if err != nil {
		log.Fatal(err)
	}
	fit, err := surrogate.LocalTree{}.Play(context.Background(), game, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(fit.Tree(words, "likes").Rules())
	fmt.Printf("explains %.0f%% of the variance\n", 100*fit.R2)
	// Output:
	// if not: likes 0  (50.0 %)
	// otherwise:
	//   if good: likes 1  (49.9 %)
	//   otherwise: likes 0  (0.1 %)
	// explains 100% of the variance
}
