package render

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Curves is a chart of lines over a common x axis.
type Curves struct {
	Title          string
	XLabel, YLabel string
	LogX, LogY     bool // logarithmic axes: every value must be above 0
	Lines          []Line
}

// Line is one line of a chart. Points are drawn in their order; a point whose Y is NaN leaves a gap.
type Line struct {
	Name   string
	Points []Point
}

// Point is a value Y measured at X.
type Point struct{ X, Y float64 }

// Loss is the chart of a training run: the loss, in nats a token, over steps. Either list may be empty.
func Loss(train, valid []Point) Curves {
	c := Curves{Title: "Loss", XLabel: "step", YLabel: "loss (nat per token)"}
	if len(train) > 0 {
		c.Lines = append(c.Lines, Line{Name: "train", Points: train})
	}
	if len(valid) > 0 {
		c.Lines = append(c.Lines, Line{Name: "validation", Points: valid})
	}
	return c
}

// Validate returns all that makes the chart impossible to draw.
func (cs Curves) Validate() error {
	var errs []error
	drawn := 0
	for i, l := range cs.Lines {
		for j, p := range l.Points {
			if math.IsNaN(p.Y) {
				continue
			}
			drawn++
			if math.IsNaN(p.X) || math.IsInf(p.X, 0) || math.IsInf(p.Y, 0) {
				errs = append(errs, fmt.Errorf("line %d, point %d is (%g, %g): expected finite numbers", i, j, p.X, p.Y))
				break
			}
			if cs.LogX && p.X <= 0 || cs.LogY && p.Y <= 0 {
				errs = append(errs, fmt.Errorf("line %d, point %d is (%g, %g): a logarithmic axis needs numbers above 0", i, j, p.X, p.Y))
				break
			}
		}
	}
	if drawn == 0 {
		errs = append(errs, errors.New("there is no point to draw"))
	}
	return errors.Join(errs...)
}

// Lines are told apart by colour (Okabe and Ito's set for the colour-blind) and by dashes.
var (
	lineColors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#1b1b1f", "#e69f00"}
	lineDashes = []string{"", "7 4", "2 3", "9 3 2 3"}
)

const fewPoints = 60 // up to so many points are marked one by one, with tooltips

// SVG draws the chart with axes, grid lines and a legend that gives each line's last value.
func (cs Curves) SVG(w io.Writer) error {
	if err := cs.Validate(); err != nil {
		return fmt.Errorf("cannot draw the chart %q: %w", cs.Title, err)
	}
	c := newCanvas(pictureWidth)
	c.heading(cs.Title)
	if len(cs.Lines) > 1 || cs.Lines[0].Name != "" {
		c.legend(cs.Lines)
	}
	x, y := axis{log: cs.LogX}, axis{log: cs.LogY}
	for _, l := range cs.Lines {
		for _, p := range l.Points {
			if !math.IsNaN(p.Y) {
				x.include(p.X)
				y.include(p.Y)
			}
		}
	}
	y.pad()
	x.open()
	yTicks := y.ticks(6)
	left := margin + 8
	for _, t := range yTicks {
		left = max(left, margin+8+sansWidth(tickText(t, yTicks), 11))
	}
	if cs.YLabel != "" {
		left += 18
	}
	const height = 320.0
	top, right := c.y+8, c.width-margin-8
	bottom := top + height
	x.from, x.to, y.from, y.to = left, right, bottom, top
	c.axes(cs, x, y, yTicks)
	for i, l := range cs.Lines {
		c.curve(l, i, x, y)
	}
	c.y = bottom + 26
	if cs.XLabel != "" {
		c.y += 14
		c.text((left+right)/2, c.y, label{size: 12, anchor: "middle", fill: inkSoft}, line(cs.XLabel))
		c.y += 2
	}
	return c.flush(w, "chart: "+line(cs.Title))
}

