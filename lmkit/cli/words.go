package cli

import (
	"fmt"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// shape says how large a model is in a few words.
func shape(c lm.Config) string {
	layers := fmt.Sprintf("%d layers", c.Layers)
	if c.Layers == 1 {
		layers = "1 layer"
	}
	if c.Recurrent() {
		return fmt.Sprintf("%s of %d, embedding of %d", layers, c.Hidden, c.Width)
	}
	return fmt.Sprintf("%s of %d, %d heads, context of %d", layers, c.Width, c.Heads, c.Context)
}

// tokenizerName is what the command line calls a tokenizer, and its size.
func tokenizerName(tok token.Tokenizer) string {
	kind := "other"
	switch tok.(type) {
	case nil:
		return "none"
	case *token.Char:
		kind = "char"
	case *token.Word:
		kind = "word"
	case *token.BPE:
		kind = "bpe"
	}
	return fmt.Sprintf("%s:%d", kind, tok.Size())
}

func tokens(n int) string {
	if n == 1 {
		return "1 token"
	}
	return thousands(n) + " tokens"
}

// thousands writes a number with a comma after every three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}

func paramCount(c lm.Config) int {
	sum := 0
	for _, p := range c.Params() {
		n := 1
		for _, d := range p.Dims {
			n *= d
		}
		sum += n
	}
	return sum
}
