package train_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// Train a small LSTM on a text that repeats itself, and keep the model.
func Example() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	docs := []corpus.Document{{Name: "abc", Text: strings.Repeat("abc", 100)}}
	chars, err := token.NewChar("abc")
	if err != nil {
		log.Fatal(err)
	}
	stream, err := corpus.Encode(chars, docs, corpus.Ends{})
	if err != nil {
		log.Fatal(err)
	}
	model := lm.Config{Arch: lm.LSTM, Vocab: chars.Size(), Width: 8, Hidden: 8, Layers: 1}
	m, err := lm.New(e, model, chars, 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	config := train.Config{Steps: 60, Rows: 4, Length: 5, LearningRate: 0.05, LogEvery: 20, EvalEvery: 20}
	data, err := train.Text(model, config, chars, stream, stream[:60])
	if err != nil {
		log.Fatal(err)
	}
	run, err := train.Start(m, data, config, "") // a folder here would keep the run
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	var last train.Event
	for event, err := range run.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("step", event.Step, "of", event.Steps)
		last = event
	}
	fmt.Println("it knows what comes next:", last.Valid.Perplexity < 1.5)
	// Output:
	// step 20 of 60
	// step 40 of 60
	// step 60 of 60
	// it knows what comes next: true
}
