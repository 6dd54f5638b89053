package board

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"

	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/render"
)

// Comparison says how the same methods do on the same facts against several baselines.
type Comparison struct {
	Schema    int       `json:"schema"`
	Config    Config    `json:"config"`
	Facts     *Facts    `json:"facts"`
	Baselines []Against `json:"baselines"`
}

// Against is a board against one baseline.
type Against struct {
	Name   string  `json:"name"`   // as it was asked for
	Is     string  `json:"is"`     // as in explain.Question
	Models []Model `json:"models"` // a relation each
}

// Baselines are those that RunBaselines compares by default. All but random are those of explain.Question; it is some
// random tokens, whose results are averaged.
func Baselines() []string { return []string{"mean", "zero", "end", "space", "newline", "random"} }

// averaged is how many tokens the baseline random is.
const averaged = 4

// RunBaselines ranks the methods (nil: integrated gradients and occlusion) on the facts that a model follows, against
// each of some baselines (none: those that [Baselines] names). Where ctx ends, the baselines that were done come back
// with the error.
func RunBaselines(
	ctx context.Context, m *lm.Model, all []facts.Fact, c Config, names []string, hears progress.Func,
) (*Comparison, error) {
	if c.Methods == nil {
		c.Methods = []string{"integrated-gradients", "occlusion"}
	}
	if len(names) == 0 {
		names = Baselines()
	}
	c, methods, err := c.forFacts(m, all)
	if err != nil {
		return nil, err
	}
	out := &Comparison{Schema: Schema, Config: c}
	var is []string
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("the baseline %s was given twice", name)
		}
		is = append(is, c.baseline(m, name))
	}
	kept, about, err := follow(ctx, m, all, c, hears)
	if err != nil {
		return nil, err
	}
	out.Facts = about
	for i, name := range names { // before the first of them has taken minutes
		q := kept[0].Case.Question
		q.Baseline = is[i]
		if _, err := explain.Prepare(ctx, m, q); err != nil {
			return nil, fmt.Errorf("the baseline %s: %w", name, err)
		}
	}
	for i, name := range names {
		c.Baseline = is[i]
		about := *about
		r, err := runCases(ctx, m, kept, &about, methods, c, hears)
		if err != nil && (ctx.Err() == nil || out.Baselines == nil) {
			return nil, fmt.Errorf("the baseline %s: %w", name, err)
		}
		if err != nil {
			out.Facts.Stopped = true
			return out, err
		}
		out.Facts.Scored = about.Scored
		out.Baselines = append(out.Baselines, Against{Name: name, Is: is[i], Models: r.Models})
	}
	return out, nil
}

// baseline is a baseline by its name, as a question has it.
func (c Config) baseline(m *lm.Model, name string) string {
	if name != "random" {
		return name
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0))
	var ids []string
	for range averaged {
		ids = append(ids, fmt.Sprintf("#%d", rng.IntN(m.Config().Vocab)))
	}
	return strings.Join(ids, ",")
}

// over is the mean of a number over the relations that have it.
func (a Against) over(of func(Model) (float64, bool)) mean {
	var all mean
	for _, m := range a.Models {
		if x, ok := of(m); ok {
			all.add(x)
		}
	}
	return all
}

// Text writes a line a baseline.
func (c *Comparison) Text(w io.Writer) error {
	fmt.Fprintf(w, "%s: what an absent word is replaced with, measured on %d facts of %s\n\n", c.Facts.Model,
		c.Facts.Scored, c.Facts.Source)
	tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t") }
	row(append(append([]string{"baseline"}, c.Config.Methods...), "cause needed", "cause enough", "adds up", "rows")...)
	for _, a := range c.Baselines {
		row(c.line(a)...)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	stopped := ""
	if c.Facts.Stopped {
		stopped = "STOPPED: these are the baselines that were done. "
	}
	_, err := fmt.Fprint(w, "\n"+wrap(stopped+"Under a method: how much of the true cause it ranks first (precision at "+
		"k, by signed score), with its interval. cause needed: share of the facts on which the baseline in place of the "+
		"cause costs at least half of the margin. cause enough: share on which the cause alone, all else replaced, keeps "+
		"the answer. adds up: share on which the scores of methods that promise a sum keep it. rows: through the model, of "+
		"all methods. All are means over the relations. random: the mean of the results against "+fmt.Sprint(averaged)+
		" tokens."))
	return err
}

func (c *Comparison) line(a Against) []string {
	cells := []string{a.Name}
	var adds, rows mean
	for _, name := range c.Config.Methods {
		found := a.over(func(m Model) (float64, bool) { p := precision(m, name); return p, p >= 0 })
		cells = append(cells, found.text("%.2f")+fmt.Sprintf(" ±%.2f", half(a.Models, name)))
		of := a.over(func(m Model) (float64, bool) {
			row := find(m, name)
			if row.AddsUp == nil {
				return 0, false
			}
			return row.AddsUp.Mean, true
		})
		if of.n > 0 {
			adds.add(of.sum / float64(of.n))
		}
		cost := a.over(func(m Model) (float64, bool) { return find(m, name).Rows, true })
		rows.add(cost.sum / float64(cost.n))
	}
	needed := a.over(func(m Model) (float64, bool) { return m.Table.Necessary.Mean, true })
	enough := a.over(func(m Model) (float64, bool) { return m.Table.Sufficient.Mean, true })
	return append(cells, needed.text("%.2f"), enough.text("%.2f"), adds.text("%.2f"), fmt.Sprintf("%.0f", rows.sum))
}

// JSON writes the comparison for programs.
func (c *Comparison) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(c)
}

// HTML writes the comparison as a page with a picture a method: baselines by relations.
func (c *Comparison) HTML(w io.Writer) error {
	page := render.Report{Title: "What is an absent word replaced with?",
		Intro: fmt.Sprintf("The model %s answers each fact right, and gives the other answer once one word is replaced: "+
			"this word is the true cause. The darker, the more of it a method ranks first against a baseline. %d facts of %s.",
			c.Facts.Model, c.Facts.Scored, c.Facts.Source)}
	for _, name := range c.Config.Methods {
		m := plot.Matrix{Title: name + ": precision at k", Max: 1}
		for _, a := range c.Baselines {
			m.Rows = append(m.Rows, a.Name)
			m.Cols = nil
			var row []float64
			for _, x := range a.Models {
				m.Cols = append(m.Cols, x.Task)
				row = append(row, max(0, precision(x, name)))
			}
			m.Data = append(m.Data, row)
		}
		page.Sections = append(page.Sections, render.Section{Heading: name, Figures: []plot.Figure{m}})
	}
	return page.HTML(w)
}
