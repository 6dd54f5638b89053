package render

import "io"

// Figure is a picture that has not been drawn yet. All formats show the same; Text leaves out what only a picture can say.
type Figure interface {
	SVG(w io.Writer) error
	PNG(w io.Writer) error
	Text(w io.Writer, o Options) error
}

var _ = []Figure{Curves{}, Matrix{}, Grid{}, Tree{}, &Comparison{}, Bars{}, Waterfall{}, Force{}, Table{}, Attribution{}}

// drawing is what has shapes.
type drawing interface{ draw() (*canvas, error) }

func writeSVG(w io.Writer, d drawing) error {
	c, err := d.draw()
	if err != nil {
		return err
	}
	return c.svg(w)
}

func writePNG(w io.Writer, d drawing) error {
	c, err := d.draw()
	if err != nil {
		return err
	}
	return c.png(w)
}
