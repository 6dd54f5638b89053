// Package board ranks explanation methods on texts whose true causes are known.
package board

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/trial"
)

// Schema is the version of a Result's JSON form.
const Schema = 1

// Config says what is ranked on what. Zero values are the usual choice.
type Config struct {
	Tasks   []string `json:"tasks"`   // nil: all of plant.Tasks but recall, which takes an LSTM long to learn
	Archs   []string `json:"archs"`   // nil: lm.Transformer and lm.LSTM
	Methods []string `json:"methods"` // nil: all of lmkit.MethodNames; each explains the architectures that it suits
	Items   int      `json:"items"`   // texts to explain, a model; 0: 20; of facts, a relation: 6
	Size    int      `json:"size"`    // of the texts: plant.Config.Size; 0: marker 10, pair and shortcut 8, else as there
	Width   int      `json:"width"`   // of the models; 0: 64
	Steps   int      `json:"steps"`   // of training, at the most; 0: 3,000
	Samples int      `json:"samples"` // draws of methods that draw; 0: each method's own choice; of facts 25
	Budget  int      `json:"budget"`  // coalitions to try, where methods ask for many; 0: their own choice; of facts 64
	Seed    uint64   `json:"seed"`

	// Of a board on facts, whose Tasks are relations (nil: all).
	Model    string `json:"model,omitempty"`    // its name
	Facts    string `json:"facts,omitempty"`    // the name of their file
	Baseline string `json:"baseline,omitempty"` // what an absent word is, as in explain.Question; "": the model's own
}

// Result is a leaderboard.
type Result struct {
	Schema int     `json:"schema"`
	Config Config  `json:"config"`
	Models []Model `json:"models"`
	Facts  *Facts  `json:"facts,omitempty"` // of a board on facts
	// Found is the mean over the tasks of precision at k, by signed score, on verified items: by architecture and method.
	Found map[string]map[string]float64 `json:"found"`
}

// Model is how the methods did on one trained model.
type Model struct {
	Task  string          `json:"task"`
	Arch  string          `json:"arch"`
	Steps int             `json:"steps,omitempty"` // of training, until it knew the task
	Loss  float64         `json:"loss,omitempty"`  // on unseen texts, in nats a label
	Table *faithful.Table `json:"table"`
}

// Run trains a model for each task and architecture, and scores every method on each. Where ctx ends, the models that
// were scored so far come back with the error.
func Run(ctx context.Context, e *backend.Engine, c Config, hears progress.Func) (*Result, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &Result{Schema: Schema, Config: c}
	var failed error
	for _, task := range c.Tasks {
		for _, arch := range c.Archs {
			if failed != nil {
				continue
			}
			m, err := c.model(ctx, e, task, arch, hears)
			if err != nil {
				failed = fmt.Errorf("leaderboard: %s, %s: %w", task, arch, err)
				continue
			}
			r.Models = append(r.Models, *m)
		}
	}
	if failed != nil && (ctx.Err() == nil || r.Models == nil) {
		return nil, failed
	}
	r.Found = map[string]map[string]float64{}
	for _, arch := range c.Archs {
		if models := r.of(arch); models != nil {
			r.Found[arch] = found(models)
		}
	}
	return r, failed
}

// Tasks is the tasks of the default board.
func Tasks() []string {
	return slices.DeleteFunc(plant.Tasks(), func(name string) bool { return name == "recall" })
}

// sizes are those at which an LSTM learns a task in some seconds, where they are not the task's own.
var sizes = map[string]int{"marker": 10, "pair": 8, "shortcut": 8}

func (c Config) withDefaults() Config {
	if c.Tasks == nil {
		c.Tasks = Tasks()
	}
	if c.Archs == nil {
		c.Archs = []string{lm.Transformer, lm.LSTM}
	}
	if c.Methods == nil {
		c.Methods = lmkit.MethodNames()
	}
	if c.Items == 0 {
		c.Items = 20
	}
	return c
}

// What a board may ask for at most: more would take weeks.
const (
	maxItems = 100_000
	maxWidth = 4096
)

// Validate returns all mistakes of a configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	errs := c.checkMethods()
	for _, a := range c.Archs {
		if a != lm.Transformer && a != lm.LSTM {
			errs = append(errs, fmt.Errorf("there is no architecture %q; there are %s and %s", a, lm.Transformer, lm.LSTM))
		}
	}
	for _, t := range c.Tasks {
		if err := (plant.Config{Task: t, Size: c.Size}).Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Width < 0 || c.Width%trial.Heads != 0 {
		errs = append(errs, fmt.Errorf("models of width %d: it must be a positive multiple of %d", c.Width, trial.Heads))
	}
	if c.Width > maxWidth {
		errs = append(errs, fmt.Errorf("models of width %d: the limit is %d", c.Width, maxWidth))
	}
	if c.Steps < 0 {
		errs = append(errs, errors.New("steps cannot be negative"))
	}
	return errors.Join(errs...)
}

