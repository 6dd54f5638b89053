package lmkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// All, as the one method of a request, stands for every method that suits the model and the question.
const All = "all"

// Request is everything that can be asked about what a model predicts after one text, as it can be written down:
// the command, notebooks, pages and programs fill in the same struct. Every zero value has a sane default; a
// request must have a prompt, token IDs or messages. Its JSON is read strictly: [ReadRequest].
type Request struct {
	// The text.
	Prompt string     `json:"prompt,omitempty"`
	IDs    []token.ID `json:"ids,omitempty"` // or: its tokens
	// or: a conversation, which the model's own chat template writes. What the model says next is explained; where the
	// last message is its own (the role assistant), how that goes on.
	Messages []chat.Message `json:"messages,omitempty"`

	// What about its next token is explained.
	Objective string `json:"objective,omitempty"` // see explain.Objectives; "": contrast
	Target    string `json:"target,omitempty"`    // a token by its text, or as #ID; "": the model's first choice
	Foil      string `json:"foil,omitempty"`      // of a contrast; "": the best of the others

	// What gets a score, and what an absent token is.
	By       string  `json:"by,omitempty"`       // token, word or sentence; "": token
	Groups   [][]int `json:"groups,omitempty"`   // or: any grouping of token positions
	Baseline string  `json:"baseline,omitempty"` // see explain.Question; several with commas
	// FirstToken is hold or feature; "": hold if the model has an attention sink.
	FirstToken string `json:"first_token,omitempty"`

	// How it is scored: features, by some methods; or pairs, by the method of one matrix.
	Matrix    string              `json:"matrix,omitempty"`    // see Matrices; Methods are what it compares
	Methods   []string            `json:"methods,omitempty"`   // names; auto; all alone; none: integrated-gradients
	Settings  Settings            `json:"settings,omitzero"`   // of all methods that have such a setting
	Each      map[string]Settings `json:"each,omitempty"`      // of one method: what is not 0 goes before Settings
	Tolerance float64             `json:"tolerance,omitempty"` // by how much scores may miss their sum, relative; 0: 0.01
	Seed      uint64              `json:"seed,omitempty"`      // of random draws
	Memory    int64               `json:"memory,omitempty"`    // bytes to compute in, about; 0: lm's default
}

// Answer is what came of a request.
type Answer struct {
	Attributions []*explain.Attribution `json:"attributions"`     // one a method
	Matrix       *explain.Matrix        `json:"matrix,omitempty"` // of a request for one, which has no attributions
	Notes        []string               `json:"notes,omitempty"`  // what was left out or chosen, and why
}

// Mistake is one thing that is wrong with a request.
type Mistake struct {
	Setting string // its JSON name, where the mistake is about one
	Problem string // "is 0; it must be ...", or a sentence of its own
}

func (m *Mistake) Error() string {
	if m.Setting == "" {
		return m.Problem
	}
	return m.Setting + " " + m.Problem
}

// What a setting may ask for at most: rows of the model, which take hours then, and points of an integral, whose
// places take as many steps each to find.
const (
	maxRows   = 1 << 22
	maxPoints = 1 << 14
)

// Validate returns all mistakes of a request that can be found without a model, each a [Mistake].
func (r Request) Validate() error {
	var errs []error
	say := func(setting, format string, args ...any) {
		errs = append(errs, &Mistake{setting, fmt.Sprintf(format, args...)})
	}
	switch text, ids, messages := r.Prompt != "", r.IDs != nil, r.Messages != nil; {
	case text && ids:
		say("", "both a prompt and token IDs were given; give one")
	case messages && (text || ids):
		say("", "messages were given, and a prompt or token IDs too; give one")
	case !text && len(r.IDs) == 0 && len(r.Messages) == 0:
		say("", "there is no prompt")
	}
	for i, m := range r.Messages {
		if m.Role == "" {
			say("messages", "have no role at number %d; it is %s, %s or %s", i+1, chat.System, chat.User, chat.Assistant)
			break
		}
	}
	for _, id := range r.IDs {
		if id < 0 {
			say("ids", "hold %d; token IDs are 0 or more", id)
			break
		}
	}
	objective := cmp.Or(r.Objective, explain.Contrast)
	if !slices.Contains(explain.Objectives, objective) {
		say("", "there is no objective %q; there are %s", objective, strings.Join(explain.Objectives, ", "))
	}
	if r.Foil != "" && objective != explain.Contrast {
		say("foil", "belongs to the objective contrast, not to %s", objective)
	}
	if by := []string{"", explain.ByToken, explain.ByWord, explain.BySentence}; !slices.Contains(by, r.By) {
		say("", "there is no grouping by %q; there are %s", r.By, strings.Join(by[1:], ", "))
	}
	if first := []string{"", explain.HoldFirst, explain.ScoreFirst}; !slices.Contains(first, r.FirstToken) {
		say("first_token", "is %q; it can be %s", r.FirstToken, strings.Join(first[1:], " or "))
	}
	if r.Groups != nil && r.By != "" && r.By != explain.ByToken {
		say("groups", "and by %s were given; give one", r.By)
	}
	if !(r.Tolerance >= 0 && r.Tolerance <= 1e9) {
		say("tolerance", "is %v; it must be above 0", r.Tolerance)
	}
	if r.Memory < 0 {
		say("memory", "is %d bytes; it cannot be negative", r.Memory)
	}
	return errors.Join(append(errs, r.checkMethods()...)...)
}

// names are those of the methods that are asked for.
func (r Request) names() []string {
	switch {
	case r.Matrix != "" && !r.compares():
		return nil
	case len(r.Methods) == 0:
		return []string{"integrated-gradients"}
	case r.all():
		return MethodNames()
	}
	return r.Methods
}

