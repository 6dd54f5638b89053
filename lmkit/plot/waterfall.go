package plot

import (
	"fmt"
	"io"
	"math"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Waterfall draws a sum term by term, each starting where the one before ended.
type Waterfall struct{ Sum }

// SVG draws the terms from the largest to the smallest, from the base at the top to the value at the bottom.
func (f Waterfall) SVG(w io.Writer) error { return canvas.WriteSVG(w, f) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (f Waterfall) PNG(w io.Writer) error { return canvas.WritePNG(w, f) }

// Text writes the sum as a column of numbers.
func (f Waterfall) Text(w io.Writer, o Options) error { return f.Sum.text(w, o) }

// Draw gathers the shapes that SVG and PNG write.
func (f Waterfall) Draw() (*canvas.Canvas, error) {
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the waterfall %q: %w", f.Title, err)
	}
	c := canvas.New(canvas.PictureWidth)
	c.Heading(f.Title)
	terms := f.ranked(mostTerms)
	x := axis{}
	x.include(f.Base)
	x.include(f.Value)
	at, top, first := f.Base, 0.0, 0.0
	baseName, valueName := f.ends()
	for _, n := range []string{baseName, valueName} {
		first = max(first, canvas.MonoWidth(n, 12))
	}
	for _, t := range terms {
		at += t.Value
		x.include(at)
		top = max(top, math.Abs(t.Value))
		first = max(first, canvas.MonoWidth(barName(t.Name), 12))
	}
	x.open()
	format := printable.ScoreFormat(top)
	room := canvas.MonoWidth(format(top), 11) + 8
	x.from, x.to = canvas.Margin+first+16+room, c.Width-canvas.Margin-room
	const row = 24.0
	c.Y += 4
	end := func(name string, v float64) {
		c.Text(canvas.Margin, c.Y+row/2+4, canvas.Label{Size: 12, Mono: true, Bold: true}, name)
		c.Circle(x.at(v), c.Y+row/2, 4, canvas.Style{Fill: canvas.InkDark}, name+": "+printable.Number(v))
		c.Text(x.at(v)+9, c.Y+row/2+4, canvas.Label{Size: 11, Mono: true, Bold: true}, printable.Number(v))
		c.Y += row
	}
	end(baseName, f.Base)
	at = f.Base
	for _, t := range terms {
		c.Line(x.at(at), c.Y-row/2+7, x.at(at), c.Y+3, "#b9bec7")
		drawStep(c, t, x, at, format, row)
		at += t.Value
		c.Y += row
	}
	c.Line(x.at(at), c.Y-3, x.at(at), c.Y+row/2-4, "#b9bec7")
	end(valueName, f.Value)
	if f.Unit != "" {
		c.Y += 12
		c.Text(canvas.Margin, c.Y, canvas.Label{Size: 11, Fill: canvas.InkSoft}, "in "+printable.Line(f.Unit))
	}
	return c.Done("waterfall: " + printable.Line(f.Title))
}

// drawStep draws one term of a waterfall, with its number on the side to which it goes.
func drawStep(c *canvas.Canvas, t Term, x axis, at float64, format func(float64) string, row float64) {
	c.Text(canvas.Margin, c.Y+row/2+4, canvas.Label{Size: 12, Mono: true}, barName(t.Name))
	from, to := x.at(at), x.at(at+t.Value)
	s := canvas.Style{Fill: signColor(t.Value), Radius: 1.5}
	if t.Name == leftOver {
		s = canvas.Style{Fill: "#ffffff", Stroke: canvas.InkSoft, Dash: "3 2", Radius: 1.5}
	}
	c.Rect(min(from, to), c.Y+3, max(1, math.Abs(to-from)), row-6, s, barName(t.Name)+": "+format(t.Value))
	l := canvas.Label{Size: 11, Mono: true, Fill: canvas.InkSoft}
	if t.Value < 0 {
		l.Anchor = "end"
		c.Text(to-6, c.Y+row/2+4, l, format(t.Value))
		return
	}
	c.Text(to+6, c.Y+row/2+4, l, format(t.Value))
}
