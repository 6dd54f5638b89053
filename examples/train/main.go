// Command train trains a small LSTM on a built-in grammar, and explains a prediction of its own.
//
//	go run ./examples/train
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/train"
)

func main() {
	epochs := flag.Int("epochs", 3, "passes over the text")
	sentences := flag.Int("sentences", 4000, "sentences to learn from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	text, err := corpus.Grammar(1, *sentences)
	if err != nil {
		log.Fatal(err)
	}
	m, err := lmkit.Train(ctx, lmkit.Training{
		Corpus: text,
		Arch:   lm.LSTM,
		Train:  train.Config{Epochs: *epochs, LearningRate: 5e-3, Clip: 0.25, Schedule: train.StepLR},
		Events: func(e train.Event) {
			if e.Valid != nil {
				fmt.Printf("epoch %d: loss %.3f, on unseen sentences %.3f\n", e.Epoch, e.TrainLoss, e.Valid.Loss)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	why, err := lmkit.Explain(ctx, m, "The keys beside the cup", "integrated-gradients", "occlusion")
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range why {
		fmt.Println()
		if err := render.Text(os.Stdout, a, plot.Options{}); err != nil {
			log.Fatal(err)
		}
	}
}
