package render

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// SVG draws an attribution as one picture: question, warnings, the tokens coloured by score, the features with the
// largest scores as bars, and the evidence. It fails where a.Validate fails.
func SVG(w io.Writer, a *explain.Attribution) error { return Attribution{a}.SVG(w) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func PNG(w io.Writer, a *explain.Attribution) error { return Attribution{a}.PNG(w) }

// TokensSVG draws only the tokens of an attribution, coloured by score, with the scale.
func TokensSVG(w io.Writer, a *explain.Attribution) error {
	return canvas.WriteSVG(w, part{a, drawTokens})
}

// BarsSVG draws only the features of an attribution with the largest scores, as horizontal bars.
func BarsSVG(w io.Writer, a *explain.Attribution) error {
	return canvas.WriteSVG(w, part{a, drawBars})
}

// part is an attribution and what to draw of it under its heading.
type part struct {
	*explain.Attribution
	body func(*canvas.Canvas, *explain.Attribution)
}

// Draw gathers the shapes of that part.
func (p part) Draw() (*canvas.Canvas, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the attribution: %w", err)
	}
	c := canvas.New(canvas.PictureWidth)
	c.Heading(heading(p.Attribution))
	p.body(c, p.Attribution)
	return c.Done(heading(p.Attribution))
}

func drawWhole(c *canvas.Canvas, a *explain.Attribution) {
	drawWarnings(c, "", a.Warnings)
	drawTokens(c, a)
	c.Y += 10
	drawBars(c, a)
	c.Y += 8
	for _, f := range facts(a)[1:] {
		drawFact(c, f)
	}
}

func heading(a *explain.Attribution) string {
	return printable.Line(a.Method.Name) + ": " + question(a)
}

// drawWarnings draws each warning in a box of its own, after the name of what it is about.
func drawWarnings(c *canvas.Canvas, about string, warnings []string) {
	for _, warning := range warnings {
		c.Note("Warning: " + about + printable.Line(warning))
	}
}

func drawFact(c *canvas.Canvas, f fact) {
	l := canvas.Label{Size: 11.5}
	name := canvas.Label{Size: 11.5, Fill: canvas.InkSoft}
	if f.Bad {
		l.Bold, name.Bold, name.Fill = true, true, "#a63603"
	}
	c.Text(canvas.Margin, c.Y+12, name, f.Name)
	c.Paragraph(canvas.Margin+96, l, f.Text)
	c.Y += 2
}

// The boxes of tokens.
const (
	tokenFont   = 14.0
	roleFont    = 11.0 // of the roles beside them
	tokenHeight = 25.0
	tokenPad    = 5.0 // within a box, beside the text
)

// tokenBox is a token as it is drawn.
type tokenBox struct {
	index int
	text  string
	width float64
}

// drawTokens draws the input as coloured boxes on wrapping lines, which run to the left where the text does.
func drawTokens(c *canvas.Canvas, a *explain.Attribution) {
	gap := 5.0
	if spaced(a) {
		gap = 2
	}
	top := canvas.Largest(a.Scores)
	format := printable.ScoreFormat(top)
	scores, feature := tokenScores(a)
	toLeft := toLeft(a)
	c.Y += 4
	all := turns(a)
	left := canvas.Margin
	if wide := roleColumns(all); wide > 0 {
		left += canvas.MonoWidth(strings.Repeat("m", wide), roleFont) + 10
	}
	for _, r := range all {
		if r.Role != "" {
			c.Text(canvas.Margin, c.Y+17, canvas.Label{Size: roleFont, Mono: true, Fill: canvas.InkSoft}, r.Role)
		}
		for _, line := range tokenLines(a, r, c.Width-canvas.Margin-left, gap) {
			x := left
			if toLeft {
				x = c.Width - canvas.Margin + gap
				for _, box := range line {
					x -= box.width + gap
				}
			}
			texts := make([]string, len(line))
			for i, box := range line {
				texts[i] = a.Tokens[box.index].Text
			}
			for _, i := range printable.Visual(texts, toLeft) {
				box := line[i]
				drawToken(c, x, box, canvas.Ratio(scores[box.index], top), math.IsNaN(scores[box.index]),
					tip(a, box.index, feature[box.index], format))
				x += box.width + gap
			}
			c.Y += tokenHeight + 5
		}
	}
	c.Y += 7
	color := func(v float64) canvas.RGB { return canvas.Diverging(canvas.Ratio(v, top)) }
	c.ScaleBar(canvas.Margin, 220, -top, top, color, format, printable.Line(a.Unit))
}

