package gradient_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Share out a prediction among the tokens. The scores of integrated gradients add up to what the input has over the
// baseline; the result says whether they did.
func ExampleIntegrated() {
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

	q := explain.Question{IDs: []token.ID{4, 1, 12, 7, 9}, Baseline: "mean"}
	as, err := explain.Explain(ctx, m, q, gradient.Integrated{})
	if err != nil {
		log.Fatal(err)
	}
	a := as[0]
	fmt.Printf("why %s rather than %s: %d scores, in %s\n", a.Target.Text, a.Foil.Text, len(a.Scores), a.Unit)
	fmt.Printf("they add up to %s: %v\n", a.Promise.Of, a.Evidence.Completeness.Holds)
	// Output:
	// why #10 rather than #6: 5 scores, in logit
	// they add up to value - base: true
}
