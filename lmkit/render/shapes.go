package render

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/png"
	"strings"
)

// style is how a shape is painted. Colours are written #rrggbb; "" paints nothing.
type style struct {
	fill   string
	stroke string
	width  float64 // of the stroke; 0: 1
	dash   string  // lengths on and off, such as "7 4"
	radius float64 // of a rectangle's corners
	round  bool    // round joins and ends
}

func (s style) attrs() string {
	var b strings.Builder
	attr := func(name, value string) { fmt.Fprintf(&b, ` %s="%s"`, name, value) }
	if s.fill == "" {
		s.fill = "none"
	}
	attr("fill", s.fill)
	if s.radius > 0 {
		attr("rx", num(s.radius))
	}
	if s.stroke == "" {
		return b.String()
	}
	attr("stroke", s.stroke)
	if s.width > 0 {
		attr("stroke-width", num(s.width))
	}
	if s.round {
		attr("stroke-linejoin", "round")
		attr("stroke-linecap", "round")
	}
	if s.dash != "" {
		attr("stroke-dasharray", s.dash)
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
	style      style
	tip        string
}

func (r rectangle) svg(b *strings.Builder) {
	element(b, "rect", fmt.Sprintf(` x="%s" y="%s" width="%s" height="%s"%s`, num(r.x), num(r.y), num(r.w), num(r.h), r.style.attrs()), r.tip)
}

type disc struct {
	x, y, r float64
	style   style
	tip     string
}

func (d disc) svg(b *strings.Builder) {
	element(b, "circle", fmt.Sprintf(` cx="%s" cy="%s" r="%s"%s`, num(d.x), num(d.y), num(d.r), d.style.attrs()), d.tip)
}

// path is a pen's way over the paper. Its coordinates are those of the picture.
type path struct{ steps []step }

// step goes to the last of its points: M lifts the pen, L draws a line, C a cubic Bézier curve.
type step struct {
	op byte
	at []point
}

type point struct{ x, y float64 }

func (p *path) move(x, y float64) { p.steps = append(p.steps, step{'M', []point{{x, y}}}) }
func (p *path) line(x, y float64) { p.steps = append(p.steps, step{'L', []point{{x, y}}}) }
func (p *path) cubic(x1, y1, x2, y2, x, y float64) {
	p.steps = append(p.steps, step{'C', []point{{x1, y1}, {x2, y2}, {x, y}}})
}

type stroke struct {
	path  path
	style style
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
			d.WriteString(num(p.x) + " " + num(p.y))
		}
	}
	element(b, "path", fmt.Sprintf(` d="%s"%s`, d.String(), s.style.attrs()), s.tip)
}

type lettering struct {
	x, y  float64
	label label
	text  string
}

func (t lettering) svg(b *strings.Builder) {
	l := t.label
	attrs := fmt.Sprintf(` font-size="%s"`, num(l.size))
	if l.anchor != "" {
		attrs += fmt.Sprintf(` text-anchor="%s"`, l.anchor)
	}
	if l.mono {
		attrs += fmt.Sprintf(` font-family="%s"`, monoFont)
	}
	if l.bold {
		attrs += ` font-weight="600"`
	}
	if l.fill != "" {
		attrs += fmt.Sprintf(` fill="%s"`, l.fill)
	}
	if l.rotate != 0 {
		attrs += fmt.Sprintf(` transform="rotate(%s %s %s)"`, num(l.rotate), num(t.x), num(t.y))
	}
	if l.behind {
		attrs += ` pointer-events="none"`
	}
	fmt.Fprintf(b, "<text x=\"%s\" y=\"%s\"%s xml:space=\"preserve\">%s</text>\n", num(t.x), num(t.y), attrs, html.EscapeString(t.text))
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
	fmt.Fprintf(b, `<image x="%s" y="%s" width="%s" height="%s" preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,%s"/>`+"\n",
		num(p.x), num(p.y), num(p.w), num(p.h), base64.StdEncoding.EncodeToString(data.Bytes()))
}
