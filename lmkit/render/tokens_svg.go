package render

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
)

const pictureWidth = 760.0

// SVG draws an attribution as one picture: question, warnings, the tokens coloured by score, the features with the
// largest scores as bars, and the evidence. It fails where a.Validate fails.
func SVG(w io.Writer, a *explain.Attribution) error { return writeSVG(w, whole{a}) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func PNG(w io.Writer, a *explain.Attribution) error { return writePNG(w, whole{a}) }

// TokensSVG draws only the tokens of an attribution, coloured by score, with the scale.
func TokensSVG(w io.Writer, a *explain.Attribution) error {
	return writeSVG(w, part{a, func(c *canvas) { c.tokens(a) }})
}

// BarsSVG draws only the features of an attribution with the largest scores, as horizontal bars.
func BarsSVG(w io.Writer, a *explain.Attribution) error {
	return writeSVG(w, part{a, func(c *canvas) { c.bars(a) }})
}

type whole struct{ *explain.Attribution }

func (a whole) draw() (*canvas, error) {
	return part{a.Attribution, func(c *canvas) {
		c.warnings("", a.Warnings)
		c.tokens(a.Attribution)
		c.y += 10
		c.bars(a.Attribution)
		c.y += 8
		for _, f := range facts(a.Attribution)[1:] {
			c.fact(f)
		}
	}}.draw()
}

// part is an attribution and what to draw of it under its heading.
type part struct {
	*explain.Attribution
	body func(*canvas)
}

func (p part) draw() (*canvas, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the attribution: %w", err)
	}
	c := newCanvas(pictureWidth)
	c.heading(heading(p.Attribution))
	p.body(c)
	return c.done(heading(p.Attribution))
}

func heading(a *explain.Attribution) string { return line(a.Method.Name) + ": " + question(a) }

// warnings draws each warning in a box of its own, after the name of what it is about.
func (c *canvas) warnings(about string, warnings []string) {
	for _, warning := range warnings {
		top := c.y
		c.y += 5
		below := c.shapes
		c.shapes = nil
		c.paragraph(margin+14, label{size: 12}, "Warning: "+about+line(warning))
		text := c.shapes
		c.y += 5
		c.shapes = below
		c.rect(margin, top, c.width-2*margin, c.y-top, style{fill: "#fff1e0", radius: 3}, "")
		c.rect(margin, top, 4, c.y-top, style{fill: colorPositive}, "")
		c.shapes = append(c.shapes, text...)
		c.y += 8
	}
}

func (c *canvas) fact(f fact) {
	l := label{size: 11.5}
	name := label{size: 11.5, fill: inkSoft}
	if f.bad {
		l.bold, name.bold, name.fill = true, true, "#a63603"
	}
	c.text(margin, c.y+12, name, f.name)
	c.paragraph(margin+96, l, f.text)
	c.y += 2
}

// tokens draws the input as coloured boxes on wrapping lines. A token that holds a line break ends its line.
func (c *canvas) tokens(a *explain.Attribution) {
	const size, height, pad = 14.0, 25.0, 5.0
	gap := 5.0
	if spaced(a) {
		gap = 2
	}
	top := largest(a.Scores)
	format := scoreFormat(top)
	scores, feature := tokenScores(a)
	right := c.width - margin
	limit := int((right - margin - 2*pad) / (size * monoEm))
	x := margin
	c.y += 4
	for i, tok := range a.Tokens {
		s := shorten(visible(tok.Text), min(limit, 48))
		w := monoWidth(s, size) + 2*pad
		if x > margin && x+w > right {
			x, c.y = margin, c.y+height+5
		}
		fill := diverging(ratio(scores[i], top))
		box, ink := style{fill: fill.hex(), radius: 3}, fill.ink()
		if math.IsNaN(scores[i]) {
			box, ink = style{fill: "#ffffff", radius: 3, stroke: lineSoft, dash: "2 2"}, inkSoft
		}
		c.group(tip(a, i, feature[i], format), func() {
			c.rect(x, c.y, w, height, box, "")
			c.text(x+w/2, c.y+17, label{size: size, anchor: "middle", mono: true, fill: ink}, s)
		})
		x += w + gap
		if strings.Contains(tok.Text, "\n") {
			x, c.y = margin, c.y+height+5
		}
	}
	if x > margin {
		c.y += height
	}
	c.y += 12
	c.scaleBar(margin, 220, -top, top, func(v float64) rgb { return diverging(ratio(v, top)) }, format, line(a.Unit))
}