// compares reports whether the request is for a matrix that compares methods.
func (r Request) compares() bool {
	return slices.ContainsFunc(matrices, func(m matrixEntry) bool { return m.Name == r.Matrix && m.heeds("method") })
}

func (r Request) all() bool { return slices.Equal(r.Methods, []string{All}) }

// checkMethods finds the mistakes of methods and of their settings.
func (r Request) checkMethods() (errs []error) {
	names := r.names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			errs = append(errs, &Mistake{"", fmt.Sprintf("the method %s was given twice", name)})
		}
		if name == All {
			errs = append(errs, &Mistake{"", "all stands for every method; give it alone"})
		} else if _, err := Method(name, Settings{}); err != nil {
			errs = append(errs, &Mistake{"", err.Error()})
		}
	}
	if r.Matrix != "" {
		return append(errs, r.checkMatrix()...)
	}
	errs = append(errs, r.Settings.check("", names)...)
	for _, name := range slices.Sorted(maps.Keys(r.Each)) {
		if !slices.Contains(names, name) {
			errs = append(errs, &Mistake{"", fmt.Sprintf("each has settings of %s, which is not among the methods", name)})
			continue
		}
		errs = append(errs, r.Each[name].check("each."+name+".", []string{name})...)
	}
	return errs
}

// checkMatrix finds the mistakes of a request for a matrix.
func (r Request) checkMatrix() []error {
	i := slices.IndexFunc(matrices, func(m matrixEntry) bool { return m.Name == r.Matrix })
	switch {
	case i < 0:
		_, err := Matrix(r.Matrix, r.Settings)
		return []error{&Mistake{"", err.Error()}}
	case len(r.Each) > 0:
		return []error{&Mistake{"", "each has settings of methods, and a matrix is asked for"}}
	case len(r.Methods) > 0 && !r.compares():
		return []error{&Mistake{"method", fmt.Sprintf("means nothing to the matrix %s; it belongs to %s", r.Matrix,
			strings.Join(heeding("method"), ", "))}}
	}
	if errs := r.Settings.checkFor("", "the matrix "+r.Matrix, matrices[i].heeds); errs != nil || r.compares() {
		return errs
	}
	if _, err := Matrix(r.Matrix, r.Settings); err != nil { // what it lacks
		return []error{&Mistake{"", err.Error()}}
	}
	return nil
}

// setting is one of Settings as it was given.
type setting struct {
	name, flag  string // in JSON, and in MethodInfo.Settings
	given       bool
	least, most int // of what was given, and what may be
}

func (s Settings) all() []setting {
	return []setting{
		{"steps", "steps", s.Steps != 0, s.Steps, maxPoints}, {"samples", "samples", s.Samples != 0, s.Samples, maxRows},
		{"budget", "budget", s.Budget != 0, s.Budget, maxRows},
		{"layers", "layer", len(s.Layers) > 0, least(s.Layers), math.MaxInt},
		{"heads", "head", len(s.Heads) > 0, least(s.Heads), math.MaxInt},
		{"tap", "tap", s.Tap != "", 0, math.MaxInt}, {"cut", "cut", s.Cut != 0, s.Cut, math.MaxInt},
	}
}

// Validate returns all settings that are out of range, each a [Mistake].
func (s Settings) Validate() error {
	return errors.Join(s.checkFor("", "", func(string) bool { return true })...)
}

// check finds the mistakes of settings that are for some methods: numbers out of range, and what none of them heeds.
func (s Settings) check(prefix string, names []string) []error {
	return s.checkFor(prefix, strings.Join(names, ", "), func(setting string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return heeds(name, setting) })
	})
}

// checkFor finds the mistakes of settings for whom, of which heeded says what is heeded.
func (s Settings) checkFor(prefix, whom string, heeded func(setting string) bool) (errs []error) {
	for _, x := range s.all() {
		say := func(format string, args ...any) {
			errs = append(errs, &Mistake{prefix + x.name, fmt.Sprintf(format, args...)})
		}
		if x.least < 0 {
			say("is %d; it cannot be negative", x.least)
		}
		if x.least > x.most {
			say("is %d: the model would run for as many rows or more, and the limit is %d", x.least, x.most)
		}
		if x.given && !heeded(x.flag) {
			say("means nothing to %s; it belongs to %s", whom, strings.Join(heeding(x.flag), ", "))
		}
	}
	return errs
}

func least(of []int) int {
	if len(of) == 0 {
		return 0
	}
	return slices.Min(of)
}

// heeds reports whether a method has a setting.
func heeds(method, setting string) bool {
	if method == autoName {
		return setting == "budget"
	}
	return slices.Contains(heeding(setting), method)
}

// heeding are the methods that have a setting.
func heeding(setting string) (names []string) {
	for _, m := range methods {
		if slices.Contains(m.Settings, setting) {
			names = append(names, m.Name)
		}
	}
	if names != nil {
		return names
	}
	for _, m := range matrices {
		if m.heeds(setting) {
			names = append(names, "the matrix "+m.Name)
		}
	}
	return names
}

// over is s, with what is set in t in its place.
func (s Settings) over(t Settings) Settings {
	s.Steps, s.Samples, s.Budget = cmp.Or(t.Steps, s.Steps), cmp.Or(t.Samples, s.Samples), cmp.Or(t.Budget, s.Budget)
	if len(t.Layers) > 0 {
		s.Layers = t.Layers
	}
	if len(t.Heads) > 0 {
		s.Heads = t.Heads
	}
	return s
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
// notes name them; a method that was asked for by its name is an error if it does not.
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
	for _, name := range names {
		method, err := Method(name, r.Settings.over(r.Each[name]))
		if err != nil {
			return nil, err
		}
		f, err := p.Score(ctx, method)
		if err != nil && r.all() && ctx.Err() == nil {
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
