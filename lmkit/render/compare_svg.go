package render

import (
	"io"
	"strings"
)

// SVG draws the comparison as a table: features as rows, methods as columns, evidence and agreement below.
func (c *Comparison) SVG(w io.Writer) error { return writeSVG(w, c) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (c *Comparison) PNG(w io.Writer) error { return writePNG(w, c) }

func (c *Comparison) draw() (*canvas, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	const size, row, wide = 12.0, 22.0, 176.0
	first := 92.0
	for f := range c.Attributions[0].Features {
		first = max(first, monoWidth(featureName(c.Attributions[0], f, 24), size)+14)
	}
	g := newCanvas(max(2*margin+first+wide*float64(len(c.Attributions)), 420))
	g.heading("Methods side by side")
	for _, a := range c.Attributions {
		g.warnings(line(a.Method.Name)+": ", a.Warnings)
	}
	right := func(k int) float64 { return margin + first + wide*float64(k+1) - 8 }
	for k, a := range c.Attributions {
		g.text(right(k), g.y+14, label{size: size, anchor: "end", bold: true}, shorten(line(a.Method.Name), 24))
	}
	g.y += row
	for f := range c.Attributions[0].Features {
		g.text(margin, g.y+15, label{size: size, mono: true}, featureName(c.Attributions[0], f, 24))
		for k, a := range c.Attributions {
			top := largest(a.Scores)
			fill := diverging(ratio(a.Scores[f], top))
			g.rect(right(k)-wide+10, g.y+1, wide-4, row-2, style{fill: fill.hex(), radius: 2}, "")
			g.text(right(k), g.y+15, label{size: size, mono: true, anchor: "end", fill: fill.ink()}, scoreFormat(top)(a.Scores[f]))
		}
		g.y += row
	}
	g.y += 4
	g.line(margin, g.y, g.width-margin, g.y, lineSoft)
	for _, e := range c.evidence() {
		g.evidence(e, right, 28)
	}
	g.y += 6
	for _, p := range c.Pairs {
		g.paragraph(margin, label{size: 11.5}, "agreement "+agreementText(p, c.K)+"  "+line(c.Attributions[p.A].Method.Name)+" / "+line(c.Attributions[p.B].Method.Name))
	}
	g.y += 4
	for _, n := range c.notes() {
		g.paragraph(margin, label{size: 10.5, fill: inkSoft}, n)
	}
	return g.done("table: methods side by side")
}

func (c *canvas) evidence(e evidenceRow, right func(int) float64, columns int) {
	const step = 15.0
	c.text(margin, c.y+13, label{size: 11, fill: inkSoft}, e.name)
	height := 1
	for k, cell := range e.cells {
		l := label{size: 11, anchor: "end"}
		if cell.bad {
			l.bold, l.fill = true, "#a63603"
		}
		lines := wrap(cell.text, columns)
		for i, s := range lines {
			c.text(right(k), c.y+13+step*float64(i), l, strings.TrimSpace(s))
		}
		height = max(height, len(lines))
	}
	c.y += step*float64(height) + 2
}