func (c *canvas) legend(lines []Line) {
	x := margin
	c.y += 4
	for i, l := range lines {
		s := line(l.Name)
		if last, ok := lastOf(l); ok {
			s = shorten(s, 60) + "  (last " + number(last) + ")"
		}
		wide := 34 + sansWidth(s, 12) + 18
		if x > margin && x+wide > c.width-margin {
			x, c.y = margin, c.y+18
		}
		c.add(`<path d="M%s %sh26" stroke="%s" stroke-width="2.2" fill="none"%s/>`, num(x), num(c.y+8), lineColors[i%len(lineColors)], dash(i))
		c.text(x+33, c.y+12, label{size: 12}, s)
		x += wide
	}
	c.y += 20
}

func lastOf(l Line) (float64, bool) {
	for i := len(l.Points) - 1; i >= 0; i-- {
		if y := l.Points[i].Y; !math.IsNaN(y) {
			return y, true
		}
	}
	return 0, false
}

func dash(i int) string {
	d := lineDashes[i%len(lineDashes)]
	if d == "" {
		return ""
	}
	return ` stroke-dasharray="` + d + `"`
}

func (c *canvas) axes(cs Curves, x, y axis, yTicks []float64) {
	small := label{size: 11, fill: inkSoft}
	small.anchor = "end"
	for _, t := range yTicks {
		c.line(x.from, y.at(t), x.to, y.at(t), lineSoft)
		c.text(x.from-8, y.at(t)+4, small, tickText(t, yTicks))
	}
	small.anchor = "middle"
	xTicks := x.ticks(8)
	for _, t := range xTicks {
		c.line(x.at(t), y.from, x.at(t), y.from+5, "#8a8f98")
		c.text(x.at(t), y.from+19, small, tickText(t, xTicks))
	}
	c.line(x.from, y.from, x.to, y.from, "#8a8f98")
	if cs.YLabel != "" {
		c.text(margin+6, (y.from+y.to)/2, label{size: 12, anchor: "middle", fill: inkSoft, rotate: -90}, line(cs.YLabel))
	}
}

// curve draws one line; of many points on one pixel column it keeps the first, the lowest, the highest and the last, so
// that a long run stays small and no spike is lost.
func (c *canvas) curve(l Line, i int, x, y axis) {
	color := lineColors[i%len(lineColors)]
	var path strings.Builder
	pen := "M"
	for _, p := range thin(l.Points, x) {
		if math.IsNaN(p.Y) {
			pen = "M"
			continue
		}
		path.WriteString(pen + num(x.at(p.X)) + " " + num(y.at(p.Y)))
		pen = "L"
	}
	if path.Len() == 0 {
		return
	}
	c.add(`<path d="%s" stroke="%s" stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round" fill="none"%s>%s</path>`, path.String(), color, dash(i), title(line(l.Name)))
	for _, p := range l.Points {
		if len(l.Points) <= fewPoints && !math.IsNaN(p.Y) {
			c.add(`<circle cx="%s" cy="%s" r="2.6" fill="%s">%s</circle>`, num(x.at(p.X)), num(y.at(p.Y)), color, title(fmt.Sprintf("%s: %s at %s", line(l.Name), number(p.Y), plain(p.X))))
		}
	}
}

func thin(points []Point, x axis) []Point {
	if len(points) <= 2000 {
		return points
	}
	var out []Point
	for lo := 0; lo < len(points); {
		column := math.Floor(x.at(points[lo].X))
		hi, low, high := lo, lo, lo
		for hi+1 < len(points) && math.Floor(x.at(points[hi+1].X)) == column && !math.IsNaN(points[hi+1].Y) && !math.IsNaN(points[lo].Y) {
			hi++
			if points[hi].Y < points[low].Y {
				low = hi
			}
			if points[hi].Y > points[high].Y {
				high = hi
			}
		}
		last := -1
		for _, k := range []int{lo, min(low, high), max(low, high), hi} {
			if k != last {
				out = append(out, points[k])
			}
			last = k
		}
		lo = hi + 1
	}
	return out
}
