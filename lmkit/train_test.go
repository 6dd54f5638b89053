package lmkit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
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

// What the examples are about.
var colours, things = []string{"red", "blue", "green"}, []string{"cat", "dog", "box", "key"}

// Examples are learned in place of a corpus: the answer to each, by both architectures, with the usual recipe.
func TestTrainOnExamples(t *testing.T) {
	var examples []corpus.Pair
	for i := range 360 {
		colour := colours[i%3]
		examples = append(examples, corpus.Pair{Prompt: "the " + things[i%4] + " is " + colour + " " + corpus.Mark,
			Answer: " " + colour, Line: i + 1})
	}
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		var last train.Event
		m, err := lmkit.Train(t.Context(), lmkit.Training{Examples: examples, Arch: arch,
			Model: lm.Config{Width: 32, Layers: 1, Heads: 2}, Engine: backendtest.Either(t),
			Events: func(e train.Event) { last = e }})
		if err != nil {
			t.Fatal(err)
		}
		if last.Valid == nil || last.Valid.Loss > 0.1 {
			t.Errorf("%s: %+v", arch, last.Valid)
		}
		m.Close()
	}
	for _, wrong := range []lmkit.Training{{}, {Corpus: &corpus.Corpus{}, Examples: examples}} {
		if _, err := lmkit.Train(t.Context(), wrong); err == nil {
			t.Error("trained on neither or both")
		}
	}
}

// An LSTM learns to answer a question about the text before it, which takes both that words are heard in the answer and
// that they are remembered.
func TestLSTMLearnsToAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("it learns for half a minute")
	}
	rng, questions := rand.New(rand.NewPCG(1, 1)), []corpus.Pair(nil)
	for i := range 1440 {
		p, say := rng.Perm(len(things)), []string{colours[rng.IntN(3)], colours[rng.IntN(3)]}
		asked := rng.IntN(2)
		questions = append(questions, corpus.Pair{Line: i + 1, Answer: " " + say[asked],
			Prompt: fmt.Sprintf("the %s is %s . the %s is %s . what is the %s ? =>", things[p[0]], say[0], things[p[1]], say[1],
				things[p[asked]])})
	}
	best := math.Inf(1)
	m, err := lmkit.Train(t.Context(), lmkit.Training{Examples: questions, Arch: lm.LSTM,
		Model: lm.Config{Width: 64, Layers: 1}, Engine: backendtest.Either(t), Events: func(e train.Event) {
			if e.Valid != nil {
				best = min(best, e.Valid.Loss)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if chance := math.Log(3) / 2; best > 0.7*chance { // the end after the answer is certain
		t.Errorf("the loss is %.3f, where chance is %.3f", best, chance)
	}
}
