package render

import (
	"fmt"
	"io"
	"math"
)

// Force draws a sum as one bar: what pushes the number up meets what pushes it down where the number is.
type Force struct{ Sum }

// SVG draws the terms as arrows, the largest next to the value.
func (f Force) SVG(w io.Writer) error { return writeSVG(w, f) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (f Force) PNG(w io.Writer) error { return writePNG(w, f) }

// Text writes the sum as a column of numbers.
func (f Force) Text(w io.Writer, o Options) error { return f.Sum.text(w, o) }

func (f Force) draw() (*canvas, error) {
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the forces %q: %w", f.Title, err)
	}
	c := newCanvas(pictureWidth)
	c.heading(f.Title)
	terms := f.ranked(mostTerms)
	up, down, top := 0.0, 0.0, 0.0
	for _, t := range terms {
		up, down = up+max(0, t.Value), down+max(0, -t.Value)
		top = max(top, math.Abs(t.Value))
	}
	base, value := f.ends()
	x := axis{from: margin + 30, to: c.width - margin - 30}
	for _, v := range []float64{f.Base, f.Value, f.Value - up, f.Value + down} {
		x.include(v)
	}
	x.open()
	format := scoreFormat(top)
	widen(&x, f.Value, terms, format)
	c.y += 2
	c.text(margin, c.y+10, label{size: 11, bold: true, fill: colorPositive}, "pushes up →")
	c.text(c.width-margin, c.y+10, label{size: 11, bold: true, fill: colorNegative, anchor: "end"}, "← pushes down")
	c.y += 20
	c.mark(x, f.Value, value)
	if math.Abs(x.at(f.Base)-x.at(f.Value)) > 110 {
		c.y -= 30
	}
	c.mark(x, f.Base, base)
	const height = 30.0
	c.line(x.at(f.Base), c.y-2, x.at(f.Base), c.y+height+4, inkSoft)
	left, right := f.Value, f.Value
	begin := c.y
	var lefts, rights []named
	for _, t := range terms {
		if t.Value >= 0 {
			c.arrow(t, x.at(left-t.Value), x.at(left), begin, height, format)
			lefts = append(lefts, named{t, (x.at(left-t.Value) + x.at(left)) / 2})
			left -= t.Value
		} else {
			c.arrow(t, x.at(right-t.Value), x.at(right), begin, height, format)
			rights = append(rights, named{t, (x.at(right) + x.at(right-t.Value)) / 2})
			right -= t.Value
		}
	}
	c.line(x.at(f.Value), begin-6, x.at(f.Value), begin+height+6, inkDark)
	c.y = begin + height
	below := max(c.names(lefts, colorPositive, format), c.names(rights, colorNegative, format))
	c.y += 8 + 15*float64(below)
	if f.Unit != "" {
		c.y += 14
		c.text(margin, c.y, label{size: 11, fill: inkSoft}, "in "+line(f.Unit))
	}
	return c.done("forces: " + line(f.Title))
}

// mark names a place on the axis, above the bar.
func (c *canvas) mark(x axis, v float64, name string) {
	l := label{size: 11, anchor: "middle", fill: inkSoft}
	at := max(margin+40, min(c.width-margin-40, x.at(v)))
	c.text(at, c.y+8, l, name)
	l.bold, l.fill = true, ""
	c.text(at, c.y+22, l, number(v))
	c.y += 30
}

// arrow draws a term from its far end to its near one, which points to the value.
func (c *canvas) arrow(t Term, from, to, y, height float64, format func(float64) string) {
	tip := max(-7, min(7, (to-from)/2))
	var p path
	p.move(from, y)
	p.line(to-tip, y)
	p.line(to, y+height/2)
	p.line(to-tip, y+height)
	p.line(from, y+height)
	p.line(from+tip, y+height/2)
	p.line(from, y)
	fill := signColor(t.Value)
	if t.Name == leftOver {
		fill = "#c9cdd4"
	}
	c.path(p, style{fill: fill, stroke: "#ffffff", width: 1.2}, barName(t.Name)+": "+format(t.Value))
}

// named is a term and the middle of its arrow.
type named struct {
	Term
	at float64
}

const mostForces = 5 // named on either side

func forceName(t Term, format func(float64) string) string {
	return shorten(barName(t.Name), 24) + " " + format(t.Value)
}

// names writes the largest terms of one side under the bar, from the outermost to the one next to the value: so no line
// from an arrow to its name crosses another name. It returns how many lines it took.
func (c *canvas) names(terms []named, color string, format func(float64) string) int {
	shown := terms[:min(mostForces, len(terms))]
	for i, t := range shown {
		y := c.y + 16 + 15*float64(len(shown)-1-i)
		l, side := label{size: 11, mono: true}, 5.0
		if t.Value >= 0 {
			l.anchor, side = "end", -5
		}
		c.line(t.at, c.y+1, t.at, y, color)
		c.text(t.at+side, y, l, forceName(t.Term, format))
	}
	return len(shown)
}

// widen makes room beside the bar for the names of its terms.
func widen(x *axis, value float64, terms []Term, format func(float64) string) {
	for range 4 { // each time the bar gets shorter, and names move with it
		left, right, shown := value, value, [2]int{}
		var before, after float64
		for _, t := range terms {
			wide := monoWidth(forceName(t, format), 11) + 6
			if t.Value >= 0 {
				if shown[0]++; shown[0] <= mostForces {
					before = max(before, margin-x.at(left-t.Value/2)+wide)
				}
				left -= t.Value
			} else {
				if shown[1]++; shown[1] <= mostForces {
					after = max(after, x.at(right-t.Value/2)+wide-(pictureWidth-margin))
				}
				right -= t.Value
			}
		}
		x.from, x.to = x.from+before, x.to-after
	}
}
