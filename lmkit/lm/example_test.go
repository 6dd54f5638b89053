package lm_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Open a model directory, and switch off a head of attention: the second row of the query differs from the first by
// that alone.
func Example() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lm.Open(e, "testdata/reference/gpt2")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	row := []token.ID{4, 1, 12, 7}
	answer, err := m.Run(ctx, lm.Query{
		Rows:  [][]token.ID{row, row},
		Edits: []lm.Edit{{Tap: "block.1.attn.z", Rows: []int{1}, Heads: []int{0}, With: lm.Zero()}},
		Taps:  []lm.Tap{"block.1.attn.pattern"},
		Of:    []lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows, heads, tokens, tokens:", answer.At["block.1.attn.pattern"].Dims)
	fmt.Println("the head matters:", answer.Values[0] != answer.Values[1])
	// Output:
	// rows, heads, tokens, tokens: [2 2 4 4]
	// the head matters: true
}

// Make a model anew. Without a tokenizer it works on the IDs of tokens.
func ExampleNew() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	m, err := lm.New(e, lm.Config{Arch: lm.LSTM, Vocab: 5, Width: 4, Hidden: 3, Layers: 1}, nil, 1)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	next, err := m.LogProbs(ctx, [][]token.ID{{0, 3}, {2, 2, 4}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("parameters:", m.Params())
	fmt.Println("tokens, vocabulary:", next[0].Dims, next[1].Dims)
	// Output:
	// parameters: 148
	// tokens, vocabulary: [2 5] [3 5]
}
