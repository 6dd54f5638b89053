package render

import (
	"fmt"
	"io"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// Matrix is a matrix of scores as a figure: a chart of its numbers, with its warnings above and its evidence below.
type Matrix struct{ *explain.Matrix }

// SVG draws the chart, the warnings and the evidence as one picture.
func (m Matrix) SVG(w io.Writer) error { return canvas.WriteSVG(w, m) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (m Matrix) PNG(w io.Writer) error { return canvas.WritePNG(w, m) }

// Draw gathers the shapes that SVG and PNG write.
func (m Matrix) Draw() (*canvas.Canvas, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the matrix: %w", err)
	}
	chart, err := m.chart().Draw()
	if err != nil {
		return nil, err
	}
	var parts []*canvas.Canvas
	if len(m.Warnings) > 0 {
		above := canvas.New(canvas.PictureWidth)
		drawWarnings(above, "", m.Warnings)
		parts = append(parts, above)
	}
	below := canvas.New(canvas.PictureWidth)
	for _, f := range matrixFacts(m.Matrix) {
		drawFact(below, f)
	}
	return canvas.Stack(append(parts, chart, below)...).Done(matrixHeading(m.Matrix))
}

// Text writes the warnings, the numbers and the evidence for a terminal.
func (m Matrix) Text(w io.Writer, o plot.Options) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("cannot draw the matrix: %w", err)
	}
	t := printable.NewLines(o.Color, o.Width)
	writeWarnings(t, m.Warnings)
	if err := t.Flush(w); err != nil {
		return err
	}
	if err := m.chart().Text(w, o); err != nil {
		return err
	}
	t = printable.NewLines(o.Color, o.Width)
	t.Line("")
	writeFacts(t, matrixFacts(m.Matrix))
	return t.Flush(w)
}

// chart is the numbers alone.
func (m Matrix) chart() plot.Matrix {
	return plot.Matrix{
		Title: matrixHeading(m.Matrix), Rows: m.Rows, Cols: m.Columns,
		RowName: m.Axes[0], ColName: m.Axes[1], Data: m.Values,
	}
}

func matrixHeading(m *explain.Matrix) string {
	return printable.Line(m.Method.Name) + ": " + questionOf(m.Objective, m.Target, m.Foil)
}

// matrixFacts says the evidence of a matrix in a fixed order. What was not measured is said too.
func matrixFacts(m *explain.Matrix) []fact {
	fs := []fact{
		{
			Name: "asked",
			Text: fmt.Sprintf("%s (objective: %s)", questionOf(m.Objective, m.Target, m.Foil), printable.Line(m.Objective)),
		},
		{Name: "values", Text: fmt.Sprintf("%d x %d (%s by %s), in %s",
			len(m.Rows), len(m.Columns), printable.Line(m.Axes[0]), printable.Line(m.Axes[1]), printable.Line(m.Unit))},
		{Name: "value", Text: fmt.Sprintf("%s on the input, %s on the baseline%s: a difference of %s",
			printable.Number(m.Value), printable.Number(m.Base), overBaselines(m.Baseline), printable.Number(m.Value-m.Base))},
		{Name: "baseline", Text: baseline(m.Baseline)},
		matrixCompleteness(m),
	}
	if note := choiceNote(m.Choice, m.Target); note != "" {
		fs = slices.Insert(fs, 1, fact{Name: "note", Text: note})
	}
	if m.Spread != nil {
		largest := 0.0
		for _, row := range m.Spread {
			largest = max(largest, canvas.Largest(row))
		}
		fs = append(
			fs,
			fact{Name: "spread", Text: fmt.Sprintf("the standard error of a value is at most %s", printable.Number(largest))},
		)
	}
	if h := m.Evidence.Held; h != nil {
		fs = append(fs, fact{Name: "held", Text: held(m.Tokens, h)})
	}
	return append(
		fs,
		fact{Name: "cost", Text: cost(m.Cost)},
		fact{Name: "origin", Text: origin(m.Seed, m.ModelHash, m.InputHash)},
	)
}

func matrixCompleteness(m *explain.Matrix) fact {
	c, p := m.Evidence.Completeness, m.Promise
	if c == nil || p == nil {
		return fact{Name: "completeness", Text: "not promised: the values need not add up"}
	}
	what, off := "the values add up to", "off by"
	switch p.Each {
	case explain.EachRow:
		what, off = "every row adds up to", "the worst is off by"
	case explain.Diagonal:
		what = "the diagonal adds up to"
	}
	f := fact{Name: "completeness", Bad: !c.Holds}
	verdict := "holds"
	if f.Bad {
		verdict = "DOES NOT HOLD"
	}
	f.Text = fmt.Sprintf(
		"%s: %s %s (%s); %s %s (%s, tolerance %s)",
		verdict,
		what,
		printable.Number(p.Total),
		printable.Line(p.Of),
		off,
		printable.Number(c.Error),
		printable.Percent(c.Relative),
		printable.Percent(c.Tolerance),
	)
	return f
}
