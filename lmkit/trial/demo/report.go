package demo

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
)

// report adds a model's sections.
func (d *demo) report(ctx context.Context, m *lm.Model, item plant.Item, as []*explain.Attribution, curves plot.Curves,
	score string) error {
	name := names[m.Config().Arch]
	comparison, err := render.Compare(as...)
	if err != nil {
		return err
	}
	found := []string{}
	for _, a := range as {
		found = append(found, a.Method.Name+" "+verdict(a, item))
	}
	main := slices.IndexFunc(as, func(a *explain.Attribution) bool { return a.Method.Name == "integrated-gradients" })
	d.sections = append(d.sections,
		render.Section{Heading: name + ": how it learned", Paragraphs: []string{score}, Figures: []plot.Figure{curves}},
		render.Section{Heading: name + ": why it answers “" + item.Label + "”",
			Paragraphs: []string{"The planted cause, in brackets: " + d.truth(item) + "."},
			Figures:    render.Figures(as[main])},
		render.Section{Heading: name + ": all methods side by side",
			Paragraphs: []string{"Where each ranks the planted cause: " + strings.Join(found, "; ") + "."},
			Figures:    []plot.Figure{comparison}})
	if m.Config().Attends() {
		s, err := attention(ctx, m, as[0])
		if err != nil {
			return err
		}
		d.sections = append(d.sections, s)
		return nil
	}
	s, err := gates(ctx, m, as[0])
	if err != nil {
		return err
	}
	d.sections = append(d.sections, s)
	return nil
}

// attention shows where each head looks.
func attention(ctx context.Context, m *lm.Model, a *explain.Attribution) (render.Section, error) {
	s := render.Section{Heading: "Transformer: where each head looks", Paragraphs: []string{
		"Rows are the tokens that read, columns those that are read. What a head looks at is not yet what decides: " +
			"compare with the scores above."}}
	ids, labels := tokens(a)
	var taps []lm.Tap
	for l := range m.Config().Layers {
		taps = append(taps, fmt.Sprintf("block.%d.attn.pattern", l))
	}
	at, err := m.Trace(ctx, ids, taps)
	if err != nil {
		return s, err
	}
	p := plot.Picker{Title: "Layer"}
	for l, tap := range taps {
		g := plot.Grid{Title: fmt.Sprintf("Layer %d", l)}
		for h := range m.Config().Heads {
			g.Matrices = append(g.Matrices, plot.Matrix{Title: fmt.Sprintf("head %d", h), Rows: labels, Cols: labels,
				RowName: "reads", ColName: "is read",
				Data: matrix(at[tap].Index(0, h)), Max: 1})
		}
		p.Tabs = append(p.Tabs, plot.Tab{Name: fmt.Sprint(l), Figure: g})
	}
	s.Figures = []plot.Figure{p}
	return s, nil
}

// gates shows what an LSTM keeps and forgets while it reads.
func gates(ctx context.Context, m *lm.Model, a *explain.Attribution) (render.Section, error) {
	s := render.Section{Heading: "LSTM: what it keeps while it reads", Paragraphs: []string{
		"Each column is a token, each row a unit of the cell. The forget gate near 1 keeps what the cell holds; the cell " +
			"is what is held."}}
	ids, labels := tokens(a)
	p := plot.Picker{Title: "Show"}
	for _, of := range []struct {
		name, tap string
		scale     plot.Scale
	}{{"forget gate", "lstm.0.gate.f", plot.Sequential}, {"input gate", "lstm.0.gate.i", plot.Sequential},
		{"cell", "lstm.0.cell", plot.Diverging}} {
		at, err := m.Trace(ctx, ids, []lm.Tap{of.tap})
		if err != nil {
			return s, err
		}
		x := matrix(at[of.tap].Index(0)) // [T, H]
		units := make([][]float64, min(32, len(x[0])))
		for u := range units {
			for t := range x {
				units[u] = append(units[u], x[t][u])
			}
		}
		p.Tabs = append(p.Tabs, plot.Tab{Name: of.name,
			Figure: plot.Matrix{Title: fmt.Sprintf("%s, first %d units", of.name, len(units)), Cols: labels,
				RowName: "unit", ColName: "token", Data: units, Scale: of.scale}})
	}
	s.Figures = []plot.Figure{p}
	return s, nil
}

func tokens(a *explain.Attribution) (ids [][]token.ID, labels []string) {
	ids = make([][]token.ID, 1)
	for _, t := range a.Tokens {
		ids[0] = append(ids[0], token.ID(t.ID))
		labels = append(labels, t.Text)
	}
	return ids, labels
}

// matrix is an array of two axes.
func matrix(a lm.Array) [][]float64 {
	out := make([][]float64, a.Dims[0])
	for i := range out {
		for _, v := range a.Index(i).Data {
			out[i] = append(out[i], float64(v))
		}
	}
	return out
}

// write writes the page, whole or not at all.
func (d *demo) write() error {
	r := render.Report{Title: "lmkit: language models, explained", Sections: d.sections,
		Intro: "A Transformer and an LSTM learned which verb follows a noun phrase. Only its first noun decides. " +
			"Each explanation below carries its own evidence, and the planted truth stands beside it."}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		return err
	}
	if err := whole.Replace(d.Report, page.Bytes()); err != nil {
		return cannotWrite(err)
	}
	d.finish()
	return nil
}

// writable finds out before the work begins whether the report can be written.
func writable(report string) error {
	if err := whole.Replaceable(report, []byte("<!DOCTYPE html>")); err != nil {
		return cannotWrite(err)
	}
	return nil
}

func cannotWrite(err error) error {
	return fmt.Errorf("the report could not be written: %w; name another file with --report", err)
}
