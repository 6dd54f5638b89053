// Package lmkit is the front door: train a language model, open one, and explain what it predicts.
package lmkit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// Open reads a model directory, to run on the engine that the environment gives (see package backend).
func Open(dir string) (*lm.Model, error) {
	e, err := backend.Default()
	if err != nil {
		return nil, err
	}
	return lm.Open(e, dir)
}

// Explain says why the model predicts what it does after a prompt: why its first choice rather than its second, once
// for each method (integrated gradients if none is named). Use an explain.Question and a Method for all other questions.
func Explain(ctx context.Context, m *lm.Model, prompt string, methods ...string) ([]*explain.Attribution, error) {
	if len(methods) == 0 {
		methods = []string{"integrated-gradients"}
	}
	var as []*explain.Attribution
	for _, name := range methods {
		method, err := Method(name, Settings{})
		if err != nil {
			return nil, err
		}
		a, err := method.Explain(ctx, m, explain.Question{Prompt: prompt})
		if err != nil {
			return nil, err
		}
		as = append(as, a)
	}
	return as, nil
}

// Training says what to train, and on what. Every zero value but Corpus has a sane default.
type Training struct {
	Corpus    *corpus.Corpus  // what to learn from; its Valid part, if there is one, is what the model is judged by
	Arch      string          // lm.Transformer (default) or lm.LSTM
	Tokenizer string          // "word" (default), "char", or "bpe:4096" for a byte-level vocabulary of that size
	Model     lm.Config       // widths and layers; what is 0 becomes that of a small model
	Train     train.Config    // what is zero as a whole becomes train.Recipe's
	Dir       string          // where to keep the run (see package train); "": nowhere
	Engine    *backend.Engine // nil: what the environment gives
	Events    func(train.Event)
}

// Train trains a model, and returns the best one by validation loss (without validation: the last). When ctx ends, it
// saves, and returns an error that says so.
func Train(ctx context.Context, t Training) (*lm.Model, error) {
	m, data, config, err := t.prepare(ctx)
	if err != nil {
		return nil, err
	}
	run, err := train.Start(m, data, config, t.Dir)
	m.Close() // the run has the weights now
	if err != nil {
		return nil, err
	}
	defer run.Close()
	for event, err := range run.Events(ctx) {
		if err != nil {
			return nil, err
		}
		if t.Events != nil {
			t.Events(event)
		}
	}
	return run.Model()
}

func (t Training) prepare(ctx context.Context) (m *lm.Model, data train.Data, config train.Config, err error) {
	if t.Corpus == nil {
		return nil, data, config, errors.New("there is no corpus to train on")
	}
	if t.Engine == nil {
		if t.Engine, err = backend.Default(); err != nil {
			return nil, data, config, err
		}
	}
	tok, err := NewTokenizer(ctx, t.Tokenizer, t.Corpus.Train)
	if err != nil {
		return nil, data, config, err
	}
	c := t.config(tok.Size())
	config = t.Train
	if config == (train.Config{}) {
		config = train.Recipe(c)
	}
	if m, err = lm.New(t.Engine, c, tok, config.Seed); err != nil {
		return nil, data, config, err
	}
	streams := [2]corpus.Stream{}
	for i, docs := range [][]corpus.Document{t.Corpus.Train, t.Corpus.Valid} {
		if len(docs) == 0 {
			continue
		}
		if streams[i], err = corpus.Encode(tok, docs, corpus.Ends{}); err != nil {
			m.Close()
			return nil, data, config, err
		}
	}
	if data, err = train.Text(c, config, tok, streams[0], streams[1]); err != nil {
		m.Close()
	}
	return m, data, config, err
}

// config fills in a small model.
func (t Training) config(vocab int) lm.Config {
	c := t.Model
	if c.Arch = t.Arch; c.Arch == "" {
		c.Arch = lm.Transformer
	}
	or := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	c.Vocab = vocab
	or(&c.Width, 128)
	or(&c.Layers, 2)
	if c.Arch == lm.LSTM {
		or(&c.Hidden, 128)
		return c
	}
	or(&c.Heads, 4)
	or(&c.Context, 64)
	return c
}

// NewTokenizer makes a tokenizer of the text it is to read: "word" (or ""), "char", or "bpe:SIZE".
func NewTokenizer(ctx context.Context, kind string, docs []corpus.Document) (token.Tokenizer, error) {
	name, arg, _ := strings.Cut(kind, ":")
	switch name {
	case "", "word":
		return token.NewWord(texts(docs), token.WordConfig{})
	case "char":
		var all strings.Builder
		for text := range texts(docs) {
			all.WriteString(text)
		}
		return token.NewChar(all.String())
	case "bpe":
		size, err := strconv.Atoi(arg)
		if err != nil {
			return nil, fmt.Errorf("the tokenizer %q has no size: write bpe:4096 for a vocabulary of 4,096 tokens", kind)
		}
		return token.TrainBPE(ctx, texts(docs), size)
	}
	return nil, fmt.Errorf("there is no tokenizer %q; there are word, char and bpe:SIZE", kind)
}

func texts(docs []corpus.Document) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, d := range docs {
			if !yield(d.Text) {
				return
			}
		}
	}
}
