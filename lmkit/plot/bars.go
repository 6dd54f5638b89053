package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Bars compares numbers by name, such as the probabilities of the next token: a row for each name, and in it a bar for
// each series.
type Bars struct {
	Title  string
	XLabel string   // what the numbers are
	Names  []string // of the rows
	Series []Series
}

// Series is one number for each row.
type Series struct {
	Name   string // for the legend; may be empty if it is the only one
	Values []float64
	Spread []float64 // how uncertain each is, drawn to both sides; or nil
}

const mostRows = 200 // of bars or of a table

// Validate returns all that makes the bars impossible to draw.
func (b Bars) Validate() error {
	var errs []error
	if len(b.Names) == 0 || len(b.Series) == 0 {
		errs = append(errs, errors.New("there is no bar to draw"))
	}
	if len(b.Names)*len(b.Series) > mostRows {
		errs = append(errs, fmt.Errorf("%d bars: draw at most %d", len(b.Names)*len(b.Series), mostRows))
	}
	for k, s := range b.Series {
		if len(s.Values) != len(b.Names) {
			errs = append(errs, fmt.Errorf("series %d has %d values for %d names", k, len(s.Values), len(b.Names)))
		}
		if s.Spread != nil && len(s.Spread) != len(s.Values) {
			errs = append(errs, fmt.Errorf("series %d has %d spreads for %d values", k, len(s.Spread), len(s.Values)))
		}
		for i, v := range append(append([]float64{}, s.Values...), s.Spread...) {
			if math.IsNaN(v) || math.IsInf(v, 0) || i >= len(s.Values) && v < 0 {
				errs = append(errs, fmt.Errorf("series %d has the number %g", k, v))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// SVG draws the bars around a common zero line, each with its number.
func (b Bars) SVG(w io.Writer) error { return canvas.WriteSVG(w, b) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (b Bars) PNG(w io.Writer) error { return canvas.WritePNG(w, b) }

const (
	barFont, barNumberFont = 12.0, 11.0
	barHeight              = 16.0 // of a bar with the room around it
	barGap                 = 3.0  // above the bars of a name, and below the last ones
)

// Draw gathers the shapes that SVG and PNG write: for each name a row of its name, and beside it for each series the
// number and the bar.
func (b Bars) Draw() (*canvas.Canvas, error) {
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the bars %q: %w", b.Title, err)
	}
	c := canvas.New(canvas.PictureWidth)
	c.Heading(b.Title)
	if len(b.Series) > 1 || b.Series[0].Name != "" {
		drawKeys(c, b.Series)
	}
	format := b.format(b.largest())
	x := b.axis(c, format)
	begin := c.Y
	for i := range b.Names {
		c.Y += barGap
		b.drawRow(c, i, x, format)
	}
	c.Y += barGap
	c.Line(x.at(0), begin, x.at(0), c.Y, "#8a8f98")
	if b.XLabel != "" {
		c.Y += 15
		label := canvas.Label{Size: 11.5, Anchor: "middle", Fill: canvas.InkSoft}
		c.Text((x.from+x.to)/2, c.Y, label, printable.Line(b.XLabel))
	}
	return c.Done("bars: " + printable.Line(b.Title))
}

// largest returns the size of the largest value.
func (b Bars) largest() float64 {
	top := 0.0
	for _, s := range b.Series {
		top = max(top, canvas.Largest(s.Values))
	}
	return top
}

// axis holds zero and all values with their spreads. It begins where the longest name and the longest number end.
func (b Bars) axis(c *canvas.Canvas, format func(float64) string) axis {
	x := axis{}
	x.include(0)
	names, numbers := 0.0, 0.0 // widths
	for _, n := range b.Names {
		names = max(names, canvas.MonoWidth(barName(n), barFont))
	}
	for _, s := range b.Series {
		for i, v := range s.Values {
			x.include(v)
			if s.Spread != nil {
				x.include(v - s.Spread[i])
				x.include(v + s.Spread[i])
			}
			numbers = max(numbers, canvas.MonoWidth(format(v), barNumberFont))
		}
	}
	x.open()
	x.from = canvas.Margin + names + 14 + numbers + numberGap
	x.to = c.Width - canvas.Margin - 4
	return x
}

const numberGap = 12.0 // between a number and the axis

// drawRow draws the bars of name i, one series under the other, and moves below them.
func (b Bars) drawRow(c *canvas.Canvas, i int, x axis, format func(float64) string) {
	name := barName(b.Names[i])
	middle := barHeight * float64(len(b.Series)) / 2
	c.Text(canvas.Margin, c.Y+middle+4, canvas.Label{Size: barFont, Mono: true}, name)
	for k, s := range b.Series {
		v := s.Values[i]
		color := lineColors[k%len(lineColors)]
		if len(b.Series) == 1 && x.lo < 0 {
			color = signColor(v)
		}
		number := canvas.Label{Size: barNumberFont, Mono: true, Anchor: "end", Fill: canvas.InkSoft}
		c.Text(x.from-numberGap, c.Y+barHeight/2+4, number, format(v))
		left, right := min(x.at(0), x.at(v)), max(x.at(0), x.at(v))
		tip := name + " " + printable.Line(s.Name) + ": " + format(v)
		c.Rect(left, c.Y+1.5, right-left, barHeight-3, canvas.Style{Fill: color, Radius: 1.5}, tip)
		if s.Spread != nil {
			c.Whisker(x.at(v-s.Spread[i]), x.at(v+s.Spread[i]), c.Y+barHeight/2)
		}
		c.Y += barHeight
	}
}

func signColor(v float64) string {
	if v < 0 {
		return canvas.ColorNegative
	}
	return canvas.ColorPositive
}

func barName(s string) string { return printable.Shorten(printable.Visible(s), 32) }

// format prints the values, with a sign where signs differ.
func (b Bars) format(top float64) func(float64) string {
	format, signed := printable.ScoreFormat(top), false
	for _, s := range b.Series {
		for _, v := range s.Values {
			signed = signed || v < 0
		}
	}
	return func(v float64) string {
		if signed {
			return format(v)
		}
		return strings.TrimPrefix(format(v), "+")
	}
}

// drawKeys is the legend of bars.
func drawKeys(c *canvas.Canvas, series []Series) {
	x := canvas.Margin
	c.Y += 2
	for k, s := range series {
		name := printable.Shorten(printable.Line(s.Name), 60)
		wide := 18 + canvas.SansWidth(name, 12) + 18
		if x > canvas.Margin && x+wide > c.Width-canvas.Margin {
			x, c.Y = canvas.Margin, c.Y+18
		}
		c.Rect(x, c.Y+2, 12, 12, canvas.Style{Fill: lineColors[k%len(lineColors)], Radius: 2}, "")
		c.Text(x+18, c.Y+12, canvas.Label{Size: 12}, name)
		x += wide
	}
	c.Y += 22
}

// Text writes the bars for a terminal.
func (b Bars) Text(w io.Writer, o Options) error {
	if err := b.Validate(); err != nil {
		return fmt.Errorf("cannot draw the bars %q: %w", b.Title, err)
	}
	t := printable.NewLines(o.Color, o.Width)
	t.Title(b.Title)
	top, first, second, number := b.largest(), 0, 0, 0
	for _, n := range b.Names {
		first = max(first, printable.Columns(printable.Shorten(barName(n), t.Width/3)))
	}
	for _, s := range b.Series {
		second = max(second, printable.Columns(printable.Shorten(printable.Line(s.Name), 20)))
	}
	format := b.format(top)
	for _, s := range b.Series {
		for _, v := range s.Values {
			number = max(number, len(format(v)))
		}
	}
	room := max(4, min(40, t.Width-first-second-number-8))
	for i, n := range b.Names {
		for k, s := range b.Series {
			name := ""
			if k == 0 {
				name = printable.Shorten(barName(n), t.Width/3)
			}
			row := "  " + printable.PadRight(name, first) + "  "
			if second > 0 {
				row += printable.PadRight(printable.Shorten(printable.Line(s.Name), 20), second) + "  "
			}
			t.Line(row + printable.PadLeft(format(s.Values[i]), number) + "  " + t.Bar(canvas.Ratio(s.Values[i], top), room))
		}
	}
	if b.XLabel != "" {
		t.Block("", 0, printable.Line(b.XLabel))
	}
	return t.Flush(w)
}
