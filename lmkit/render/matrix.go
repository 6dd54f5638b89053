package render

import (
	"fmt"
	"io"
	"strings"

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
		RowName: m.Axes[0], ColName: m.Axes[1], Data: m.Values, Words: m.Words,
	}
}

func matrixHeading(m *explain.Matrix) string {
	if m.About != "" {
		return printable.Line(m.Method.Name) + ": " + printable.Line(m.About)
	}
	return printable.Line(m.Method.Name) + ": " + questionOf(m.Objective, m.Asked())
}

// matrixFacts says the evidence of a matrix in a fixed order. What was not measured is said too.
func matrixFacts(m *explain.Matrix) []fact {
	fs := matrixAsked(m)
	for _, note := range m.Notes {
		fs = append(fs, fact{Name: "found", Text: printable.Line(note)})
	}
	if m.Promise != nil || len(m.Evidence.Identities) == 0 {
		fs = append(fs, matrixCompleteness(m))
	}
	if len(m.Evidence.Rows) > 0 {
		fs = append(fs, eachRow(m)...)
	}
	for _, i := range m.Evidence.Identities {
		fs = append(fs, identity(i))
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
	if v := m.Evidence.Float32; v != nil {
		fs = append(fs, fact{Name: "precision", Text: precision(m.Value, *v, m.Unit)})
	}
	return append(
		fs,
		fact{Name: "cost", Text: cost(m.Cost)},
		fact{Name: "origin", Text: origin(m.Seed, m.ModelHash, m.InputHash)},
	)
}

// matrixAsked says what was asked of the model, if it was about a token, and what the values are.
func matrixAsked(m *explain.Matrix) (fs []fact) {
	values := fact{Name: "values", Text: fmt.Sprintf("%d x %d (%s by %s), in %s",
		len(m.Rows), len(m.Columns), printable.Line(m.Axes[0]), printable.Line(m.Axes[1]), printable.Line(m.Unit))}
	if m.Objective == "" {
		return []fact{values}
	}
	asked := fact{Name: "asked", Text: questionOf(m.Objective, m.Asked())}
	if m.About != "" {
		asked = fact{Name: "followed", Text: strings.TrimPrefix(asked.Text, "why ")}
	}
	asked.Text += fmt.Sprintf(" (objective: %s)", printable.Line(m.Objective))
	fs = append(fs, asked)
	if note := choiceNote(m.Asked()); note != "" {
		fs = append(fs, fact{Name: "note", Text: note})
	}
	fs = append(fs, values)
	if m.Baseline == "none" {
		return append(fs, fact{Name: "value", Text: printable.Number(m.Value) + " on the input"})
	}
	return append(fs, fact{Name: "value", Text: fmt.Sprintf("%s on the input, %s on the baseline%s: a difference of %s",
		printable.Number(m.Value), printable.Number(m.Base), overBaselines(m.Baseline), printable.Number(m.Value-m.Base))},
		fact{Name: "baseline", Text: baseline(m.Baseline)})
}

// identity says whether an identity holds.
func identity(i explain.Identity) fact {
	f := fact{Name: "identity", Bad: !i.Holds, Text: "holds"}
	if f.Bad {
		f.Text = "DOES NOT HOLD"
	}
	f.Text += fmt.Sprintf(": %s: %s, must be %s (within %s)", printable.Line(i.Name), printable.Number(i.Got),
		printable.Number(i.Want), printable.Number(i.Tolerance))
	return f
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
		if p.Totals != nil {
			what = "every row adds up to its own total, all of them to"
		}
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