// tokenLines puts the tokens of a turn on lines of a width. A token of a message that holds a line break ends its line.
func tokenLines(a *explain.Attribution, r turn, width, gap float64) (lines [][]tokenBox) {
	limit := min(48, int((width-2*tokenPad)/(tokenFont*canvas.MonoEm)))
	var line []tokenBox
	used := 0.0
	for i := r.From; i < r.To; i++ {
		tok := a.Tokens[i]
		s := tokenText(tok, limit)
		box := tokenBox{i, s, canvas.MonoWidth(s, tokenFont) + 2*tokenPad}
		if len(line) > 0 && used+box.width > width {
			lines, line, used = append(lines, line), nil, 0
		}
		line, used = append(line, box), used+box.width+gap
		if strings.Contains(tok.Text, "\n") && !r.Template {
			lines, line, used = append(lines, line), nil, 0
		}
	}
	if len(line) > 0 {
		lines = append(lines, line)
	}
	return lines
}

// drawToken draws a token at x in the colour of its score, as a share of the largest one; or empty, where it has none.
func drawToken(c *canvas.Canvas, x float64, box tokenBox, score float64, none bool, tip string) {
	fill := canvas.Diverging(score)
	style, ink := canvas.Style{Fill: fill.Hex(), Radius: 3}, fill.Ink()
	if none {
		style = canvas.Style{Fill: "#ffffff", Radius: 3, Stroke: canvas.LineSoft, Dash: "2 2"}
		ink = canvas.InkSoft
	}
	c.Group(tip, func() {
		c.Rect(x, c.Y, box.width, tokenHeight, style, "")
		label := canvas.Label{Size: tokenFont, Anchor: "middle", Mono: true, Fill: ink}
		c.Text(x+box.width/2, c.Y+17, label, box.text)
	})
}

// tip says all about a token: its place, text, score, and the feature where that is more than the token.
func tip(a *explain.Attribution, i, feature int, format func(float64) string) string {
	tok := a.Tokens[i]
	s := fmt.Sprintf("token %d: %s (#%d)", i, printable.Quoted(tok.Text), tok.ID)
	if tok.Unknown {
		s += ", which the model does not know"
	}
	if tok.Role != "" {
		s += ", role " + printable.Line(tok.Role)
	}
	switch {
	case tok.Held:
		return s + ", which stays and has no score"
	case feature < 0:
		return s + ", in no feature"
	}
	s += ": " + scoreText(a, feature, format)
	if len(a.Spread) > 0 {
		s += " ± " + printable.Number(a.Spread[feature])
	}
	if len(a.Features[feature].Tokens) > 1 {
		s += " for the feature " + printable.Quoted(a.Features[feature].Text)
	}
	return s
}

const mostBars = 20

// drawBars draws the features by size around a common zero line, with whiskers for the spread.
func drawBars(c *canvas.Canvas, a *explain.Attribution) {
	const size, row = 12.0, 20.0
	top := canvas.Largest(a.Scores)
	format := printable.ScoreFormat(top)
	order, unknown := ranked(a)
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
		wide = max(wide, canvas.MonoWidth(featureName(a, f, 26), size))
		wideValue = max(wideValue, canvas.MonoWidth(format(a.Scores[f]), size))
		x := canvas.Ratio(a.Scores[f], top)
		neg, pos = max(neg, spread(f)-x), max(pos, x+spread(f))
	}
	reach := neg + pos
	if reach == 0 {
		reach = 1
	}
	left := canvas.Margin + wide + 12 + wideValue + 14
	scale := (c.Width - canvas.Margin - left) / reach
	zero := left + neg*scale
	begin := c.Y
	for _, f := range shown {
		s, x := a.Scores[f], canvas.Ratio(a.Scores[f], top)
		mid := c.Y + row/2
		c.Text(canvas.Margin, mid+4, canvas.Label{Size: size, Mono: true}, featureName(a, f, 26))
		c.Text(left-14, mid+4, canvas.Label{Size: size, Mono: true, Anchor: "end", Fill: canvas.InkSoft}, format(s))
		from, color := zero, canvas.ColorPositive
		if s < 0 {
			from, color = zero+x*scale, canvas.ColorNegative
		}
		what := printable.Clean(a.Features[f].Text) + ": " + format(s)
		c.Rect(from, c.Y+3, math.Abs(x)*scale, row-6, canvas.Style{Fill: color, Radius: 1.5}, what)
		if len(a.Spread) > 0 {
			lo, hi := zero+(x-spread(f))*scale, zero+(x+spread(f))*scale
			c.Whisker(lo, hi, mid)
		}
		c.Y += row
	}
	c.Line(zero, begin, zero, c.Y, "#8a8f98")
	for _, left := range []string{rest(a, order[len(shown):], format), unknownLine(a, unknown, format)} {
		if left != "" {
			c.Y += 16
			c.Text(canvas.Margin, c.Y-3, canvas.Label{Size: 11, Fill: canvas.InkSoft}, left)
		}
	}
	c.Y += 6
}
