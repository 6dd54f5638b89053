package board

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// Builtin is, as the source of a board's facts, those that come with lmkit.
const Builtin = "builtin"

// Facts says what became of the facts of a board.
type Facts struct {
	Model     string              `json:"model"` // as it was named
	Source    string              `json:"source"`
	Baseline  string              `json:"baseline,omitempty"` // what an absent word was; "": several, one after the other
	Relations map[string]Relation `json:"relations"`
	Left      []Left              `json:"left"` // those that are no part of the board, and why
	Kept      int                 `json:"kept"`
	// Scored is how many of Kept the methods explained: a relation may have more than Config.Items.
	Scored  int  `json:"scored"`
	Stopped bool `json:"stopped,omitempty"` // before all were scored
}

// Relation counts the facts of a relation.
type Relation struct {
	Given int `json:"given"`
	Spelt int `json:"spelt"` // ... that the model's vocabulary can spell
	Right int `json:"right"` // ... and of which the model prefers the right answer
	Kept  int `json:"kept"`  // ... which changes with the word that decides
	First int `json:"first"` // those of Kept whose answer is the model's first choice of all tokens
}

// Left is a fact that is no part of a board.
type Left struct {
	Line int    `json:"line"`
	Text string `json:"text"`
	Why  string `json:"why"`
}

// batch is how many facts a model is asked about between two signs of progress.
const batch = 16

// RunFacts ranks the methods on facts that a model follows: it gives the right answer, and the other one once the word
// that decides is replaced. That word is the true cause, and words are the features. A relation is what a task is on
// planted texts. Where ctx ends, what was scored so far comes back with the error.
func RunFacts(
	ctx context.Context, m *lm.Model, all []facts.Fact, c Config, hears progress.Func,
) (*Result, error) {
	c, methods, err := c.forFacts(m, all)
	if err != nil {
		return nil, err
	}
	kept, about, err := follow(ctx, m, all, c, hears)
	if err != nil {
		return nil, err
	}
	return runCases(ctx, m, kept, about, methods, c, hears)
}

// forFacts fills in and checks a configuration, of which Tasks are relations. A model that people have takes a
// hundred times as long for a row as a planted one, so that methods draw and try less unless they are told otherwise.
func (c Config) forFacts(m *lm.Model, all []facts.Fact) (Config, []explain.Method, error) {
	arch := m.Config().Arch
	c.Archs = []string{arch}
	relations := relationsOf(all)
	if c.Tasks == nil {
		c.Tasks = relations
	}
	c.Items, c.Samples, c.Budget = cmp.Or(c.Items, 6), cmp.Or(c.Samples, 25), cmp.Or(c.Budget, 64)
	c = c.withDefaults()
	for _, t := range c.Tasks {
		if !slices.Contains(relations, t) {
			return c, nil, fmt.Errorf("there are no facts of the relation %q; there are %s", t, strings.Join(relations, ", "))
		}
	}
	if err := errors.Join(c.checkMethods()...); err != nil {
		return c, nil, err
	}
	methods, err := c.methods(arch)
	return c, methods, err
}

// relationsOf lists the relations of facts, as they come.
func relationsOf(all []facts.Fact) (names []string) {
	for _, f := range all {
		if !slices.Contains(names, f.Relation) {
			names = append(names, f.Relation)
		}
	}
	return names
}

// follow asks the model about all facts of the relations that are ranked, and returns those that it follows: of each
// relation in turn, so that a board that is stopped has some of all.
func follow(
	ctx context.Context, m *lm.Model, all []facts.Fact, c Config, hears progress.Func,
) ([]faithful.Followed, *Facts, error) {
	about := &Facts{Model: c.Model, Source: c.Facts, Relations: map[string]Relation{}, Left: []Left{}}
	all = slices.DeleteFunc(slices.Clone(all), func(f facts.Fact) bool { return !slices.Contains(c.Tasks, f.Relation) })
	by := map[string][]faithful.Followed{}
	for some := range slices.Chunk(all, batch) {
		hears.At("check the facts", int64(about.Kept+len(about.Left)), int64(len(all)), "facts")
		followed, err := faithful.Follow(ctx, m, some)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range followed {
			r := about.Relations[f.Fact.Relation]
			r.count(f)
			about.Relations[f.Fact.Relation] = r
			if f.Why != "" {
				about.Left = append(about.Left, Left{f.Fact.Line, f.Fact.Text(), f.Why})
				continue
			}
			about.Kept++
			by[f.Fact.Relation] = append(by[f.Fact.Relation], f)
		}
	}
	var kept []faithful.Followed
	for i := range c.Items {
		for _, relation := range c.Tasks {
			if i < len(by[relation]) {
				kept = append(kept, by[relation][i])
			}
		}
	}
	if kept == nil {
		l := about.Left[0]
		return nil, nil, fmt.Errorf("the model follows none of the %d facts: of the first, in line %d, %s",
			len(about.Left), l.Line, l.Why)
	}
	return kept, about, nil
}

// count counts a fact.
func (r *Relation) count(f faithful.Followed) {
	for _, step := range []struct {
		n    *int
		lost faithful.Lost
	}{{&r.Spelt, faithful.Unspelt}, {&r.Right, faithful.Wrong}, {&r.Kept, faithful.Unmoved}} {
		if f.Lost == faithful.Kept || f.Lost > step.lost {
			*step.n++
		}
	}
	r.Given++
	if f.Lost == faithful.Kept && f.First {
		r.First++
	}
}

// runCases scores the methods on the facts that the model follows.
func runCases(
	ctx context.Context, m *lm.Model, kept []faithful.Followed, about *Facts, methods []explain.Method, c Config,
	hears progress.Func,
) (*Result, error) {
	s := faithful.Scoring{Baseline: c.Baseline}
	s.Seed = c.Seed
	var cases []faithful.Case
	for _, f := range kept {
		cases = append(cases, f.Case)
	}
	scores := map[string][]faithful.ItemScore{}
	about.Scored = 0
	var failed error
	start := time.Now()
	name := "explain"
	if c.Baseline != "" {
		name += " against " + c.Baseline
	}
	for score, err := range s.Cases(ctx, m, cases, methods) {
		if failed = err; err != nil {
			break
		}
		relation := kept[score.Item].Fact.Relation
		scores[relation] = append(scores[relation], score)
		about.Scored++
		if rest := len(cases) - about.Scored; about.Scored == 1 && rest > 0 {
			one := time.Since(start)
			hears.Begin(fmt.Sprintf("%s: the first of %d facts took %v: about %v in all; Ctrl-C keeps what is done", name,
				len(cases), one.Round(time.Second/10), (time.Duration(len(cases)) * one).Round(time.Second)))
		}
		hears.At(name, int64(about.Scored), int64(len(cases)), "facts")
	}
	if failed != nil && (ctx.Err() == nil || about.Scored == 0) {
		return nil, failed
	}
	r := &Result{Schema: Schema, Config: c, Facts: about}
	about.Baseline, about.Stopped = cmp.Or(c.Baseline, explain.DefaultBaseline(m)), failed != nil
	for _, relation := range c.Tasks {
		if len(scores[relation]) == 0 {
			continue
		}
		table, err := faithful.Tabulate(m, scores[relation], s)
		if err != nil {
			return nil, err
		}
		r.Models = append(r.Models, Model{Task: relation, Arch: m.Config().Arch, Table: table})
	}
	r.Found = map[string]map[string]float64{m.Config().Arch: found(r.Models)}
	return r, failed
}
