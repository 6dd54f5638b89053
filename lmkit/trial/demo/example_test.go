package demo_test

import (
	"context"
	"log"
	"os"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/trial/demo"
)

// Train the two models, show their explanations in 80 columns, and write report.html. Real, the file of a larger model,
// would be explained last.
func ExampleRun() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := demo.Run(ctx, demo.Options{Engine: e, Out: os.Stdout, Width: 80}); err != nil {
		log.Fatal(err)
	}
}
