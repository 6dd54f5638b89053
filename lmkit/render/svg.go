package render

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// canvas gathers the shapes of a picture from top to bottom; its height is known at the end.
type canvas struct {
	shapes []shape
	width  float64
	y      float64 // what is above it is taken
	about  string  // the picture in words, for who cannot see it
}

// shape is a part of a picture. It can be written in either format, so that a picture is described once.
type shape interface {
	svg(b *strings.Builder)
	png(p *painter)
}

const (
	margin   = 20.0
	sansFont = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
	monoFont = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
	// The widths of a column in ems. The sans ones are on the wide side, since nobody knows the reader's font.
	sansEm, boldEm, monoEm = 0.54, 0.6, 0.605
	inkDark                = "#1b1b1f"
	inkSoft                = "#5c5f66"
	lineSoft               = "#dcdfe4"
)

func newCanvas(width float64) *canvas { return &canvas{width: width, y: margin} }

// done ends a picture, and says what it shows.
func (c *canvas) done(about string) (*canvas, error) {
	c.about = about
	return c, nil
}

func (c *canvas) height() float64 { return c.y + margin }

// svg writes the picture: a light background, so that it reads in a dark viewer, and a label for who cannot see it.
func (c *canvas) svg(w io.Writer) error {
	var b strings.Builder
	for _, s := range c.shapes {
		s.svg(&b)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="%s" viewBox="0 0 %s %s" width="%[2]s" height="%[3]s" style="max-width:100%%;height:auto" font-family="%[4]s" font-size="12" fill="%[5]s">
<rect width="100%%" height="100%%" rx="6" fill="#ffffff"/>
%[6]s</svg>
`, html.EscapeString(c.about), num(c.width), num(c.height()), sansFont, inkDark, b.String())
	return err
}

func (c *canvas) add(s shape) { c.shapes = append(c.shapes, s) }

// num prints a coordinate with at most two decimals.
func num(x float64) string { return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64) }

// title is an element's tooltip.
func title(s string) string {
	if s == "" {
		return ""
	}
	return "<title>" + html.EscapeString(s) + "</title>"
}

func (c *canvas) rect(x, y, w, h float64, s style, tip string) {
	c.add(rectangle{x, y, w, h, s, tip})
}

func (c *canvas) line(x1, y1, x2, y2 float64, stroke string) {
	var p path
	p.move(x1, y1)
	p.line(x2, y2)
	c.path(p, style{stroke: stroke}, "")
}

func (c *canvas) path(p path, s style, tip string) { c.add(stroke{p, s, tip}) }

func (c *canvas) circle(x, y, r float64, s style, tip string) { c.add(disc{x, y, r, s, tip}) }

func (c *canvas) text(x, y float64, l label, s string) { c.add(lettering{x, y, l, s}) }

// group gives all that draw draws one tooltip.
func (c *canvas) group(tip string, draw func()) {
	outer := c.shapes
	c.shapes = nil
	draw()
	c.shapes = append(outer, group{tip, c.shapes})
}

// label is a style of text: size in pixels, where x is (start, middle, end), and whether it is monospaced.
type label struct {
	size   float64
	anchor string
	mono   bool
	bold   bool
	fill   string
	rotate float64
	behind bool // the pointer sees what is under the text
}

// paragraph writes a text that wraps to the width between x and the right margin.
func (c *canvas) paragraph(x float64, l label, s string) {
	em := sansEm
	if l.bold {
		em = boldEm
	}
	for _, part := range wrap(s, int((c.width-margin-x)/(l.size*em))) {
		c.y += math.Round(l.size * 1.4)
		c.text(x, c.y-math.Round(l.size*0.35), l, part)
	}
}

// heading is the title of a picture.
func (c *canvas) heading(s string) {
	if s = line(s); s == "" {
		return
	}
	c.paragraph(margin, label{size: 15, bold: true}, s)
	c.y += 6
}

// scaleBar draws a horizontal colour scale with its ends and middle printed under it, and moves below it.
func (c *canvas) scaleBar(x, width float64, lo, hi float64, color func(float64) rgb, format func(float64) string, unit string) {
	const steps = 48
	for i := range steps {
		v := lo + (hi-lo)*(float64(i)+0.5)/steps
		// Each step reaches to the end, under the next ones: no seams.
		c.rect(x+width*float64(i)/steps, c.y, width-width*float64(i)/steps, 10, style{fill: color(v).hex()}, "")
	}
	c.rect(x, c.y, width, 10, style{stroke: lineSoft}, "")
	small := label{size: 10.5, fill: inkSoft}
	for i, v := range []float64{lo, (lo + hi) / 2, hi} {
		small.anchor = []string{"start", "middle", "end"}[i]
		s := format(v)
		if lo+hi == 0 && i == 1 {
			s = "0"
		}
		c.text(x+width*float64(i)/2, c.y+23, small, s)
	}
	if unit != "" {
		small.anchor = "start"
		c.text(x+width+12, c.y+9, small, unit)
	}
	c.y += 28
}

// monoWidth is the width of s in the monospaced font. Wide characters come from a fallback font of about one em.
func monoWidth(s string, size float64) float64 { return float64(columns(s)) * monoEm * size }
func sansWidth(s string, size float64) float64 { return float64(columns(s)) * sansEm * size }
