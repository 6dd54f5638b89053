package render

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
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
func (b Bars) SVG(w io.Writer) error { return writeSVG(w, b) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (b Bars) PNG(w io.Writer) error { return writePNG(w, b) }

func (b Bars) draw() (*canvas, error) {
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the bars %q: %w", b.Title, err)
	}
	c := newCanvas(pictureWidth)
	c.heading(b.Title)
	if len(b.Series) > 1 || b.Series[0].Name != "" {
		c.keys(b.Series)
	}
	const size, thick = 12.0, 16.0
	x := axis{}
	x.include(0)
	top := 0.0
	for _, s := range b.Series {
		top = max(top, largest(s.Values))
		for i, v := range s.Values {
			x.include(v)
			if s.Spread != nil {
				x.include(v - s.Spread[i])
				x.include(v + s.Spread[i])
			}
		}
	}
	x.open()
	format := b.format(top)
	number := 0.0
	for _, s := range b.Series {
		for _, v := range s.Values {
			number = max(number, monoWidth(format(v), 11))
		}
	}
	first := 0.0
	for _, n := range b.Names {
		first = max(first, monoWidth(barName(n), size))
	}
	x.from, x.to = margin+first+14+number+12, c.width-margin-4
	begin := c.y
	for i, n := range b.Names {
		c.y += 3
		c.text(margin, c.y+thick*float64(len(b.Series))/2+4, label{size: size, mono: true}, barName(n))
		for k, s := range b.Series {
			color := lineColors[k%len(lineColors)]
			if len(b.Series) == 1 && x.lo < 0 {
				color = signColor(s.Values[i])
			}
			from, to := x.at(0), x.at(s.Values[i])
			c.text(x.from-12, c.y+thick/2+4, label{size: 11, mono: true, anchor: "end", fill: inkSoft}, format(s.Values[i]))
			c.rect(min(from, to), c.y+1.5, math.Abs(to-from), thick-3, style{fill: color, radius: 1.5}, barName(n)+" "+line(s.Name)+": "+format(s.Values[i]))
			if s.Spread != nil {
				c.whisker(x.at(s.Values[i]-s.Spread[i]), x.at(s.Values[i]+s.Spread[i]), c.y+thick/2)
			}
			c.y += thick
		}
	}
	c.y += 3
	c.line(x.at(0), begin, x.at(0), c.y, "#8a8f98")
	if b.XLabel != "" {
		c.y += 15
		c.text((x.from+x.to)/2, c.y, label{size: 11.5, anchor: "middle", fill: inkSoft}, line(b.XLabel))
	}
	return c.done("bars: " + line(b.Title))
}

func signColor(v float64) string {
	if v < 0 {
		return colorNegative
	}
	return colorPositive
}

func barName(s string) string { return shorten(visible(s), 32) }

// format prints the values, with a sign where signs differ.
func (b Bars) format(top float64) func(float64) string {
	format, signed := scoreFormat(top), false
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

// keys is the legend of bars.
func (c *canvas) keys(series []Series) {
	x := margin
	c.y += 2
	for k, s := range series {
		name := shorten(line(s.Name), 60)
		wide := 18 + sansWidth(name, 12) + 18
		if x > margin && x+wide > c.width-margin {
			x, c.y = margin, c.y+18
		}
		c.rect(x, c.y+2, 12, 12, style{fill: lineColors[k%len(lineColors)], radius: 2}, "")
		c.text(x+18, c.y+12, label{size: 12}, name)
		x += wide
	}
	c.y += 22
}

// Text writes the bars for a terminal.
func (b Bars) Text(w io.Writer, o Options) error {
	if err := b.Validate(); err != nil {
		return fmt.Errorf("cannot draw the bars %q: %w", b.Title, err)
	}
	t := &text{Options: o}
	t.title(b.Title)
	top, first, second, number := 0.0, 0, 0, 0
	for _, n := range b.Names {
		first = max(first, columns(shorten(barName(n), t.width()/3)))
	}
	for _, s := range b.Series {
		top = max(top, largest(s.Values))
		second = max(second, columns(shorten(line(s.Name), 20)))
	}
	format := b.format(top)
	for _, s := range b.Series {
		for _, v := range s.Values {
			number = max(number, len(format(v)))
		}
	}
	room := max(4, min(40, t.width()-first-second-number-8))
	for i, n := range b.Names {
		for k, s := range b.Series {
			name := ""
			if k == 0 {
				name = shorten(barName(n), t.width()/3)
			}
			row := "  " + padRight(name, first) + "  "
			if second > 0 {
				row += padRight(shorten(line(s.Name), 20), second) + "  "
			}
			t.line(row + padLeft(format(s.Values[i]), number) + "  " + t.bar(ratio(s.Values[i], top), room))
		}
	}
	if b.XLabel != "" {
		t.block("", 0, line(b.XLabel))
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}
