package lmkit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
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

	// What about its continuation is explained.
	Objective string `json:"objective,omitempty"` // see explain.Objectives; "": as explain.Question says
	// Target is a token, or an answer of several, by its text, or as #ID #ID; "": the model's first choice.
	Target    string   `json:"target,omitempty"`
	Foil      string   `json:"foil,omitempty"`       // of a contrast: a token or an answer; "": the best other token
	TargetAny []string `json:"target_any,omitempty"` // or: tokens of which any may come next
	FoilAny   []string `json:"foil_any,omitempty"`   // of a contrast with TargetAny
	Generate  int      `json:"generate,omitempty"`   // or: the model's own answer, of at most so many tokens

	// What gets a score, and what an absent token is.
	By     string  `json:"by,omitempty"`     // token, word, sentence, or message of a conversation; "": token
	Groups [][]int `json:"groups,omitempty"` // or: any grouping of token positions
	// Only is the parts of the text that are explained, as they stand there, or "first words ... last words"; all else is
	// held. nil: all of it.
	Only     []string `json:"only,omitempty"`
	Baseline string   `json:"baseline,omitempty"` // see explain.Question; several with commas
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

// What a setting may ask for at most: rows of the model, which take hours then; points of an integral, whose places
// take as many steps each to find; and tokens of an answer.
const (
	maxRows       = 1 << 22
	maxPoints     = 1 << 14
	mostGenerated = 1 << 12
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
	errs = append(errs, r.checkTarget()...)
	if r.By != "" && !slices.Contains(explain.Groupings, r.By) {
		say("", "there is no grouping by %q; there are %s", r.By, strings.Join(explain.Groupings, ", "))
	}
	if r.Only != nil && r.Groups != nil {
		say("only", "and groups were given; give one")
	}
	if r.Only != nil && r.IDs != nil {
		say("only", "is a part of a text, and token IDs were given; group them")
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

// checkTarget finds the mistakes of what is explained.
func (r Request) checkTarget() (errs []error) {
	say := func(setting, format string, args ...any) {
		errs = append(errs, &Mistake{setting, fmt.Sprintf(format, args...)})
	}
	objective := cmp.Or(r.Objective, explain.Contrast)
	if !slices.Contains(explain.Objectives, objective) {
		say("", "there is no objective %q; there are %s", objective, strings.Join(explain.Objectives, ", "))
	}
	if r.Foil != "" && objective != explain.Contrast {
		say("foil", "belongs to the objective contrast, not to %s", objective)
	}
	if r.FoilAny != nil && objective != explain.Contrast {
		say("foil_any", "belongs to the objective contrast, not to %s", objective)
	}
	if r.Generate < 0 || r.Generate > mostGenerated {
		say("generate", "is %d; it must be 1 to %d tokens, or 0 for none", r.Generate, mostGenerated)
	}
	var given []string
	for setting, is := range map[string]bool{"target": r.Target != "", "target_any": r.TargetAny != nil,
		"generate": r.Generate > 0} {
		if is {
			given = append(given, setting)
		}
	}
	if len(given) > 1 {
		slices.Sort(given)
		say("", "%s were given, and each says what is explained; give one", strings.Join(given, " and "))
	}
	if r.TargetAny == nil && r.FoilAny != nil {
		say("foil_any", "belongs to target_any, which was not given")
	}
	if r.TargetAny != nil && r.Foil != "" {
		say("foil", "is one answer, and target_any a set: give foil_any")
	}
	if slices.Contains(slices.Concat(r.TargetAny, r.FoilAny), "") {
		say("", "one of the texts of target_any or foil_any is empty; leave it out")
	}
	return errs
}

// names are those of the methods that are asked for.
func (r Request) names() []string {
	switch {
	case r.Matrix != "" && !r.compares():
		return nil
	case len(r.Methods) == 0 && r.Matrix == explain.PerToken{}.Name():
		return []string{"occlusion"} // docs/answers.md says why
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
