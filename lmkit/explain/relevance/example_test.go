package relevance_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/relevance"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Share out a prediction of an LSTM by the rules of relevance, in one pass forward and backward. A method refuses a
// model that its rules are not for.
func ExampleLRP() {
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

	q := explain.Question{IDs: []token.ID{4, 1, 12, 7}}
	as, err := explain.Explain(ctx, m, q, relevance.LRP{})
	if err != nil {
		log.Fatal(err)
	}
	a := as[0]
	fmt.Printf("%d scores, in %s, add up: %v\n", len(a.Scores), a.Unit, a.Evidence.Completeness.Holds)

	fmt.Println(explain.Suits(relevance.AttnLRP{}, m, q))
	// Output:
	// 4 scores, in logit, add up: true
	// attn-lrp is for a Transformer, and this model is an LSTM; use lrp, lrp-half or deeplift
}
