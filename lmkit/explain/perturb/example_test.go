package perturb_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Replace one token after another by the baseline, and see what the prediction loses.
func ExampleOcclusion() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lm.Open(e, "../../lm/testdata/reference/lstm")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	q := explain.Question{IDs: []token.ID{4, 1, 12, 7}, Baseline: "#7"} // token 7 stands for an absent one
	as, err := explain.Explain(ctx, m, q, perturb.Occlusion{})
	if err != nil {
		log.Fatal(err)
	}
	for i, score := range as[0].Scores {
		fmt.Printf("without %s it changes: %v\n", as[0].Features[i].Text, math.Abs(score) > 1e-4)
	}
	// Output:
	// without #4 it changes: true
	// without #1 it changes: true
	// without #12 it changes: true
	// without #7 it changes: false
}

// Explain any number that depends on which features are present. No model of this module is needed.
func ExampleOcclusion_Play() {
	kind := explain.Func(func(_ context.Context, texts []string) ([]float64, error) {
		out := make([]float64, len(texts))
		for i, text := range texts {
			out[i] = float64(strings.Count(text, "good"))
		}
		return out, nil
	})
	game, words, err := kind.Game("good food, good wine", "...")
	if err != nil {
		log.Fatal(err)
	}
	scores, asked, err := perturb.Occlusion{}.Play(context.Background(), game)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q %v, asked for %d values\n", words, scores, asked)
	// Output: ["good" "food," "good" "wine"] [1 0 1 0], asked for 5 values
}
