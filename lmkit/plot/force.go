package plot

import (
	"fmt"
	"io"
	"math"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Force draws a sum as one bar: what pushes the number up meets what pushes it down where the number is.
type Force struct{ Sum }

// SVG draws the terms as arrows, the largest next to the value.
func (f Force) SVG(w io.Writer) error { return canvas.WriteSVG(w, f) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (f Force) PNG(w io.Writer) error { return canvas.WritePNG(w, f) }

// Text writes the sum as a column of numbers.
func (f Force) Text(w io.Writer, o Options) error { return f.Sum.text(w, o) }

// Draw gathers the shapes that SVG and PNG write.
func (f Force) Draw() (*canvas.Canvas, error) {
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the forces %q: %w", f.Title, err)
	}
	c := canvas.New(canvas.PictureWidth)
	c.Heading(f.Title)
	terms := f.ranked(mostTerms)
	up, down, top := 0.0, 0.0, 0.0
	for _, t := range terms {
		up, down = up+max(0, t.Value), down+max(0, -t.Value)
		top = max(top, math.Abs(t.Value))
	}
	base, value := f.ends()
	x := axis{from: canvas.Margin + 30, to: c.Width - canvas.Margin - 30}
	for _, v := range []float64{f.Base, f.Value, f.Value - up, f.Value + down} {
		x.include(v)
	}
	x.open()
	format := printable.ScoreFormat(top)
	widen(&x, f.Value, terms, format)
	c.Y += 2
	c.Text(canvas.Margin, c.Y+10, canvas.Label{Size: 11, Bold: true, Fill: canvas.ColorPositive}, "pushes up →")
	c.Text(
		c.Width-canvas.Margin,
		c.Y+10,
		canvas.Label{Size: 11, Bold: true, Fill: canvas.ColorNegative, Anchor: "end"},
		"← pushes down",
	)
	c.Y += 20
	drawMark(c, x, f.Value, value)
	if math.Abs(x.at(f.Base)-x.at(f.Value)) > 110 {
		c.Y -= 30
	}
	drawMark(c, x, f.Base, base)
	const height = 30.0
	c.Line(x.at(f.Base), c.Y-2, x.at(f.Base), c.Y+height+4, canvas.InkSoft)
	left, right := f.Value, f.Value
	begin := c.Y
	var lefts, rights []named
	for _, t := range terms {
		if t.Value >= 0 {
			drawArrow(c, t, x.at(left-t.Value), x.at(left), begin, height, format)
			lefts = append(lefts, named{t, (x.at(left-t.Value) + x.at(left)) / 2})
			left -= t.Value
		} else {
			drawArrow(c, t, x.at(right-t.Value), x.at(right), begin, height, format)
			rights = append(rights, named{t, (x.at(right) + x.at(right-t.Value)) / 2})
			right -= t.Value
		}
	}
	c.Line(x.at(f.Value), begin-6, x.at(f.Value), begin+height+6, canvas.InkDark)
	c.Y = begin + height
	below := max(drawNames(c, lefts, canvas.ColorPositive, format), drawNames(c, rights, canvas.ColorNegative, format))
	c.Y += 8 + 15*float64(below)
	if f.Unit != "" {
		c.Y += 14
		c.Text(canvas.Margin, c.Y, canvas.Label{Size: 11, Fill: canvas.InkSoft}, "in "+printable.Line(f.Unit))
	}
	return c.Done("forces: " + printable.Line(f.Title))
}

// drawMark names a place on the axis, above the bar.
func drawMark(c *canvas.Canvas, x axis, v float64, name string) {
	l := canvas.Label{Size: 11, Anchor: "middle", Fill: canvas.InkSoft}
	at := max(canvas.Margin+40, min(c.Width-canvas.Margin-40, x.at(v)))
	c.Text(at, c.Y+8, l, name)
	l.Bold, l.Fill = true, ""
	c.Text(at, c.Y+22, l, printable.Number(v))
	c.Y += 30
}

// drawArrow draws a term from its far end to its near one, which points to the value.
func drawArrow(c *canvas.Canvas, t Term, from, to, y, height float64, format func(float64) string) {
	tip := max(-7, min(7, (to-from)/2))
	var p canvas.Path
	p.Move(from, y)
	p.Line(to-tip, y)
	p.Line(to, y+height/2)
	p.Line(to-tip, y+height)
	p.Line(from, y+height)
	p.Line(from+tip, y+height/2)
	p.Line(from, y)
	fill := signColor(t.Value)
	if t.Name == leftOver {
		fill = "#c9cdd4"
	}
	c.Path(p, canvas.Style{Fill: fill, Stroke: "#ffffff", Width: 1.2}, barName(t.Name)+": "+format(t.Value))
}

// named is a term and the middle of its arrow.
type named struct {
	Term
	at float64
}

const mostForces = 5 // named on either side

func forceName(t Term, format func(float64) string) string {
	return printable.Shorten(barName(t.Name), 24) + " " + format(t.Value)
}

// drawNames writes the largest terms of one side under the bar, from the outermost to the one next to the value: so no
// line from an arrow to its name crosses another name. It returns how many lines it took.
func drawNames(c *canvas.Canvas, terms []named, color string, format func(float64) string) int {
	shown := terms[:min(mostForces, len(terms))]
	for i, t := range shown {
		y := c.Y + 16 + 15*float64(len(shown)-1-i)
		l, side := canvas.Label{Size: 11, Mono: true}, 5.0
		if t.Value >= 0 {
			l.Anchor, side = "end", -5
		}
		c.Line(t.at, c.Y+1, t.at, y, color)
		c.Text(t.at+side, y, l, forceName(t.Term, format))
	}
	return len(shown)
}

// widen makes room beside the bar for the names of its terms.
func widen(x *axis, value float64, terms []Term, format func(float64) string) {
	for range 4 { // each time the bar gets shorter, and names move with it
		left, right, shown := value, value, [2]int{}
		var before, after float64
		for _, t := range terms {
			wide := canvas.MonoWidth(forceName(t, format), 11) + 6
			if t.Value >= 0 {
				if shown[0]++; shown[0] <= mostForces {
					before = max(before, canvas.Margin-x.at(left-t.Value/2)+wide)
				}
				left -= t.Value
			} else {
				if shown[1]++; shown[1] <= mostForces {
					after = max(after, x.at(right-t.Value/2)+wide-(canvas.PictureWidth-canvas.Margin))
				}
				right -= t.Value
			}
		}
		x.from, x.to = x.from+before, x.to-after
	}
}
