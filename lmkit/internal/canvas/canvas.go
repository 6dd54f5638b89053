package canvas

import (
	"image"
	"strings"
)

// Canvas gathers the shapes of a picture from top to bottom; its height is known at the end.
type Canvas struct {
	Width  float64
	Y      float64 // what is above it is taken
	shapes []shape
	about  string // the picture in words, for who cannot see it
}

// shape is a part of a picture. It can be written in either format, so that a picture is described once.
type shape interface {
	svg(b *strings.Builder)
	png(p *painter)
}

const (
	// Margin is what every picture keeps free on all sides.
	Margin = 20.0
	// PictureWidth is the width of a picture that has no width of its own: a column of a page.
	PictureWidth = 760.0
	// The widths of a column of text in ems. The sans ones are on the wide side, since nobody knows the reader's font.
	SansEm, BoldEm, MonoEm = 0.54, 0.6, 0.605
	// The colours of texts and lines: black, and grey for what explains.
	InkDark, InkSoft, LineSoft = "#1b1b1f", "#5c5f66", "#dcdfe4"
)

const (
	sansFont = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
	monoFont = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
)

// New returns an empty picture of that width.
func New(width float64) *Canvas { return &Canvas{Width: width, Y: Margin} }

// Done ends a picture, and says what it shows.
func (c *Canvas) Done(about string) (*Canvas, error) {
	c.about = about
	return c, nil
}

// Height returns how tall the picture is so far, with the margin below.
func (c *Canvas) Height() float64 { return c.Y + Margin }

func (c *Canvas) add(s shape) { c.shapes = append(c.shapes, s) }

// Rect draws a rectangle whose upper left corner is at x, y. A tip shows where the pointer rests on it.
func (c *Canvas) Rect(x, y, w, h float64, s Style, tip string) {
	c.add(rectangle{x, y, w, h, s, tip})
}

// Line draws a straight line of one pixel.
func (c *Canvas) Line(x1, y1, x2, y2 float64, stroke string) {
	var p Path
	p.Move(x1, y1)
	p.Line(x2, y2)
	c.Path(p, Style{Stroke: stroke}, "")
}

// Path draws along a path, and fills what it encloses if the style has a fill.
func (c *Canvas) Path(p Path, s Style, tip string) { c.add(stroke{p, s, tip}) }

// Circle draws a disc around x, y.
func (c *Canvas) Circle(x, y, r float64, s Style, tip string) { c.add(disc{x, y, r, s, tip}) }

// Image fills a rectangle with an image, each pixel as a block.
func (c *Canvas) Image(x, y, w, h float64, img image.Image) { c.add(picture{x, y, w, h, img}) }

// Text writes a line of text with its baseline at y.
func (c *Canvas) Text(x, y float64, l Label, s string) { c.add(lettering{x, y, l, s}) }

// Group gives all that draw draws one tooltip.
func (c *Canvas) Group(tip string, draw func()) {
	outer := c.shapes
	c.shapes = nil
	draw()
	c.shapes = append(outer, group{tip, c.shapes})
}

// Label is a style of text: size in pixels, where x is (start, middle, end), and whether it is monospaced.
type Label struct {
	Size   float64
	Anchor string
	Mono   bool
	Bold   bool
	Fill   string
	Rotate float64
	Behind bool // the pointer sees what is under the text
}
