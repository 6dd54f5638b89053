package trial_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/trial"
)

// Train a model on texts in which one of two words decides the label. With the zero Steps it would go on until the
// model knows the task; here it is stopped long before.
func ExampleTrain() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	task, err := plant.New(plant.Config{Task: "marker", Size: 5})
	if err != nil {
		log.Fatal(err)
	}
	t, err := trial.Train(ctx, e, task, trial.Config{Arch: lm.LSTM, Width: 8, Items: 64, Steps: 3, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Model.Close()
	fmt.Println(t.Model.Config().Arch, "after", t.Steps, "steps")
	fmt.Println("it reads", task.Item(1, plant.Test, 0).Text)
	// Output:
	// lstm after 3 steps
	// it reads engine ruby button ladder carpet =>
}
