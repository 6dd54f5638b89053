package generate_test

import (
	"context"
	"fmt"
	"log"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Continue a text token by token. The same seed gives the same text.
func ExampleStream() {
	ctx := context.Background()
	e, err := backend.Open(ctx, backend.Options{Name: backend.Go})
	if err != nil {
		log.Fatal(err)
	}
	chars, err := token.NewChar("hello world")
	if err != nil {
		log.Fatal(err)
	}
	c := lm.Config{Arch: lm.LSTM, Vocab: chars.Size(), Width: 8, Hidden: 8, Layers: 1}
	m, err := lm.New(e, c, chars, 1) // fresh weights: use lm.Open for a model that has learnt
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	how, text := generate.Config{Tokens: 5, Temperature: 0.8, Seed: 7}, ""
	for t, err := range generate.Stream(ctx, m, "hello", how) {
		if err != nil {
			log.Fatal(err)
		}
		text += t.Text
	}
	again, err := generate.Text(ctx, m, "hello", how)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(text), "characters, the same again:", text == again)
	// Output: 5 characters, the same again: true
}
