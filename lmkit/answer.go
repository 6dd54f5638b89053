package lmkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// Answer is what came of a request.
type Answer struct {
	Attributions []*explain.Attribution `json:"attributions"`     // one a method
	Matrix       *explain.Matrix        `json:"matrix,omitempty"` // of a request for one, which has no attributions
	Notes        []string               `json:"notes,omitempty"`  // what was left out or chosen, and why
}

// Question makes the request's question precise for a model: target and foil are found in its vocabulary.
func (r Request) Question(m *lm.Model) (q explain.Question, err error) {
	q = explain.Question{Prompt: r.Prompt, IDs: r.IDs, Objective: r.Objective, By: r.By, Groups: r.Groups,
		Baseline:   r.Baseline,
		FirstToken: r.FirstToken, Tolerance: r.Tolerance, Seed: r.Seed, Memory: r.Memory}
	text := r.Prompt
	if r.Messages != nil {
		if q.Chat, err = converse(m, r.Messages); err != nil {
			return q, fmt.Errorf("the conversation: %w", err)
		}
		text = q.Chat.Text
	}
	if q.Target, err = find(m, text, r.Target); err == nil {
		q.Foil, err = find(m, text, r.Foil)
	}
	return q, err
}

// converse reads a conversation up to where the model goes on with it.
func converse(m *lm.Model, messages []chat.Message) (*chat.Conversation, error) {
	template, err := m.Chat()
	if err != nil {
		return nil, err
	}
	if m.Tokenizer() == nil {
		return nil, errors.New("this model has no tokenizer, and cannot read a text")
	}
	c, err := template.Encode(m.Tokenizer(), messages, true)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(c.Held, false) {
		return nil, errors.New("its messages are empty: there is nothing that could be scored")
	}
	return &c, nil
}

// begun is the text that a person sees the model go on from: the prompt, or the answer that has begun.
func (r Request) begun() string {
	if last := len(r.Messages) - 1; last >= 0 && r.Messages[last].Role == chat.Assistant {
		return r.Messages[last].Content
	}
	return r.Prompt
}

func find(m *lm.Model, prompt, text string) (*token.ID, error) {
	if text == "" {
		return nil, nil
	}
	id, err := explain.FindToken(m, prompt, text)
	if err != nil {
		return nil, err
	}
	return &id, nil
}

// reading notes how the prompt, the target and the foil were read, where another reading is near.
func (a *Answer) reading(m *lm.Model, r Request, q explain.Question) {
	for _, x := range []struct {
		what, text string
		id         *token.ID
	}{{"target", r.Target, q.Target}, {"foil", r.Foil, q.Foil}} {
		if x.id == nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(x.text, "#"))
		number := err == nil && strings.HasPrefix(x.text, "#")
		name := m.TokenText(*x.id)
		switch {
		case number && int(*x.id) != n:
			a.note("the %s %s is the word %q, which is token number %d, not token number %d, which is %q",
				x.what, x.text, name, *x.id, n, m.TokenText(token.ID(n)))
		case !number && name != x.text:
			a.note("the %s %q is the token %q", x.what, x.text, name)
		}
	}
	if token.EndsInSpace(m.Tokenizer(), r.begun()) {
		a.note("the prompt ends in a space, which is a token of its own here: words have the space before them in " +
			"their token, " +
			"so that none of these can follow; leave the space out to see them")
	}
}

// Answer asks the model. Of [All] methods those are left out that do not suit the model or the question, and the
// notes name them; a method that was asked for by its name is an error if it does not. When ctx ends, the methods that
// have ended are answered, and ctx's error is returned with them. The context's [progress.Func] hears of each method.
func (r Request) Answer(ctx context.Context, m *lm.Model) (*Answer, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	q, err := r.Question(m)
	if err != nil {
		return nil, err
	}
	if r.Matrix != "" {
		return r.answerMatrix(ctx, m, q)
	}
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	out := &Answer{}
	out.reading(m, r, q)
	names := r.names()
	if r.all() {
		names = out.suited(names, m.Config().Arch)
	}
	var found []*explain.Scored
	for i, name := range names {
		method, err := Method(name, r.Settings.over(r.Each[name]))
		if err != nil {
			return nil, err
		}
		f, err := p.Score(numbered(ctx, i, len(names)), method)
		if err != nil && ctx.Err() != nil {
			out.note("interrupted in %s, which has no result", name)
			out.Attributions, _ = p.Attributions(ctx, found...)
			return out, ctx.Err()
		}
		if err != nil && r.all() {
			out.note("left out %s", named(err, name))
			continue
		}
		if err != nil {
			return nil, err
		}
		if c, ok := f.Settings.(Choice); ok {
			out.note("auto chose %s: %s", c.Chosen, c.Why)
		}
		found = append(found, f)
	}
	out.Attributions, err = p.Attributions(ctx, found...)
	return out, err
}

// numbered is a context under which the progress of a method says which of several it is.
func numbered(ctx context.Context, i, of int) context.Context {
	hears := progress.From(ctx)
	if of == 1 || hears == nil {
		return ctx
	}
	return progress.With(ctx, func(e progress.Event) {
		e.What = fmt.Sprintf("%d of %d: %s", i+1, of, e.What)
		hears(e)
	})
}

// answerMatrix asks the model for scores of pairs. Of [All] methods those that do not suit the model are not compared.
func (r Request) answerMatrix(ctx context.Context, m *lm.Model, q explain.Question) (*Answer, error) {
	out := &Answer{}
	out.reading(m, r, q)
	names := r.names()
	if r.compares() && r.all() {
		names = out.suited(names, m.Config().Arch)
	}
	var compared []explain.Method
	for _, name := range names {
		method, err := Method(name, Settings{})
		if err != nil {
			return nil, err
		}
		compared = append(compared, method)
	}
	method, err := Matrix(r.Matrix, r.Settings, compared...)
	if err != nil {
		return nil, err
	}
	out.Matrix, err = explain.ExplainMatrix(ctx, m, q, method)
	return out, err
}

func (a *Answer) note(format string, args ...any) {
	a.Notes = append(a.Notes, fmt.Sprintf(format, args...))
}

// suited are those of all methods that explain an architecture. The others are noted.
func (a *Answer) suited(names []string, arch string) (fit []string) {
	var others []string
	for _, m := range methods {
		switch {
		case !slices.Contains(names, m.Name):
		case m.Arch != "" && m.Arch != arch:
			others = append(others, m.Name)
		default:
			fit = append(fit, m.Name)
		}
	}
	a.note("left out, as they do not explain the architecture %s: %s", arch, strings.Join(others, ", "))
	return fit
}

// named is what an error says, with the method's name before it, once.
func named(err error, method string) string {
	if strings.HasPrefix(err.Error(), method) {
		return err.Error()
	}
	return method + ": " + err.Error()
}
