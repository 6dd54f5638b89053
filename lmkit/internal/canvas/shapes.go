package canvas

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/png"
	"strings"
)

// Style is how a shape is painted. Colours are written #rrggbb; "" paints nothing.
type Style struct {
	Fill   string
	Stroke string
	Width  float64 // of the stroke; 0: 1
	Dash   string  // lengths on and off, such as "7 4"
	Radius float64 // of a rectangle's corners
	Round  bool    // round joins and ends
}

func (s Style) attrs() string {
	var b strings.Builder
	attr := func(name, value string) { fmt.Fprintf(&b, ` %s="%s"`, name, value) }
	if s.Fill == "" {
		s.Fill = "none"
	}
	attr("fill", s.Fill)
	if s.Radius > 0 {
		attr("rx", Num(s.Radius))
	}
	if s.Stroke == "" {
		return b.String()
	}
	attr("stroke", s.Stroke)
	if s.Width > 0 {
		attr("stroke-width", Num(s.Width))
	}
	if s.Round {
		attr("stroke-linejoin", "round")
		attr("stroke-linecap", "round")
	}
	if s.Dash != "" {
		attr("stroke-dasharray", s.Dash)
	}
	return b.String()
}

// element writes an element, which holds its tooltip if there is one.
func element(b *strings.Builder, name, attrs, tip string) {
	if tip == "" {
		fmt.Fprintf(b, "<%s%s/>\n", name, attrs)
		return
	}
	fmt.Fprintf(b, "<%s%s>%s</%[1]s>\n", name, attrs, title(tip))
}

type rectangle struct {
	x, y, w, h float64
	style      Style
	tip        string
}

func (r rectangle) svg(b *strings.Builder) {
	place := fmt.Sprintf(` x="%s" y="%s" width="%s" height="%s"`, Num(r.x), Num(r.y), Num(r.w), Num(r.h))
	element(b, "rect", place+r.style.attrs(), r.tip)
}

type disc struct {
	x, y, r float64
	style   Style
	tip     string
}

func (d disc) svg(b *strings.Builder) {
	element(b, "circle", fmt.Sprintf(` cx="%s" cy="%s" r="%s"%s`, Num(d.x), Num(d.y), Num(d.r), d.style.attrs()), d.tip)
}

// Path is a pen's way over the paper. Its coordinates are those of the picture.
type Path struct{ steps []step }

// step goes to the last of its points: M lifts the pen, L draws a line, C a cubic Bézier curve.
type step struct {
	op byte
	at []point
}

type point struct{ x, y float64 }

// Empty says whether the pen has gone nowhere yet.
func (p Path) Empty() bool { return len(p.steps) == 0 }

// Move lifts the pen and sets it down at x, y.
func (p *Path) Move(x, y float64) { p.steps = append(p.steps, step{'M', []point{{x, y}}}) }

// Line draws a straight line to x, y.
func (p *Path) Line(x, y float64) { p.steps = append(p.steps, step{'L', []point{{x, y}}}) }

func (p *Path) Cubic(x1, y1, x2, y2, x, y float64) {
	p.steps = append(p.steps, step{'C', []point{{x1, y1}, {x2, y2}, {x, y}}})
}

type stroke struct {
	path  Path
	style Style
	tip   string
}

func (s stroke) svg(b *strings.Builder) {
	var d strings.Builder
	for _, step := range s.path.steps {
		d.WriteByte(step.op)
		for i, p := range step.at {
			if i > 0 {
				d.WriteByte(' ')
			}
			d.WriteString(Num(p.x) + " " + Num(p.y))
		}
	}
	element(b, "path", fmt.Sprintf(` d="%s"%s`, d.String(), s.style.attrs()), s.tip)
}

type lettering struct {
	x, y  float64
	label Label
	text  string
}

func (t lettering) svg(b *strings.Builder) {
	l := t.label
	attrs := fmt.Sprintf(` font-size="%s"`, Num(l.Size))
	if l.Anchor != "" {
		attrs += fmt.Sprintf(` text-anchor="%s"`, l.Anchor)
	}
	if l.Mono {
		attrs += fmt.Sprintf(` font-family="%s"`, monoFont)
	}
	if l.Bold {
		attrs += ` font-weight="600"`
	}
	if l.Fill != "" {
		attrs += fmt.Sprintf(` fill="%s"`, l.Fill)
	}
	if l.Rotate != 0 {
		attrs += fmt.Sprintf(` transform="rotate(%s %s %s)"`, Num(l.Rotate), Num(t.x), Num(t.y))
	}
	if l.Behind {
		attrs += ` pointer-events="none"`
	}
	text := html.EscapeString(t.text)
	fmt.Fprintf(b, "<text x=\"%s\" y=\"%s\"%s xml:space=\"preserve\">%s</text>\n", Num(t.x), Num(t.y), attrs, text)
}

type group struct {
	tip    string
	shapes []shape
}

func (g group) svg(b *strings.Builder) {
	b.WriteString("<g>" + title(g.tip) + "\n")
	for _, s := range g.shapes {
		s.svg(b)
	}
	b.WriteString("</g>\n")
}

// picture is an image that fills a rectangle, each pixel as a block.
type picture struct {
	x, y, w, h float64
	img        image.Image
}

func (p picture) svg(b *strings.Builder) {
	var data bytes.Buffer
	if err := png.Encode(&data, p.img); err != nil {
		return // a bytes.Buffer takes everything
	}
	const element = `<image x="%s" y="%s" width="%s" height="%s" preserveAspectRatio="none" ` +
		`image-rendering="pixelated" href="data:image/png;base64,%s"/>` + "\n"
	encoded := base64.StdEncoding.EncodeToString(data.Bytes())
	fmt.Fprintf(b, element, Num(p.x), Num(p.y), Num(p.w), Num(p.h), encoded)
}