// checkMethods finds the mistakes of the methods, and of what they are given.
func (c Config) checkMethods() (errs []error) {
	for i, name := range c.Methods {
		if slices.Contains(c.Methods[:i], name) {
			errs = append(errs, fmt.Errorf("the method %s was given twice", name))
		}
		if _, err := lmkit.Method(name, lmkit.Settings{}); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Items < 1 || c.Items > maxItems {
		errs = append(errs, fmt.Errorf("%d items to explain: give a number from 1 to %d", c.Items, maxItems))
	}
	if err := (lmkit.Settings{Samples: c.Samples, Budget: c.Budget}).Validate(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// integrals are the methods whose budget is one of rows, not of coalitions: they take what they need to add up.
var integrals = []string{"integrated-gradients", "sequential-ig"}

// methods is those of the methods that explain an architecture.
func (c Config) methods(arch string) ([]explain.Method, error) {
	var methods []explain.Method
	for _, name := range c.Methods {
		if slices.ContainsFunc(lmkit.Methods(), func(m lmkit.MethodInfo) bool {
			return m.Name == name && m.Arch != "" &&
				m.Arch != arch
		}) {
			continue
		}
		s := lmkit.Settings{Samples: c.Samples, Budget: c.Budget}
		if slices.Contains(integrals, name) {
			s.Budget = 0
		}
		m, err := lmkit.Method(name, s)
		if err != nil {
			return nil, err
		}
		methods = append(methods, m)
	}
	return methods, nil
}

// unknown is the share of hidden words in training, so that the unknown token is a fair baseline.
const unknown = 0.1

func (c Config) model(ctx context.Context, e *backend.Engine, task, arch string, hears progress.Func) (*Model, error) {
	methods, err := c.methods(arch)
	if err != nil {
		return nil, err
	}
	size := c.Size
	if size == 0 {
		size = sizes[task]
	}
	t, err := plant.New(plant.Config{Task: task, Size: size, Unknown: unknown})
	if err != nil {
		return nil, err
	}
	name := task + ", " + arch
	trained, err := trial.Train(ctx, e, t, trial.Config{Arch: arch, Width: c.Width, Steps: c.Steps, Seed: c.Seed,
		Progress: hears, What: name + ": train"})
	if err != nil {
		return nil, err
	}
	defer trained.Model.Close()
	s := faithful.Scoring{}
	s.Seed = c.Seed
	items := t.Items(c.Seed, plant.Test, c.Items)
	var scores []faithful.ItemScore
	for score, err := range s.Items(ctx, trained.Model, items, methods) {
		if err != nil {
			return nil, err
		}
		scores = append(scores, score)
		hears.At(name+": explain", int64(len(scores)), int64(len(items)), "texts")
	}
	table, err := faithful.Tabulate(trained.Model, scores, s)
	if err != nil {
		return nil, err
	}
	return &Model{Task: task, Arch: arch, Steps: trained.Steps, Loss: trained.Loss, Table: table}, nil
}

// JSON writes the result for programs.
func (r *Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// found is the mean precision of each method over some models, where it could be measured.
func found(models []Model) map[string]float64 {
	out := map[string]float64{}
	for _, row := range models[0].Table.Rows {
		var all mean
		for _, m := range models {
			if p := precision(m, row.Method.Name); p >= 0 {
				all.add(p)
			}
		}
		if all.n > 0 {
			out[row.Method.Name] = math.Round(1e4*all.sum/float64(all.n)) / 1e4
		}
	}
	return out
}

// rank lists the methods of some models, best first by what they found; those that failed on all come last.
func rank(models []Model) []string {
	score := found(models)
	at := func(name string) float64 {
		if s, ok := score[name]; ok {
			return s
		}
		return -1
	}
	var names []string
	for _, row := range models[0].Table.Rows {
		names = append(names, row.Method.Name)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(at(b), at(a)), strings.Compare(a, b)) })
	return names
}

func find(m Model, name string) *faithful.Row {
	for i, row := range m.Table.Rows {
		if row.Method.Name == name {
			return &m.Table.Rows[i]
		}
	}
	return nil
}

// precision is a method's precision at k, by signed score, on a model's verified items, or -1 if there is none.
func precision(m Model, name string) float64 {
	row := find(m, name)
	if row == nil || row.Verified == nil {
		return -1
	}
	return row.Verified.Signed.Precision.Mean
}

// of is the models of an architecture.
func (r *Result) of(arch string) []Model {
	var ms []Model
	for _, m := range r.Models {
		if m.Arch == arch {
			ms = append(ms, m)
		}
	}
	return ms
}
