package lmkit_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// Train a small Transformer on texts in which one word decides the answer, and ask why it answers as it does.
func Example() {
	ctx := context.Background()
	task, err := plant.New(plant.Config{Task: "marker", Unknown: 0.1})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lmkit.Train(ctx, lmkit.Training{
		Corpus: task.Corpus(1, 2000),
		Model:  lm.Config{Width: 64, Context: 24},
		Train:  train.Config{Steps: 800, Rows: 32, LearningRate: 1e-3, Clip: 1, Schedule: train.Cosine, Warmup: 20},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	why, err := lmkit.Explain(ctx, m, "button engine pocket ruby ladder carpet bridge pocket cloud forest bridge table =>")
	if err != nil {
		log.Fatal(err)
	}
	a := why[0]
	fmt.Printf("why %q rather than %q: because of %q\n", a.Target.Text, a.Foil.Text,
		a.Features[a.Top()[0]].Text)
	fmt.Println("the scores add up:", a.Evidence.Completeness.Holds)
	fmt.Println("deleting the top tokens moves it more than deleting others:",
		a.Evidence.Necessity.Drop > *a.Evidence.Necessity.Random)
	// Output:
	// why "yes" rather than "no": because of "ruby"
	// the scores add up: true
	// deleting the top tokens moves it more than deleting others: true
}

// Open a model directory, here one that PyTorch trained, and explain a prediction from token IDs.
func ExampleOpen() {
	m, err := lmkit.Open("lm/testdata/reference/lstm")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	method, err := lmkit.Method("integrated-gradients", lmkit.Settings{})
	if err != nil {
		log.Fatal(err)
	}
	question := explain.Question{IDs: []token.ID{4, 1, 12, 7, 9}, Baseline: "mean"}
	as, err := explain.Explain(context.Background(), m, question, method)
	if err != nil {
		log.Fatal(err)
	}
	a, sum := as[0], 0.0
	for _, s := range a.Scores {
		sum += s
	}
	fmt.Printf("value - base = %.2f, the scores add up to %.2f\n", a.Value-a.Base, sum)
	// Output:
	// value - base = -0.06, the scores add up to -0.06
}

// Record the attention of a Transformer, and see what changes when a head is switched off.
func ExampleOpen_inside() {
	m, err := lmkit.Open("lm/testdata/reference/gpt2")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	ctx, row := context.Background(), []token.ID{4, 1, 12, 7}
	at, err := m.Trace(ctx, [][]token.ID{row}, []lm.Tap{"block.1.attn.pattern"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows, heads, tokens, tokens:", at["block.1.attn.pattern"].Dims)

	both, err := m.Run(ctx, lm.Query{
		Rows:  [][]token.ID{row, row},
		Edits: []lm.Edit{{Tap: "block.1.attn.z", Rows: []int{1}, Heads: []int{0}, With: lm.Zero()}},
		Of:    []lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("log-probability of token #3: %.2f, without head 0 of layer 1: %.2f\n", both.Values[0], both.Values[1])
	// Output:
	// rows, heads, tokens, tokens: [1 2 4 4]
	// log-probability of token #3: -2.97, without head 0 of layer 1: -2.56
}
