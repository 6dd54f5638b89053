package token

import (
	"strings"
	"unicode"
)

// Words cuts text into words: each is a run of characters that are not white space, with the white space before it.
// White space at the end belongs to the last word. The spans tile the text; a text of white space alone is one word.
func Words(text string) []Span {
	var words []Span
	start, inWord := 0, false
	for i, r := range text {
		space := unicode.IsSpace(r)
		if space && inWord {
			words = append(words, Span{start, i})
			start = i
		}
		inWord = !space
	}
	switch {
	case inWord || len(words) == 0 && text != "":
		words = append(words, Span{start, len(text)})
	case len(words) > 0:
		words[len(words)-1].End = len(text)
	}
	return words
}

// Sentences cuts text into sentences of whole Words. A sentence ends with a word that ends in . ! or ? (closing
// quotes and brackets may follow), and before a line break. The spans tile the text.
func Sentences(text string) []Span {
	var sentences []Span
	ended := true
	for _, w := range Words(text) {
		piece := text[w.Start:w.End]
		word := strings.TrimSpace(piece)
		before, _, _ := strings.Cut(piece, word)
		if ended || strings.ContainsAny(before, "\n\r") {
			sentences = append(sentences, w)
		}
		sentences[len(sentences)-1].End = w.End
		word = strings.TrimRight(word, "\"')]}”’»")
		ended = strings.HasSuffix(word, ".") || strings.HasSuffix(word, "!") || strings.HasSuffix(word, "?")
	}
	return sentences
}
