package board

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// InsideConfig says what a board of what is inside models ranks ways on. Zero values are the usual choice.
type InsideConfig struct {
	Tasks []string `json:"tasks"` // nil: all of InsideTasks; of facts their relations, nil: all
	Items int      `json:"items"` // texts of each; 0: 20, of facts 2 of each relation
	Steps int      `json:"steps"` // of training, at the most; 0: 3,000
	Seed  uint64   `json:"seed"`

	// Of a board on facts that a model follows.
	Model string `json:"model,omitempty"`
	Facts string `json:"facts,omitempty"` // the name of their file
}

// Inside is a board of the ways to find the parts of a model that a prediction goes by.
type Inside struct {
	Schema int           `json:"schema"`
	Config InsideConfig  `json:"config"`
	Models []InsideModel `json:"models"`
	Left   []Left        `json:"left,omitempty"` // facts that are no part of the board
}

// InsideModel is how the ways did on one task.
type InsideModel struct {
	Task  string  `json:"task"`
	Steps int     `json:"steps,omitempty"` // of training
	Loss  float64 `json:"loss,omitempty"`  // on unseen texts, in nats
	Items int     `json:"items"`           // texts
	// Parts are heads, such as "1.3", and feed-forward layers; Truth what the prediction loses without each, as a share
	// of the difference between a text and its corrupted version: the mean over the texts.
	Parts []string  `json:"parts"`
	Truth []float64 `json:"truth"`
	Ways  []Way     `json:"ways"` // the best first
	Out   []int     `json:"out"`  // how many parts are taken out at each place of a curve
}

// Way is how well a way finds the parts.
type Way struct {
	Name string `json:"name"`
	// Found is the share of pairs of a part that matters, whose loss is a tenth of the difference or more, and one that
	// does not, in which the way puts the first before the second: 0.5 by chance.
	Found faithful.Interval `json:"found"`
	Rank  faithful.Interval `json:"rank"` // Spearman's correlation of its scores' sizes with the losses' sizes
	// Left is the share of the difference that is left when its first parts are taken out together; Area the mean of it.
	Left []float64         `json:"left"`
	Area faithful.Interval `json:"area"`
}

// matters is the share of the difference from which a part is one that matters.
const matters = 0.1

// leastMeans is over how many texts the means are taken that stand in a part's place, at least: the mean over few is
// what the part has anyway.
const leastMeans = 20

// Validate says what is wrong with a configuration of planted tasks, if anything.
func (c InsideConfig) Validate() error {
	for _, t := range c.Tasks {
		if !slices.Contains(InsideTasks(), t) {
			return fmt.Errorf("there is no task %q inside; there are %s", t, strings.Join(InsideTasks(), ", "))
		}
	}
	if c.Items < 0 || c.Items > maxItems || c.Steps < 0 {
		return fmt.Errorf("%d texts and %d steps: give numbers above 0, and at most %d texts", c.Items, c.Steps, maxItems)
	}
	return nil
}

// RunInside trains a small Transformer on each task, and compares the ways to find its parts with what taking each part
// out does: it gets its mean over the texts. Where ctx ends, the tasks that were done come back with the error.
func RunInside(ctx context.Context, e *backend.Engine, c InsideConfig, hears progress.Func) (*Inside, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Tasks == nil {
		c.Tasks = InsideTasks()
	}
	if c.Items == 0 {
		c.Items = 20
	}
	r := &Inside{Schema: Schema, Config: c}
	for _, t := range insideTasks {
		if !slices.Contains(c.Tasks, t.name) {
			continue
		}
		m, err := c.task(ctx, e, t, hears)
		if err != nil {
			err = fmt.Errorf("leaderboard: %s: %w", t.name, err)
			if ctx.Err() != nil && r.Models != nil {
				return r, err
			}
			return nil, err
		}
		r.Models = append(r.Models, *m)
	}
	return r, nil
}

