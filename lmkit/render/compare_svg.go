package render

import (
	"io"
	"strings"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// SVG draws the comparison as a table: features as rows, methods as columns, evidence and agreement below.
func (c *Comparison) SVG(w io.Writer) error { return canvas.WriteSVG(w, c) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (c *Comparison) PNG(w io.Writer) error { return canvas.WritePNG(w, c) }

// Draw gathers the shapes that SVG and PNG write.
func (c *Comparison) Draw() (*canvas.Canvas, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	const size, row, wide = 12.0, 22.0, 176.0
	first := 92.0
	for f := range c.Attributions[0].Features {
		first = max(first, canvas.MonoWidth(featureName(c.Attributions[0], f, 24), size)+14)
	}
	g := canvas.New(max(2*canvas.Margin+first+wide*float64(len(c.Attributions)), 420))
	g.Heading("Methods side by side")
	for _, a := range c.Attributions {
		drawWarnings(g, printable.Line(a.Method.Name)+": ", a.Warnings)
	}
	right := func(k int) float64 { return canvas.Margin + first + wide*float64(k+1) - 8 }
	for k, a := range c.Attributions {
		g.Text(
			right(k),
			g.Y+14,
			canvas.Label{Size: size, Anchor: "end", Bold: true},
			printable.Shorten(printable.Line(a.Method.Name), 24),
		)
	}
	g.Y += row
	for f := range c.Attributions[0].Features {
		g.Text(canvas.Margin, g.Y+15, canvas.Label{Size: size, Mono: true}, featureName(c.Attributions[0], f, 24))
		for k, a := range c.Attributions {
			top := canvas.Largest(a.Scores)
			fill := canvas.Diverging(canvas.Ratio(a.Scores[f], top))
			g.Rect(right(k)-wide+10, g.Y+1, wide-4, row-2, canvas.Style{Fill: fill.Hex(), Radius: 2}, "")
			label := canvas.Label{Size: size, Mono: true, Anchor: "end", Fill: fill.Ink()}
			g.Text(right(k), g.Y+15, label, scoreText(a, f, printable.ScoreFormat(top)))
		}
		g.Y += row
	}
	g.Y += 4
	g.Line(canvas.Margin, g.Y, g.Width-canvas.Margin, g.Y, canvas.LineSoft)
	for _, e := range c.evidence() {
		drawEvidence(g, e, right, 28)
	}
	g.Y += 6
	for _, p := range c.Pairs {
		said := "agreement " + agreementText(p, c.K) + "  " + c.methods(p)
		g.Paragraph(canvas.Margin, canvas.Label{Size: 11.5}, said)
	}
	g.Y += 4
	for _, n := range c.notes() {
		g.Paragraph(canvas.Margin, canvas.Label{Size: 10.5, Fill: canvas.InkSoft}, n)
	}
	return g.Done("table: methods side by side")
}

func drawEvidence(c *canvas.Canvas, e evidenceRow, right func(int) float64, columns int) {
	const step = 15.0
	c.Text(canvas.Margin, c.Y+13, canvas.Label{Size: 11, Fill: canvas.InkSoft}, e.Name)
	height := 1
	for k, cell := range e.Cells {
		l := canvas.Label{Size: 11, Anchor: "end"}
		if cell.Bad {
			l.Bold, l.Fill = true, "#a63603"
		}
		lines := printable.Wrap(cell.Text, columns)
		for i, s := range lines {
			c.Text(right(k), c.Y+13+step*float64(i), l, strings.TrimSpace(s))
		}
		height = max(height, len(lines))
	}
	c.Y += step*float64(height) + 2
}
