package corpus_test

import (
	"fmt"
	"log"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/token"
)

// Turn a text into tokens, and the tokens into batches: each target is the token that follows its input.
func Example() {
	docs := []corpus.Document{{Name: "greeting", Text: "hello world"}}
	chars, err := token.NewChar(docs[0].Text)
	if err != nil {
		log.Fatal(err)
	}
	stream, err := corpus.Encode(chars, docs, corpus.Ends{})
	if err != nil {
		log.Fatal(err)
	}
	batches, err := corpus.Sweep(stream, 2, 3) // 2 rows of 3 tokens
	if err != nil {
		log.Fatal(err)
	}
	for i := range batches.Len() {
		b, err := batches.At(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(b.Inputs, "->", b.Targets)
	}
	// Output:
	// [3 2 4 4 5 0] -> [2 4 4 5 0 7]
	// [7 5 6 4 0 0] -> [5 6 4 1 -1 -1]
}

// Hold out a part of a text: the cut is made at a byte, whatever the documents are.
func ExampleCut() {
	docs := []corpus.Document{{Name: "digits", Text: "0123456789"}}
	c, err := corpus.Cut("digits", docs, corpus.Split{Valid: 0.2, Test: 0.1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Train[0].Text, c.Valid[0].Text, c.Test[0].Text)
	// Output: 0123456 78 9
}
