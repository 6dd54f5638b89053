package token_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"strings"

	"lmkit.internal/lmkit/token"
)

func ExampleNewChar() {
	chars, err := token.NewChar("hello world")
	if err != nil {
		log.Fatal(err)
	}
	e, err := chars.Encode("hold")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(chars.Size(), e.IDs)
	_, err = chars.Encode("help")
	what, cure, _ := strings.Cut(err.Error(), ": remove")
	fmt.Printf("%s:\nremove%s\n", what, cure)
	// Output:
	// 8 [3 5 4 1]
	// encode: character 'p' (U+0070) at byte 3 is not among the 8 of the vocabulary:
	// remove it, or train with a text that has it, or with an unknown token
}

func ExampleNewWord() {
	texts := slices.Values([]string{"The cat sat.", "The dog sat, too."})
	words, err := token.NewWord(texts, token.WordConfig{MinCount: 2})
	if err != nil {
		log.Fatal(err)
	}
	e, err := words.Encode("The \"zebra\" sat.")
	if err != nil {
		log.Fatal(err)
	}
	for i, id := range e.IDs {
		fmt.Printf("%d %s %q\n", id, words.Token(id), e.Piece(i))
	}
	// Output:
	// 3 the "The"
	// 0 <unk> " \"zebra"
	// 2 sat "\" sat"
	// 1 . "."
}

func ExampleTrainBPE() {
	texts := slices.Values([]string{"low lower lowest", "new newer newest"})
	bpe, err := token.TrainBPE(context.Background(), texts, 270, "<|endoftext|>")
	if err != nil {
		log.Fatal(err)
	}
	e, err := bpe.EncodeWith(" lowest 灯<|endoftext|>", token.Options{Special: true})
	if err != nil {
		log.Fatal(err)
	}
	for i, id := range e.IDs {
		fmt.Printf("%q %q\n", bpe.Token(id), e.Piece(i))
	}
	back, err := bpe.Decode(e.IDs)
	fmt.Printf("%q %v\n", back, err)
	// Output:
	// " lo" " lo"
	// "west" "west"
	// " " " "
	// "\\xE7" "灯"
	// "\\x81" ""
	// "\\xAF" ""
	// "<|endoftext|>" "<|endoftext|>"
	// " lowest 灯<|endoftext|>" <nil>
}

func ExampleMarshal() {
	chars, err := token.NewChar("abc")
	if err != nil {
		log.Fatal(err)
	}
	file, err := token.Marshal(chars)
	if err != nil {
		log.Fatal(err)
	}
	back, err := token.Unmarshal(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(back.Size(), back.Token(2))
	// Output: 3 c
}

func ExampleSentences() {
	text := "It rained. He didn't mind!"
	for _, s := range token.Sentences(text) {
		fmt.Printf("%q\n", text[s.Start:s.End])
	}
	// Output:
	// "It rained."
	// " He didn't mind!"
}
