package backend_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
)

// Open the engine that runs on every machine, and refuse a name that is none. With the zero Options it would be the
// engine that the environment names, or else the fastest one that works.
func ExampleOpen() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.Kind, "runs loops:", e.Loops())

	_, err = backend.Open(ctx, backend.Options{Name: "abacus"})
	fmt.Println(err)
	// Output:
	// go runs loops: false
	// unknown engine "abacus": choose auto, xla:cpu, xla:cuda or go
}

// Look at what the machine has for an engine, without installing anything.
func ExampleCheck() {
	report := backend.Check(context.Background(), backend.Options{Name: backend.Go})
	fmt.Println(report.Engine, report.OK())
	// Output: go true
}
