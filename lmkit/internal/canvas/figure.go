package canvas

import (
	"io"
)

// Drawing is what has shapes.
type Drawing interface{ Draw() (*Canvas, error) }

// WriteSVG writes a picture as SVG.
func WriteSVG(w io.Writer, d Drawing) error {
	c, err := d.Draw()
	if err != nil {
		return err
	}
	return c.SVG(w)
}

// WritePNG paints a picture as PNG.
func WritePNG(w io.Writer, d Drawing) error {
	c, err := d.Draw()
	if err != nil {
		return err
	}
	return c.PNG(w)
}
