package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Curves is a chart of lines over a common x axis.
type Curves struct {
	Title          string
	XLabel, YLabel string
	LogX, LogY     bool // logarithmic axes: every value must be above 0
	Last           bool // the legend gives each line's last value
	Lines          []Line
}

// Line is one line of a chart. Points are drawn in their order; a point whose Y is NaN leaves a gap.
type Line struct {
	Name   string
	Points []Point
	Dots   bool      // points that no line joins
	Sizes  []float64 // Dots: the weight of each point, at least 0, as the area of its dot; nil: all the same
}

// Point is a value Y measured at X.
type Point struct{ X, Y float64 }

// Loss returns the chart of a training run: the loss, in nats a token, over steps. Either list may be empty.
func Loss(train, valid []Point) Curves {
	c := Curves{Title: "Loss", XLabel: "step", YLabel: "loss (nat per token)", Last: true}
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
		if l.Sizes != nil && len(l.Sizes) != len(l.Points) {
			errs = append(errs, fmt.Errorf("line %d has %d sizes for %d points", i, len(l.Sizes), len(l.Points)))
		}
		for j, s := range l.Sizes {
			if !(s >= 0) || math.IsInf(s, 1) {
				errs = append(errs, fmt.Errorf("line %d, point %d has the size %g: expected 0 or more", i, j, s))
				break
			}
		}
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
				errs = append(
					errs,
					fmt.Errorf("line %d, point %d is (%g, %g): a logarithmic axis needs numbers above 0", i, j, p.X, p.Y),
				)
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

// SVG draws the chart with axes, grid lines and a legend.
func (cs Curves) SVG(w io.Writer) error { return canvas.WriteSVG(w, cs) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (cs Curves) PNG(w io.Writer) error { return canvas.WritePNG(w, cs) }

// Draw gathers the shapes that SVG and PNG write.
func (cs Curves) Draw() (*canvas.Canvas, error) {
	if err := cs.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the chart %q: %w", cs.Title, err)
	}
	c := canvas.New(canvas.PictureWidth)
	c.Heading(cs.Title)
	if len(cs.Lines) > 1 || cs.Lines[0].Name != "" {
		drawLegend(c, cs)
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
	if slices.ContainsFunc(cs.Lines, func(l Line) bool { return l.Dots }) {
		x.pad()
	}
	yTicks := y.ticks(6)
	left := canvas.Margin + 8
	for _, t := range yTicks {
		left = max(left, canvas.Margin+8+canvas.SansWidth(tickText(t, yTicks), 11))
	}
	if cs.YLabel != "" {
		left += 18
	}
	const height = 320.0
	top, right := c.Y+8, c.Width-canvas.Margin-8
	bottom := top + height
	x.from, x.to, y.from, y.to = left, right, bottom, top
	drawAxes(c, cs, x, y, yTicks)
	for i, l := range cs.Lines {
		drawCurve(c, l, i, x, y)
	}
	c.Y = bottom + 26
	if cs.XLabel != "" {
		c.Y += 14
		c.Text(
			(left+right)/2,
			c.Y,
			canvas.Label{Size: 12, Anchor: "middle", Fill: canvas.InkSoft},
			printable.Line(cs.XLabel),
		)
		c.Y += 2
	}
	return c.Done("chart: " + printable.Line(cs.Title))
}

func drawLegend(c *canvas.Canvas, cs Curves) {
	x := canvas.Margin
	c.Y += 4
	for i, l := range cs.Lines {
		s := printable.Shorten(printable.Line(l.Name), 90)
		if last, ok := lastOf(l); ok && cs.Last {
			s = printable.Shorten(s, 60) + "  (last " + printable.Number(last) + ")"
		}
		wide := 34 + canvas.SansWidth(s, 12) + 18
		if x > canvas.Margin && x+wide > c.Width-canvas.Margin {
			x, c.Y = canvas.Margin, c.Y+18
		}
		drawSample(c, x, c.Y+8, i, l.Dots)
		c.Text(x+33, c.Y+12, canvas.Label{Size: 12}, s)
		x += wide
	}
	c.Y += 20
}

// drawSample shows in the legend how line i looks.
func drawSample(c *canvas.Canvas, x, y float64, i int, dots bool) {
	color := lineColors[i%len(lineColors)]
	if dots {
		c.Circle(x+13, y, 4, canvas.Style{Fill: color}, "")
		return
	}
	var p canvas.Path
	p.Move(x, y)
	p.Line(x+26, y)
	c.Path(p, canvas.Style{Stroke: color, Width: 2.2, Dash: dash(i)}, "")
}

func lastOf(l Line) (float64, bool) {
	for i := len(l.Points) - 1; i >= 0; i-- {
		if y := l.Points[i].Y; !math.IsNaN(y) {
			return y, true
		}
	}
	return 0, false
}

func dash(i int) string { return lineDashes[i%len(lineDashes)] }

func drawAxes(c *canvas.Canvas, cs Curves, x, y axis, yTicks []float64) {
	small := canvas.Label{Size: 11, Fill: canvas.InkSoft}
	small.Anchor = "end"
	for _, t := range yTicks {
		c.Line(x.from, y.at(t), x.to, y.at(t), canvas.LineSoft)
		c.Text(x.from-8, y.at(t)+4, small, tickText(t, yTicks))
	}
	small.Anchor = "middle"
	xTicks := x.ticks(8)
	for _, t := range xTicks {
		c.Line(x.at(t), y.from, x.at(t), y.from+5, "#8a8f98")
		c.Text(x.at(t), y.from+19, small, tickText(t, xTicks))
	}
	c.Line(x.from, y.from, x.to, y.from, "#8a8f98")
	if cs.YLabel != "" {
		c.Text(
			canvas.Margin+6,
			(y.from+y.to)/2,
			canvas.Label{Size: 12, Anchor: "middle", Fill: canvas.InkSoft, Rotate: -90},
			printable.Line(cs.YLabel),
		)
	}
}

// drawCurve draws one line; of many points on one pixel column it keeps the first, the lowest, the highest and the
// last, so that a long run stays small and no spike is lost.
func drawCurve(c *canvas.Canvas, l Line, i int, x, y axis) {
	color := lineColors[i%len(lineColors)]
	if l.Dots {
		drawDots(c, l, color, x, y)
		return
	}
	var way canvas.Path
	down := false
	for _, p := range thin(l.Points, x) {
		switch {
		case math.IsNaN(p.Y):
		case down:
			way.Line(x.at(p.X), y.at(p.Y))
		default:
			way.Move(x.at(p.X), y.at(p.Y))
		}
		down = !math.IsNaN(p.Y)
	}
	if way.Empty() {
		return
	}
	c.Path(way, canvas.Style{Stroke: color, Width: 1.8, Dash: dash(i), Round: true}, printable.Line(l.Name))
	for _, p := range l.Points {
		if len(l.Points) <= fewPoints && !math.IsNaN(p.Y) {
			c.Circle(
				x.at(p.X),
				y.at(p.Y),
				2.6,
				canvas.Style{Fill: color},
				fmt.Sprintf("%s: %s at %s", printable.Line(l.Name), printable.Number(p.Y), plain(p.X)),
			)
		}
	}
}

// drawDots draws points with a light rim, so that those on top of each other are told apart.
func drawDots(c *canvas.Canvas, l Line, color string, x, y axis) {
	top := canvas.Largest(l.Sizes)
	for j, p := range l.Points {
		if math.IsNaN(p.Y) {
			continue
		}
		r, tip := 3.6, fmt.Sprintf("%s: %s at %s", printable.Line(l.Name), printable.Number(p.Y), plain(p.X))
		if l.Sizes != nil {
			r, tip = 1.2+7*math.Sqrt(canvas.Ratio(l.Sizes[j], top)), tip+", weight "+printable.Number(l.Sizes[j])
		}
		c.Circle(x.at(p.X), y.at(p.Y), r, canvas.Style{Fill: color, Stroke: "#ffffff", Width: 0.8}, tip)
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
		for !math.IsNaN(points[lo].Y) && hi+1 < len(points) && !math.IsNaN(points[hi+1].Y) &&
			math.Floor(x.at(points[hi+1].X)) == column {
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
