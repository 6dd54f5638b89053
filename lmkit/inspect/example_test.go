package inspect_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Ask what each layer would predict after a text, and whether the numbers are what they are said to be.
func ExampleLens() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lm.Open(e, "../lm/testdata/reference/gpt2")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	found, err := explain.Inside(ctx, m, explain.Question{IDs: []token.ID{4, 1, 12, 7}}, inspect.Lens{})
	if err != nil {
		log.Fatal(err)
	}
	for i, row := range found.Rows {
		fmt.Println(row, "predicts", found.Words[i][3])
	}
	fmt.Println("what must be so and is not:", found.Evidence.Broken())
	// Output:
	// block.0.resid.pre predicts #7
	// block.0.resid.post predicts #4
	// block.1.resid.post predicts #9
	// what must be so and is not: []
}
