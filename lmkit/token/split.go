package token

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Words cuts text into words: each is a run of characters that are not white space, with the white space before it.
// White space at the end belongs to the last word. Scripts that write no space between words (Chinese, Japanese) are
// cut where Unicode's rules see a word boundary (UAX 29), which is between most characters; marks stay with the word
// before them, opening ones with the word after. Of scripts whose words only a dictionary tells apart it returns what
// is written as one: see [Undivided]. The spans tile the text; a text of white space alone is one word.
func Words(text string) []Span {
	var words []Span
	bounds := boundaries{text: text}
	bounds.unspaced = strings.ContainsFunc(text, func(r rune) bool { return unspaced(r) || ownMark(r) || r == tsheg })
	start, inWord := 0, false
	for i, r := range text {
		space := unicode.IsSpace(r)
		if inWord && (space || bounds.at(i) && apart(text[start:i], text[i:])) {
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

// Sentences cuts text into sentences of whole Words. A sentence ends with a word that ends in . ! ? … or a mark of
// another script that ends one (。 । ؟ and so on; closing quotes and brackets may follow), and before a line break.
// The spans tile the text.
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
		last, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(word, quotesOrCloses))
		ended = endsSentence(last)
	}
	return sentences
}

// boundaries finds Unicode's word boundaries, which are asked for from left to right.
type boundaries struct {
	text     string
	unspaced bool // there is something to be found
	done     int
	state    int
}

// at reports whether there is a boundary at i.
func (b *boundaries) at(i int) bool {
	if !b.unspaced {
		return false
	}
	if b.done == 0 {
		b.state = -1
	}
	for b.done < i {
		var word string
		word, _, b.state = uniseg.FirstWordInString(b.text[b.done:], b.state)
		b.done += len(word)
	}
	return b.done == i
}

// apart reports whether a word ends between two texts that no white space is between: one of the letters at both
// sides is of a script without spaces, or what is before ends a sentence in a script whose marks stand in no word.
func apart(before, after string) bool {
	next, _ := utf8.DecodeRuneInString(after)
	last, _ := utf8.DecodeLastRuneInString(before)
	if !isWordRune(next) && !opens(next) || opens(last) || unicode.IsMark(next) || written(last, after) {
		return false
	}
	if end, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(before, closes)); ownMark(end) || end == tsheg {
		return true
	}
	left, right := strings.LastIndexFunc(before, isWordRune), strings.IndexFunc(after, isWordRune)
	if left < 0 || right < 0 {
		return false
	}
	l, _ := utf8.DecodeRuneInString(before[left:])
	r, _ := utf8.DecodeRuneInString(after[right:])
	return unspaced(l) || unspaced(r)
}

// unspaced reports whether a character is of a script that writes no space between words.
func unspaced(r rune) bool {
	return r >= 0x2E80 && (unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || r == 'ー' || r == '々') ||
		r >= 0x0E00 && undivided(r) != ""
}

func opens(r rune) bool  { return unicode.In(r, unicode.Ps, unicode.Pi) }
func closes(r rune) bool { return r == '"' || r == '\'' || unicode.In(r, unicode.Pe, unicode.Pf) }

// quotesOrCloses also knows marks that open a quotation in one language and close it in another: at the end of a word
// they close it.
func quotesOrCloses(r rune) bool { return closes(r) || unicode.Is(unicode.Pi, r) }

// endsSentence reports whether a mark ends a sentence.
func endsSentence(r rune) bool { return r == '…' || ownMark(r) || unicode.Is(unicode.STerm, r) }

// ownMark reports whether a mark ends a sentence, and is not one of those that stand within words, too, as in 3.14.
func ownMark(r rune) bool {
	return r >= utf8.RuneSelf && (unicode.Is(unicode.STerm, r) || strings.ContainsRune(moreMarks, r))
}

// moreMarks end sentences, and are not among Unicode's marks that do, or only in versions that Go does not have yet:
// those of Greek, Hebrew, Tibetan and Khmer.
const moreMarks = "\u037E\u05C3\u0F0D\u0F0E\u17D4\u17D5"
