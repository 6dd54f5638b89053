package attention_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/attention"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Ask what the last token of a text read of each token, through all layers: shares, which add up to 1.
func ExampleRollout() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lm.Open(e, "../../lm/testdata/reference/gpt2")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	q := explain.Question{IDs: []token.ID{4, 1, 12, 7}, FirstToken: explain.ScoreFirst}
	as, err := explain.Explain(ctx, m, q, attention.Rollout{})
	if err != nil {
		log.Fatal(err)
	}
	sum := 0.0
	for _, share := range as[0].Scores {
		sum += share
	}
	fmt.Printf("%d shares add up to %.2f\n", len(as[0].Scores), sum)

	all, err := explain.ExplainMatrix(ctx, m, q, attention.Rollout{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the first token read nothing that comes later:", all.Values[0])
	// Output:
	// 4 shares add up to 1.00
	// the first token read nothing that comes later: [1 0 0 0]
}

// Multiply patterns by hand. Half of what a token holds is its own, by the residual connection.
func ExampleProduct() {
	pattern := [][]float64{{1, 0}, {0.5, 0.5}} // the second token reads both alike
	layer := attention.Mixed(pattern)
	fmt.Println(attention.Product([][][]float64{layer, layer}))
	// Output: [[1 0] [0.4375 0.5625]]
}
