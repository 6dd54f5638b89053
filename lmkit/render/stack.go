package render

import (
	"fmt"
	"io"
	"strings"

	"lmkit.internal/lmkit/explain"
)

// Attribution is an attribution as a figure: what SVG, PNG and Text draw of it.
type Attribution struct{ *explain.Attribution }

// SVG draws the attribution as the function SVG does.
func (a Attribution) SVG(w io.Writer) error { return SVG(w, a.Attribution) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (a Attribution) PNG(w io.Writer) error { return PNG(w, a.Attribution) }

// Text writes the attribution as the function Text does.
func (a Attribution) Text(w io.Writer, o Options) error { return Text(w, a.Attribution, o) }

func (a Attribution) draw() (*canvas, error) { return whole(a).draw() }

// Stack draws the figures of this package under each other into one PNG, for where only one picture can be shown.
func Stack(w io.Writer, figures ...Figure) error {
	all := newCanvas(0)
	all.y = 0
	for _, f := range figures {
		d, ok := f.(drawing)
		if !ok {
			return fmt.Errorf("a %T cannot be stacked: it is no figure of this package", f)
		}
		c, err := d.draw()
		if err != nil {
			return err
		}
		all.add(below{all.y, c.shapes})
		all.width, all.y = max(all.width, c.width), all.y+c.height()
	}
	if all.y == 0 {
		return fmt.Errorf("there is no figure to draw")
	}
	all.y -= margin // which the height adds
	return all.png(w)
}

// Figures returns what a page without tabs shows of a picker: the first picture of each tab.
func (k Picker) Figures() []Figure {
	var all []Figure
	for _, t := range k.Tabs {
		switch {
		case t.Grid != nil:
			all = append(all, *t.Grid)
		case t.Matrix != nil:
			all = append(all, *t.Matrix)
		case t.Figure != nil:
			all = append(all, t.Figure)
		case t.Picker != nil:
			if inner := t.Picker.Figures(); len(inner) > 0 {
				all = append(all, inner[0])
			}
		}
	}
	return all
}

// All returns the figures of a section in their order.
func (s Section) All() []Figure {
	var all []Figure
	for _, a := range s.Attributions {
		all = append(all, Attribution{a})
	}
	if s.Comparison != nil {
		all = append(all, s.Comparison)
	}
	for _, c := range s.Curves {
		all = append(all, c)
	}
	for _, m := range s.Matrices {
		all = append(all, m)
	}
	for _, g := range s.Grids {
		all = append(all, g)
	}
	for _, k := range s.Pickers {
		all = append(all, k.Figures()...)
	}
	return append(all, s.Figures...)
}

// below is a picture that starts further down.
type below struct {
	y      float64
	shapes []shape
}

func (b below) svg(out *strings.Builder) {
	fmt.Fprintf(out, "<g transform=\"translate(0 %s)\">\n", num(b.y))
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
