package token

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// gpt2Pattern is how GPT-2 cuts a text into the pieces that it merges within. \s is Unicode's White_Space, which is
// unicode.IsSpace.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// gpt2Piece returns the length of the first piece of a text, which is not empty, by gpt2Pattern.
func gpt2Piece(text string) int {
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
	return spacePiece(text)
}

// spacePiece returns the length of the first piece of a text that starts with white space: \s+(?!\S)|\s+
func spacePiece(text string) int {
	end := run(text, space)
	_, last := utf8.DecodeLastRuneInString(text[:end])
	if end == len(text) || end == last {
		return end
	}
	return end - last // the last one goes with what follows
}

// The patterns of other families: of Llama 3, GPT-4 and OLMo 2; of Qwen 2, which takes digits one by one; and of
// Mistral's Tekken and GPT-4o, which cut before a capital letter.
const (
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|` + lineEnd
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|` + lineEnd
	lineEnd       = ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	tekkenPattern = capitals + `|` + lowers + `|\p{N}|` + casedEnd
	gpt4oPattern  = capitals + anyCase + `|` + lowers + anyCase + `|\p{N}{1,3}|` + casedEnd
	capitals      = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	lowers        = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	anyCase       = `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`
	casedEnd      = ` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// linePattern returns whether a pattern is that of Llama 3 or of Qwen 2, and how many digits it takes at once.
// Spellings with possessive quantifiers, or with [\r\n] for [\r\n]+, find the same pieces: what such a quantifier
// does not give back could not match otherwise, and \s* has taken all line breaks but one before [\r\n]+ looks for
// them.
func linePattern(pattern string) (digits int, known bool) {
	for from, to := range map[string]string{`]?+\p{L}`: `]?\p{L}`, `]++[`: `]+[`, `\s*[\r\n]|`: `\s*[\r\n]+|`} {
		pattern = strings.Replace(pattern, from, to, 1)
	}
	switch pattern {
	case llama3Pattern:
		return 3, true
	case qwen2Pattern:
		return 1, true
	}
	return 0, false
}

// linePiece returns the length of the first piece of a text, which is not empty, by the pattern of Llama 3 or Qwen 2.
func linePiece(text string, digits int) int {
	if n := anyCaseContraction(text); n > 0 {
		return n
	}
	r, n := utf8.DecodeRuneInString(text)
	kind := kindOf(r)
	if kind == letter {
		return n + run(text[n:], letter)
	}
	if kind == number {
		for taken := 1; taken < digits; taken++ {
			r, m := utf8.DecodeRuneInString(text[n:])
			if m == 0 || kindOf(r) != number {
				break
			}
			n += m
		}
		return n
	}
	next, m := utf8.DecodeRuneInString(text[n:])
	if r != '\r' && r != '\n' && m > 0 && kindOf(next) == letter {
		return n + m + run(text[n+m:], letter)
	}
	if r == ' ' && m > 0 && kindOf(next) == other {
		n += m
		kind = other
	}
	if kind == other {
		n += run(text[n:], other)
		for n < len(text) && (text[n] == '\r' || text[n] == '\n') {
			n++
		}
		return n
	}
	for i := run(text, space) - 1; i >= 0; i-- {
		if text[i] == '\r' || text[i] == '\n' {
			return i + 1
		}
	}
	return spacePiece(text)
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

// anyCaseContraction is contraction whatever the case of the letters; the long s is an s, too.
func anyCaseContraction(text string) int {
	if text[0] != '\'' {
		return 0
	}
	if n := len("'ſ"); len(text) >= n && text[:n] == "'ſ" {
		return n
	}
	low := []byte(text[:min(len(text), 3)])
	for i, c := range low {
		if 'A' <= c && c <= 'Z' {
			low[i] = c + 'a' - 'A'
		}
	}
	return contraction(string(low))
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
