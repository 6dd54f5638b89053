// Package lmkit is the front door: train a language model, open one, and explain what it predicts.
package lmkit

import (
	"context"
	"errors"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/hub"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// Open opens a model, to run on the engine that the environment gives (see package backend). A model is a folder, of
// lmkit's or of Hugging Face's; a GGUF file; or a name, smollm2 or hf:OWNER/NAME, of one that is fetched once (lmkit
// pull -h says from where) and then kept. The command takes the same.
func Open(model string) (*lm.Model, error) {
	e, err := backend.Default()
	if err != nil {
		return nil, err
	}
	return OpenOn(context.Background(), e, model, lm.Options{})
}

// OpenOn is Open on an engine of the caller's choice, with weights held as o says.
func OpenOn(ctx context.Context, e *backend.Engine, model string, o lm.Options) (*lm.Model, error) {
	path, err := hub.Find(ctx, model, hub.Options{})
	if err != nil {
		return nil, err
	}
	return o.Open(ctx, e, path)
}

// Explain says why the model predicts what it does after a prompt: why its first choice rather than its second, once
// for each method (integrated gradients if none is named). Use a [Request] for all other questions.
func Explain(ctx context.Context, m *lm.Model, prompt string, methods ...string) ([]*explain.Attribution, error) {
	a, err := Request{Prompt: prompt, Methods: methods}.Answer(ctx, m)
	if err != nil {
		return nil, err
	}
	return a.Attributions, nil
}

// Training says what to train, and on what. Every zero value has a sane default, but there must be a Corpus or
// Examples.
type Training struct {
	Corpus *corpus.Corpus // what to learn from; its Valid part, if there is one, is what the model is judged by
	// Examples are, in place of a Corpus, texts with the answers that are to follow them: [corpus.Pairs] reads them from a
	// file. Answers alone are learned, and each ends in the end token. A tenth of them is held out, and judges the model.
	Examples  []corpus.Pair
	Arch      string          // lm.Transformer (default) or lm.LSTM
	Tokenizer string          // "word" (default), "char", "bpe", or "bpe:4096" for that many byte pairs: token.ParseSpec
	Model     lm.Config       // widths and layers; what is 0 becomes that of train.Small
	Train     train.Config    // what is zero as a whole becomes train.Recipe's, or train.AnswerRecipe's
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
	if (t.Corpus == nil) == (t.Examples == nil) {
		return nil, data, config, errors.New("training takes a corpus or examples, one of the two")
	}
	if t.Engine == nil {
		if t.Engine, err = backend.Default(); err != nil {
			return nil, data, config, err
		}
	}
	spec, err := token.ParseSpec(t.Tokenizer)
	if err != nil {
		return nil, data, config, err
	}
	if t.Examples != nil {
		return t.prepareAnswers(ctx, spec)
	}
	tok, err := spec.Learn(ctx, corpus.Texts(t.Corpus.Train), corpus.Texts(t.Corpus.Train, t.Corpus.Valid, t.Corpus.Test))
	if err != nil {
		return nil, data, config, err
	}
	t.Model.Arch = t.Arch
	c := train.Small(t.Model)
	c.Vocab = tok.Size()
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
		if streams[i], err = corpus.Encode(tok, corpus.Separate(docs, token.Separator(tok)), corpus.Ends{}); err != nil {
			m.Close()
			return nil, data, config, err
		}
	}
	if data, err = train.Text(c, config, tok, streams[0], streams[1]); err != nil {
		m.Close()
	}
	return m, data, config, err
}

// prepareAnswers is prepare for examples.
func (t Training) prepareAnswers(ctx context.Context, spec token.Spec) (m *lm.Model, data train.Data,
	config train.Config, err error) {
	learn, valid := corpus.HoldOut(t.Examples, train.HeldOut, t.Train.Seed)
	spec.End = true
	tok, err := spec.Learn(ctx, corpus.PairTexts(learn), corpus.PairTexts(learn, valid))
	if err != nil {
		return nil, data, config, err
	}
	end, has := token.End(tok)
	if !has {
		return nil, data, config, errors.New("the tokenizer has no token that could end an answer")
	}
	var parts [2][]corpus.Example
	for i, pairs := range [][]corpus.Pair{learn, valid} {
		if parts[i], err = corpus.Examples(tok, pairs, end); err != nil {
			return nil, data, config, err
		}
	}
	t.Model.Arch = t.Arch
	c := train.ForAnswers(train.Small(t.Model), t.Model.Context, parts[:]...)
	c.Vocab = tok.Size()
	for i := range parts {
		parts[i], _, _ = corpus.Within(parts[i], c.Context)
	}
	if config = t.Train; config == (train.Config{}) {
		config = train.AnswerRecipe(c)
		steps := config.Epochs * (len(parts[0])/config.WithDefaults(c).Rows + 1)
		config.Warmup = min(config.Warmup, steps/10)
	}
	if data, err = train.Answers(c, config, tok, parts[0], parts[1], end); err != nil {
		return nil, data, config, err
	}
	m, err = train.FreshForAnswers(t.Engine, c, tok, config.Seed)
	return m, data, config, err
}
