package render

import (
	"io"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/plot"
)

// Attribution is an attribution as a figure: what SVG, PNG and Text draw of it.
type Attribution struct{ *explain.Attribution }

// Figures returns attributions as figures, for a Section or a Picker.
func Figures(as ...*explain.Attribution) []plot.Figure {
	figures := make([]plot.Figure, len(as))
	for i, a := range as {
		figures[i] = Attribution{a}
	}
	return figures
}

// SVG draws the attribution as the function SVG does.
func (a Attribution) SVG(w io.Writer) error { return canvas.WriteSVG(w, a) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (a Attribution) PNG(w io.Writer) error { return canvas.WritePNG(w, a) }

// Text writes the attribution as the function Text does.
func (a Attribution) Text(w io.Writer, o plot.Options) error { return Text(w, a.Attribution, o) }

// Draw gathers the shapes that SVG and PNG write.
func (a Attribution) Draw() (*canvas.Canvas, error) { return part{a.Attribution, drawWhole}.Draw() }
