package lmkit_test

import (
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/train"
)

// A character that only a held-out part has is in the vocabulary: the part could not be read without it.
func TestTrainReadsAllParts(t *testing.T) {
	c := &corpus.Corpus{Train: []corpus.Document{{Text: "the cat sat on the mat"}},
		Valid: []corpus.Document{{Text: "a dog is quick"}},
		Test:  []corpus.Document{{Text: "jazz!"}}}
	m, err := lmkit.Train(t.Context(), lmkit.Training{Corpus: c, Tokenizer: "char", Model: lm.Config{Width: 8, Layers: 1,
		Heads: 2, Context: 4},
		Train: train.Config{Steps: 1, Rows: 2}, Engine: backendtest.Either(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, part := range [][]corpus.Document{c.Train, c.Valid, c.Test} {
		if _, err := m.Tokenizer().Encode(part[0].Text); err != nil {
			t.Error(err)
		}
	}
}

// A model knows of itself whether training showed it the unknown token: in the text, or in place of hidden words.
func TestTrainSaysWhetherItMetTheUnknownToken(t *testing.T) {
	for _, x := range []struct {
		text string
		hide float64
		met  bool
	}{{"a b c d e f a b c d e f", 0, false}, {"a b c <unk> e f a b <unk> d e f", 0, true}, {"a b c d e f a b c d e f",
		0.5, true}} {
		for _, dir := range []string{"", t.TempDir()} {
			c := &corpus.Corpus{Train: []corpus.Document{{Text: x.text}}}
			m, err := lmkit.Train(t.Context(), lmkit.Training{Corpus: c, Model: lm.Config{Width: 8, Layers: 1, Heads: 2,
				Context: 4},
				Train: train.Config{Steps: 2, Rows: 2, Hide: x.hide}, Engine: backendtest.Either(t), Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if got := m.MetUnknown(); got != x.met {
				t.Errorf("%q, %v hidden, dir %q: met %v", x.text, x.hide, dir, got)
			}
			m.Close()
		}
	}
}