// task trains a model, and has its texts ranked.
func (c InsideConfig) task(
	ctx context.Context, e *backend.Engine, t insideTask, hears progress.Func,
) (*InsideModel, error) {
	told := func(e progress.Event) {
		e.What = t.name + ": " + e.What
		hears.Tell(e)
	}
	trained, err := t.learn(ctx, e, c, told)
	if err != nil {
		return nil, err
	}
	m := trained.Model
	defer m.Close()
	texts, err := t.draw(rand.New(rand.NewPCG(c.Seed, 77)), max(c.Items, leastMeans))
	if err != nil {
		return nil, err
	}
	means, err := meansOf(ctx, m, texts)
	if err != nil {
		return nil, err
	}
	k := &knockouts{model: m, means: means, seed: c.Seed, full: true}
	texts = texts[:min(len(texts), c.Items)]
	for i, x := range texts {
		progress.Func(told).At("take parts out", int64(i), int64(len(texts)), "texts")
		q := explain.Question{IDs: x.clean, Target: []token.ID{x.target}, Foil: []token.ID{x.foil}}
		if err := k.add(ctx, q, inspect.Parts{IDs: x.corrupted, Means: means}); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue // the model hardly tells the two apart
		}
	}
	out, err := k.tabulate(t.name)
	if err != nil {
		return nil, fmt.Errorf("after %d steps, loss %.3g: %w", trained.Steps, trained.Loss, err)
	}
	out.Steps, out.Loss = trained.Steps, trained.Loss
	return out, nil
}

// meansOf is what each part has on the mean over the clean texts, position by position.
func meansOf(ctx context.Context, m *lm.Model, texts []contrast) (map[lm.Tap]lm.Array, error) {
	q := lm.Query{}
	for l := range m.Config().Layers {
		q.Taps = append(q.Taps, fmt.Sprintf("block.%d.attn.z", l), fmt.Sprintf("block.%d.mlp.out", l))
	}
	for _, x := range texts {
		q.Rows = append(q.Rows, x.clean)
	}
	a, err := m.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	means := map[lm.Tap]lm.Array{}
	for tap, x := range a.At {
		mean := make([]float32, len(x.Data)/len(texts))
		for i, v := range x.Data {
			mean[i%len(mean)] += v / float32(len(texts))
		}
		means[tap] = lm.Array{Dims: append([]int{1}, x.Dims[1:]...), Data: mean}
	}
	return means, nil
}

// RunInsideFacts compares the ways on facts that a model follows, some of each relation. A part is taken out by what it
// has in the text with the other word. Where ctx ends, what was done comes back with the error.
func RunInsideFacts(
	ctx context.Context, m *lm.Model, all []facts.Fact, c InsideConfig, hears progress.Func,
) (*Inside, error) {
	full := Config{Tasks: c.Tasks, Items: maxItems, Model: c.Model, Facts: c.Facts}
	if full.Tasks == nil {
		full.Tasks = relationsOf(all)
	}
	kept, about, err := follow(ctx, m, all, full, hears)
	if err != nil {
		return nil, err
	}
	if c.Tasks = full.Tasks; c.Items == 0 {
		c.Items = 2
	}
	r := &Inside{Schema: Schema, Config: c, Left: about.Left}
	for _, relation := range c.Tasks {
		k := &knockouts{model: m, seed: c.Seed}
		for _, f := range kept {
			if f.Fact.Relation != relation || len(k.scores) == c.Items {
				continue
			}
			hears.At(relation+": take parts out", int64(len(k.scores)), int64(c.Items), "facts")
			err := k.add(ctx, f.Case.Question, inspect.Parts{Corrupted: f.Fact.Changed()})
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			if err != nil {
				r.Left = append(r.Left, Left{f.Fact.Line, f.Fact.Text(), err.Error()})
			}
		}
		if len(k.scores) == 0 {
			continue
		}
		out, err := k.tabulate(relation)
		if err != nil {
			return nil, err
		}
		r.Models = append(r.Models, *out)
	}
	if r.Models == nil {
		return nil, errors.New("of no fact parts could be taken out: " + r.Left[len(r.Left)-1].Why)
	}
	return r, nil
}

// JSON writes the board for programs.
func (r *Inside) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// size is how large each score is.
func size(values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = math.Abs(v)
	}
	return out
}