// tip says all about a token: its place, text, score, and the feature where that is more than the token.
func tip(a *explain.Attribution, i, feature int, format func(float64) string) string {
	tok := a.Tokens[i]
	s := fmt.Sprintf("token %d: %s (#%d)", i, quoted(tok.Text), tok.ID)
	if feature < 0 {
		return s + ", in no feature"
	}
	s += ": " + format(a.Scores[feature])
	if len(a.Spread) > 0 {
		s += " ± " + number(a.Spread[feature])
	}
	if len(a.Features[feature].Tokens) > 1 {
		s += " for the feature " + quoted(a.Features[feature].Text)
	}
	return s
}

// whisker draws a range from lo to hi at the height y.
func (c *canvas) whisker(lo, hi, y float64) {
	var p path
	p.move(lo, y)
	p.line(hi, y)
	for _, x := range []float64{lo, hi} {
		p.move(x, y-3)
		p.line(x, y+3)
	}
	c.path(p, style{stroke: inkDark}, "")
}

const mostBars = 20

// bars draws the features by size around a common zero line, with whiskers for the spread.
func (c *canvas) bars(a *explain.Attribution) {
	const size, row = 12.0, 20.0
	top := largest(a.Scores)
	format := scoreFormat(top)
	order := explain.Ranked(a.Scores)
	shown := order[:min(mostBars, len(order))]
	wide, wideValue := 0.0, 0.0
	neg, pos := 0.0, 0.0 // how far bars and whiskers reach, as multiples of top
	spread := func(f int) float64 {
		if len(a.Spread) == 0 || top == 0 {
			return 0
		}
		return min(10, a.Spread[f]/top)
	}
	for _, f := range shown {
		wide = max(wide, monoWidth(featureName(a, f, 26), size))
		wideValue = max(wideValue, monoWidth(format(a.Scores[f]), size))
		x := ratio(a.Scores[f], top)
		neg, pos = max(neg, spread(f)-x), max(pos, x+spread(f))
	}
	reach := neg + pos
	if reach == 0 {
		reach = 1
	}
	left := margin + wide + 12 + wideValue + 14
	scale := (c.width - margin - left) / reach
	zero := left + neg*scale
	begin := c.y
	for _, f := range shown {
		s, x := a.Scores[f], ratio(a.Scores[f], top)
		mid := c.y + row/2
		c.text(margin, mid+4, label{size: size, mono: true}, featureName(a, f, 26))
		c.text(left-14, mid+4, label{size: size, mono: true, anchor: "end", fill: inkSoft}, format(s))
		from, color := zero, colorPositive
		if s < 0 {
			from, color = zero+x*scale, colorNegative
		}
		what := clean(a.Features[f].Text) + ": " + format(s)
		c.rect(from, c.y+3, math.Abs(x)*scale, row-6, style{fill: color, radius: 1.5}, what)
		if len(a.Spread) > 0 {
			lo, hi := zero+(x-spread(f))*scale, zero+(x+spread(f))*scale
			c.whisker(lo, hi, mid)
		}
		c.y += row
	}
	c.line(zero, begin, zero, c.y, "#8a8f98")
	if rest := order[len(shown):]; len(rest) > 0 {
		c.y += 16
		c.text(margin, c.y-3, label{size: 11, fill: inkSoft}, fmt.Sprintf("and %d more, none above %s in size", len(rest), strings.TrimPrefix(format(math.Abs(a.Scores[rest[0]])), "+")))
	}
	c.y += 6
}
