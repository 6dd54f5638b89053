package board_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/trial/board"
)

// Rank two methods on one task. Three steps of training teach a model nothing, and the board says so: on none of its
// texts is the cause verified. The zero Config trains until the models know their tasks.
func ExampleRun() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	result, err := board.Run(ctx, e, board.Config{
		Tasks:   []string{"marker"},
		Archs:   []string{lm.LSTM},
		Methods: []string{"occlusion", "lrp"},
		Items:   3, Size: 5, Width: 8, Steps: 3, Seed: 1,
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range result.Models {
		fmt.Printf("%s on %s: %.0f %% of the texts verified\n", m.Arch, m.Task, 100*m.Table.Verified.Mean)
	}
	// Output: lstm on marker: 0 % of the texts verified
}
