package token

import (
	"iter"
	"unicode"
	"unicode/utf8"
)

// pretokens yields the pieces of text that byte-level BPE merges within, by GPT-2's pattern
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// where \s is Unicode's White_Space, which is unicode.IsSpace.
func pretokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for text != "" {
			n := pretoken(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// pretoken returns the length of the first pre-token of a text that is not empty.
func pretoken(text string) int {
	if n := contraction(text); n > 0 {
		return n
	}
	start := 0
	if text[0] == ' ' && len(text) > 1 {
		start = 1
	}
	r, n := utf8.DecodeRuneInString(text[start:])
	if kind := kindOf(r); kind != space {
		return start + n + run(text[start+n:], kind)
	}
	end := run(text, space)
	_, last := utf8.DecodeLastRuneInString(text[:end])
	if end == len(text) || end == last {
		return end
	}
	return end - last // the last one goes with what follows: \s+(?!\S)
}

// contraction returns the length of the English contraction that text starts with, or 0.
func contraction(text string) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	switch text[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(text) >= 3 {
		switch text[1:3] {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}

type kind int

const (
	space kind = iota
	letter
	number
	other
)

func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// run returns how many bytes at the start of text are characters of one kind.
func run(text string, of kind) int {
	for i, r := range text {
		if kindOf(r) != of {
			return i
		}
	}
	return len(text)
}
