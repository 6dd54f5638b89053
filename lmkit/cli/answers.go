package cli

import (
	"context"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

// answers is examples of texts with their answers, which are to be learned.
type answers struct {
	train, valid []corpus.Example
	end          token.ID // ends every answer
	first        []corpus.Pair
	broken       []corpus.Broken
}

// readAnswers reads a source with answers, with the tokenizer tok, or with one that it learns (nil).
func readAnswers(ctx context.Context, s source, tok token.Tokenizer, spec token.Spec) (*answers, token.Tokenizer,
	error) {
	if s.kind() != "" {
		return nil, nil, usage("--answer goes with a file of your own; %s is a text", s.Data)
	}
	pairs, broken, err := corpus.Pairs(s.Data, s.PairsIn)
	if err != nil {
		return nil, nil, err
	}
	a := &answers{broken: broken}
	learn, valid := corpus.HoldOut(pairs, train.HeldOut, corpusSeed)
	if s.Valid != "" {
		if valid, a.broken, err = corpus.Pairs(s.Valid, s.PairsIn); err != nil {
			return nil, nil, err
		}
		learn, a.broken = pairs, append(broken, a.broken...)
	}
	a.first = learn[:min(3, len(learn))]
	if tok == nil {
		spec.End = true
		if tok, err = spec.Learn(ctx, corpus.PairTexts(learn), corpus.PairTexts(learn, valid)); err != nil {
			return nil, nil, err
		}
	}
	var has bool
	if a.end, has = token.End(tok); !has {
		return nil, nil, errors.New("the tokenizer has no token that could end an answer: no end-of-text token, " +
			"no <eos> and no line break")
	}
	if a.train, err = corpus.Examples(tok, learn, a.end); err == nil {
		a.valid, err = corpus.Examples(tok, valid, a.end)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Data, err)
	}
	return a, tok, ctx.Err()
}

// data makes the batches of a run of the examples that the model can read.
func (a *answers) data(m lm.Config, c train.Config, tok token.Tokenizer) (train.Data, error) {
	learn, left, longest := corpus.Within(a.train, m.Context)
	valid, _, _ := corpus.Within(a.valid, m.Context)
	if len(learn) == 0 && left > 0 {
		return train.Data{}, fmt.Errorf("all %d examples are longer than the %d tokens that the model can read: "+
			"the longest takes --context %d", left, m.Context, longest)
	}
	return train.Answers(m, c, tok, learn, valid, a.end)
}

// tokens is how many there are to learn from.
func (a *answers) tokens() (n int) {
	for _, e := range a.train {
		n += len(e.Tokens)
	}
	return n
}

// steps is how many batches an epoch has.
func (a *answers) steps(m lm.Config, rows int) int {
	kept, _, _ := corpus.Within(a.train, m.Context)
	return max(1, (len(kept)+rows-1)/rows)
}

// holdAnswers gives a fresh Transformer the context that its examples take, unless a flag says another.
func (r *recipe) holdAnswers(a *answers) {
	if a == nil {
		return
	}
	asked := 0
	if r.flags.Changed("context") {
		asked = r.model.Context
	}
	r.model = train.ForAnswers(r.model, asked, a.train, a.valid)
}

// sayAnswers tells how the data were understood, and shows what the model reads.
func (a *app) sayAnswers(x *answers, m lm.Config, tok token.Tokenizer) {
	a.note("%s examples of a text and its answer to learn from, %s to validate on",
		thousands(len(x.train)), thousands(len(x.valid)))
	if len(x.broken) > 0 {
		a.note("%s left out, as line %d %s", count(len(x.broken), "a line that holds none is", "lines that hold none are"),
			x.broken[0].Line, x.broken[0].Why)
	}
	if _, left, longest := corpus.Within(append(x.train[:len(x.train):len(x.train)], x.valid...), m.Context); left > 0 {
		a.note("%s left out, as the model reads %d tokens at most; the longest takes --context %d",
			count(left, "an example is", "examples are"), m.Context, longest)
	}
	for _, p := range x.first {
		a.note("it reads %q, and is to say %q, then %s", p.Prompt, p.Answer, tok.Token(x.end))
	}
}

// count says how many there are of something.
func count(n int, one, several string) string {
	if n == 1 {
		return one
	}
	return thousands(n) + " " + several
}
