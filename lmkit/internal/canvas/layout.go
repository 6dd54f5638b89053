package canvas

import (
	"math"

	"lmkit.internal/lmkit/internal/printable"
)

// Paragraph writes a text that wraps to the width between x and the right margin.
func (c *Canvas) Paragraph(x float64, l Label, s string) {
	em := SansEm
	if l.Bold {
		em = BoldEm
	}
	for _, part := range printable.Wrap(s, int((c.Width-Margin-x)/(l.Size*em))) {
		c.Y += math.Round(l.Size * 1.4)
		c.Text(x, c.Y-math.Round(l.Size*0.35), l, part)
	}
}

// Heading is the title of a picture.
func (c *Canvas) Heading(s string) {
	if s = printable.Line(s); s == "" {
		return
	}
	c.Paragraph(Margin, Label{Size: 15, Bold: true}, s)
	c.Y += 6
}

// Note writes a text in a box that nobody overlooks.
func (c *Canvas) Note(s string) {
	top, under := c.Y, c.shapes
	c.Y += 5
	c.shapes = nil
	c.Paragraph(Margin+14, Label{Size: 12}, s)
	text := c.shapes
	c.Y += 5
	c.shapes = under
	c.Rect(Margin, top, c.Width-2*Margin, c.Y-top, Style{Fill: "#fff1e0", Radius: 3}, "")
	c.Rect(Margin, top, 4, c.Y-top, Style{Fill: ColorPositive}, "")
	c.shapes = append(c.shapes, text...)
	c.Y += 8
}

// Whisker draws a range from lo to hi at the height y.
func (c *Canvas) Whisker(lo, hi, y float64) {
	var p Path
	p.Move(lo, y)
	p.Line(hi, y)
	for _, x := range []float64{lo, hi} {
		p.Move(x, y-3)
		p.Line(x, y+3)
	}
	c.Path(p, Style{Stroke: InkDark}, "")
}

// ScaleBar draws a horizontal colour scale with its ends and middle printed under it, and moves below it.
func (c *Canvas) ScaleBar(
	x, width, lo, hi float64, color func(float64) RGB, format func(float64) string, unit string,
) {
	const steps = 48
	for i := range steps {
		v := lo + (hi-lo)*(float64(i)+0.5)/steps
		// Each step reaches to the end, under the next ones: no seams.
		c.Rect(x+width*float64(i)/steps, c.Y, width-width*float64(i)/steps, 10, Style{Fill: color(v).Hex()}, "")
	}
	c.Rect(x, c.Y, width, 10, Style{Stroke: LineSoft}, "")
	small := Label{Size: 10.5, Fill: InkSoft}
	for i, v := range []float64{lo, (lo + hi) / 2, hi} {
		small.Anchor = []string{"start", "middle", "end"}[i]
		s := format(v)
		if lo+hi == 0 && i == 1 {
			s = "0"
		}
		c.Text(x+width*float64(i)/2, c.Y+23, small, s)
	}
	if unit != "" {
		small.Anchor = "start"
		c.Text(x+width+12, c.Y+9, small, unit)
	}
	c.Y += 28
}

// labelWidth returns about the width of a text as a label.
func labelWidth(l Label, s string) float64 {
	switch {
	case l.Mono:
		return MonoWidth(s, l.Size)
	case l.Bold:
		return float64(printable.Columns(s)) * BoldEm * l.Size
	}
	return SansWidth(s, l.Size)
}

// MonoWidth returns the width of s in the monospaced font. Wide characters come from a fallback font of about one em.
func MonoWidth(s string, size float64) float64 { return float64(printable.Columns(s)) * MonoEm * size }

// SansWidth returns about the width of s in the reader's font without serifs.
func SansWidth(s string, size float64) float64 { return float64(printable.Columns(s)) * SansEm * size }
