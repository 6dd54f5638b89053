package canvas

import (
	"fmt"
	"strings"
)

// Stack sets pictures under each other.
func Stack(parts ...*Canvas) *Canvas {
	all := New(0)
	all.Y = 0
	for _, c := range parts {
		all.add(below{all.Y, c.shapes})
		all.Width, all.Y = max(all.Width, c.Width), all.Y+c.Height()
	}
	all.Y -= Margin // which the height adds
	return all
}

// below is a picture that starts further down.
type below struct {
	y      float64
	shapes []shape
}

func (b below) svg(out *strings.Builder) {
	fmt.Fprintf(out, "<g transform=\"translate(0 %s)\">\n", Num(b.y))
	for _, s := range b.shapes {
		s.svg(out)
	}
	out.WriteString("</g>\n")
}

func (b below) png(p *painter) {
	p.down += b.y
	for _, s := range b.shapes {
		s.png(p)
	}
	p.down -= b.y
}
