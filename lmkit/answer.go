package lmkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/generate"
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

// Question makes the request's question precise for a model: target and foil are found in its vocabulary, or the target
// is generated.
func (r Request) Question(ctx context.Context, m *lm.Model) (q explain.Question, err error) {
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
	for _, part := range r.Only {
		span, err := findPart(text, part, q.Chat)
		if err != nil {
			return q, err
		}
		q.Only = append(q.Only, span)
	}
	switch {
	case r.Generate > 0:
		q.Target, err = r.continued(ctx, m, q)
	case r.TargetAny != nil:
		q.Any = true
		q.Target, err = findAny(m, text, r.TargetAny)
	default:
		q.Target, err = find(m, text, r.Target)
	}
	if err != nil {
		return q, err
	}
	if q.Any {
		q.Foil, err = findAny(m, text, r.FoilAny)
	} else {
		q.Foil, err = find(m, text, r.Foil)
	}
	return q, err
}

// continued returns how the model itself goes on from the input, by the most likely token each time, up to the token
// that ends its answer.
func (r Request) continued(ctx context.Context, m *lm.Model, q explain.Question) (answer []token.ID, err error) {
	ids := q.IDs
	switch {
	case q.Chat != nil:
		ids = q.Chat.IDs
	case ids == nil && m.Tokenizer() == nil:
		return nil, errors.New("this model has no tokenizer: give the prompt as token IDs")
	case ids == nil:
		enc, err := m.Tokenizer().Encode(q.Prompt)
		if err != nil {
			return nil, err
		}
		ids = enc.IDs
	}
	for next, err := range generate.Stream(ctx, m, ids, generate.Config{Tokens: r.Generate, NoSlide: true}) {
		if err != nil {
			return nil, err
		}
		if !next.End {
			answer = append(answer, next.ID)
		}
	}
	if answer == nil {
		return nil, errors.New("the model ends the text at once, so that there is no answer to explain: give a target, or " +
			"another prompt")
	}
	return answer, nil
}

// converse reads a conversation up to where the model goes on with it.
func converse(m *lm.Model, messages []chat.Message) (*chat.Conversation, error) {
	template, err := m.Chat()
	if err != nil {
		return nil, err
	}
	if err := m.CheckText(); err != nil {
		return nil, err
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

func find(m *lm.Model, prompt, text string) ([]token.ID, error) {
	if text == "" {
		return nil, nil
	}
	return explain.FindText(m, prompt, text)
}

// findAny finds the tokens of a set: one for each text.
func findAny(m *lm.Model, prompt string, texts []string) (ids []token.ID, err error) {
	for _, text := range texts {
		id, err := explain.FindToken(m, prompt, text)
		if err != nil {
			return nil, err
		}
		if at := slices.Index(ids, id); at >= 0 {
			return nil, fmt.Errorf("%q and %q are the same token, %q #%d: leave one out", texts[at], text, m.TokenText(id), id)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// reading notes how the prompt, the target and the foil were read, where another reading is near.
func (a *Answer) reading(m *lm.Model, r Request, q explain.Question) {
	if r.Generate > 0 {
		a.note("the model goes on with %q", textOf(m, q.Target))
	}
	for i, text := range r.TargetAny {
		a.found(m, "target", text, q.Target[i:i+1])
	}
	for i, text := range r.FoilAny {
		a.found(m, "foil", text, q.Foil[i:i+1])
	}
	a.found(m, "target", r.Target, q.Target)
	a.found(m, "foil", r.Foil, q.Foil)
	if t, f := len(q.Target), len(q.Foil); q.TwoTexts() && t != f {
		a.note("the target has %d tokens and the foil %d: of two answers the shorter one is more likely for its length alone",
			max(1, t), f)
	}
	if token.EndsInSpace(m.Tokenizer(), r.begun()) {
		a.note("the prompt ends in a space, which is a token of its own here: words have the space before them in " +
			"their token, " +
			"so that none of these can follow; leave the space out to see them")
	}
}

// found notes how a target or foil was read, where another reading is near.
func (a *Answer) found(m *lm.Model, what, text string, ids []token.ID) {
	if text == "" || ids == nil {
		return
	}
	name := textOf(m, ids)
	n, err := strconv.Atoi(strings.TrimPrefix(text, "#"))
	number := err == nil && strings.HasPrefix(text, "#")
	switch {
	case number && int(ids[0]) != n:
		a.note("the %s %s is the word %q, which is token number %d, not token number %d, which is %q",
			what, text, name, ids[0], n, m.TokenText(token.ID(n)))
	case len(ids) == 1 && !number && name != text:
		a.note("the %s %q is the token %q", what, text, name)
	case len(ids) > 1 && name != text && !strings.HasPrefix(text, "#"):
		a.note("the %s %q is %d tokens that read %q", what, text, len(ids), name)
	}
}

// textOf returns the text of a token, or of several in a row.
func textOf(m *lm.Model, ids []token.ID) string {
	if len(ids) > 1 && m.Tokenizer() != nil {
		if text, err := m.Tokenizer().Decode(ids); err == nil {
			return text
		}
	}
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(m.TokenText(id))
	}
	return text.String()
}

// Answer asks the model. Of [All] methods those are left out that do not suit the model or the question, and the
// notes name them; a method that was asked for by its name is an error if it does not. When ctx ends, the methods that
// have ended are answered, and ctx's error is returned with them. The context's [progress.Func] hears of each method.
func (r Request) Answer(ctx context.Context, m *lm.Model) (*Answer, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	q, err := r.Question(ctx, m)
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
		method, err := Method(name, Settings{Steps: r.Settings.Steps, Budget: r.Settings.Budget})
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
