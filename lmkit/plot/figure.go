package plot

import (
	"fmt"
	"io"

	"lmkit.internal/lmkit/internal/canvas"
)

// Options says what a terminal can show.
type Options struct {
	Color bool // 256 colours; without it the same information is text alone
	Width int  // columns; 0 means 80, and less than 40 counts as 40
}

// Figure is a picture that has not been drawn yet. All formats show the same; Text leaves out what only a picture can
// say.
type Figure interface {
	SVG(w io.Writer) error
	PNG(w io.Writer) error
	Text(w io.Writer, o Options) error
}

var _ = []Figure{Curves{}, Matrix{}, Grid{}, Tree{}, Bars{}, Waterfall{}, Force{}, Table{}, Picker{}}

// Stack draws figures under each other into one PNG, for where only one picture can be shown.
func Stack(w io.Writer, figures ...Figure) error {
	c, err := drawAll(figures)
	if err != nil {
		return err
	}
	return c.PNG(w)
}

func drawAll(figures []Figure) (*canvas.Canvas, error) {
	if len(figures) == 0 {
		return nil, fmt.Errorf("there is no figure to draw")
	}
	var parts []*canvas.Canvas
	for _, f := range figures {
		d, ok := f.(canvas.Drawing)
		if !ok {
			return nil, fmt.Errorf("a %T cannot be stacked: it is no figure of lmkit", f)
		}
		c, err := d.Draw()
		if err != nil {
			return nil, err
		}
		parts = append(parts, c)
	}
	return canvas.Stack(parts...), nil
}
