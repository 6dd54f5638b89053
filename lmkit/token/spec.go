package token

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// The kinds of tokenizers that can be learned from a text.
const (
	KindWord = "word"
	KindChar = "char"
	KindBPE  = "bpe"
)

// BPETokens is the size of a vocabulary of byte pairs that is asked for without one.
const BPETokens = 4096

// Spec says which tokenizer to learn from a text. The zero value is every word of it.
type Spec struct {
	Kind  string     // KindWord (default), KindChar or KindBPE
	Size  int        // of KindBPE: tokens of the vocabulary; 0: BPETokens
	Words WordConfig // of KindWord
	// End asks for a token that ends a text: the word <eos>, <|endoftext|> beside byte pairs, or the line break among
	// characters. [End] returns it.
	End bool
}

// wordEnd ends a text of words, as in PyTorch's word language model.
const wordEnd = "<eos>"

// ParseSpec reads a tokenizer's short name: word, char, bpe or bpe:SIZE. The empty text is word.
func ParseSpec(text string) (Spec, error) {
	kind, size, sized := strings.Cut(text, ":")
	s := Spec{Kind: kind}
	switch {
	case kind == "":
		s.Kind = KindWord
	case kind == KindBPE && sized:
		n, err := strconv.Atoi(size)
		if err != nil {
			return s, fmt.Errorf("the tokenizer %q has no size: write bpe:%d for a vocabulary of so many tokens", text,
				BPETokens)
		}
		s.Size = n
		if n == 0 {
			s.Size = -1 // 0 would be the default
		}
	}
	if sized && kind != KindBPE {
		return s, fmt.Errorf("there is no tokenizer %q; there are char, word and bpe[:SIZE]", text)
	}
	return s, s.Validate()
}

// Validate returns an error if there is no such tokenizer.
func (s Spec) Validate() error {
	const most = 1 << 20
	switch s.Kind {
	case "", KindWord, KindChar, KindBPE:
	default:
		return fmt.Errorf("there is no tokenizer %q; there are char, word and bpe[:SIZE]", s.Kind)
	}
	if s.Kind != "" && s.Kind != KindWord && s.Words != (WordConfig{}) {
		return fmt.Errorf("a least count and a largest vocabulary belong to the tokenizer word, not to %s", s.Kind)
	}
	if s.Kind == KindBPE && s.Size != 0 && (s.Size < 256 || s.Size > most) {
		return fmt.Errorf("a bpe vocabulary of %d tokens: give a number from 256 to %d", s.Size, most)
	}
	return s.Words.Validate()
}

// Learn makes the tokenizer. Words and byte pairs come from the text to train on; characters come from all of the text,
// since one that is missing could not be read at all.
func (s Spec) Learn(ctx context.Context, train, all iter.Seq[string]) (Tokenizer, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	switch s.Kind {
	case KindChar:
		text := distinct(all)
		if s.End && !strings.Contains(text, "\n") {
			text += "\n"
		}
		return NewChar(text)
	case KindBPE:
		size := s.Size
		if size == 0 {
			size = BPETokens
		}
		if s.End {
			return TrainBPE(ctx, train, size, endTexts[0])
		}
		return TrainBPE(ctx, train, size)
	}
	if s.End {
		texts := train
		train = func(yield func(string) bool) {
			for text := range texts { // once in each, so that it is never too rare
				if !yield(text + " " + wordEnd) {
					return
				}
			}
		}
	}
	return NewWord(train, s.Words)
}

// distinct returns each character of the texts once.
func distinct(texts iter.Seq[string]) string {
	seen := map[rune]bool{}
	var b strings.Builder
	for text := range texts {
		for _, r := range text {
			if !seen[r] {
				seen[r] = true
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
