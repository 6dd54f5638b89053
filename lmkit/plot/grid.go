package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Grid is several small matrices under one colour scale, such as all heads of a layer.
type Grid struct {
	Title    string
	Matrices []Matrix // all with the same Scale
	Columns  int      // tiles a row; 0 means as square as it gets
}

// SVG draws the grid: a small picture for each matrix under its title, and one scale for all. Labels of rows and
// columns are drawn where the cells are large enough, and not again beside a tile that has the same.
func (g Grid) SVG(w io.Writer) error { return canvas.WriteSVG(w, g) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (g Grid) PNG(w io.Writer) error { return canvas.WritePNG(w, g) }

// Validate returns what makes the grid impossible to draw.
func (g Grid) Validate() error {
	if len(g.Matrices) == 0 {
		return errors.New("it has no matrices")
	}
	for i, m := range g.Matrices {
		if err := m.Validate(); err != nil {
			return fmt.Errorf("matrix %d: %w", i, err)
		}
		if m.Scale != g.Matrices[0].Scale {
			return fmt.Errorf("matrix %d has another scale than matrix 0", i)
		}
	}
	return nil
}

// onOneScale returns the matrices with the scale that all of them need.
func (g Grid) onOneScale() []Matrix {
	all, scale := slices.Clone(g.Matrices), Sequential
	for _, m := range all {
		scale = max(scale, m.scale())
	}
	for i := range all {
		all[i].Scale = scale
	}
	return all
}

// Draw gathers the shapes that SVG and PNG write.
func (g Grid) Draw() (*canvas.Canvas, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the grid %q: %w", g.Title, err)
	}
	g.Matrices = g.onOneScale()
	lo, hi, cells := 0.0, 0.0, 0
	var names []string
	for _, m := range g.Matrices {
		l, h := m.limits()
		lo, hi = min(lo, l), max(hi, h)
		rows, cols := m.size()
		cells += rows * cols
		names = append(names, slices.Concat(m.Rows, m.Cols)...)
	}
	if g.Columns <= 0 {
		g.Columns = min(4, int(math.Ceil(math.Sqrt(float64(len(g.Matrices))))))
	}
	c := canvas.New(canvas.PictureWidth)
	c.Heading(g.Title)
	f := g.layout()
	c.Width = max(f.left[len(f.left)-1]+f.side+canvas.Margin, 320)
	for row := range slices.Chunk(g.Matrices, g.Columns) {
		top, tallest := c.Y+18+f.above(row), 0.0
		for k, m := range row {
			rows, _ := m.size()
			cell := m.cell(f.side)
			c.Text(
				f.left[k],
				c.Y+12,
				canvas.Label{Size: 11, Fill: canvas.InkSoft},
				printable.Shorten(printable.Line(m.Title), int(f.side/(11*canvas.SansEm))),
			)
			drawCells(c, m, f.left[k], top, size{cell, cell}, lo, hi, cells <= mostCells)
			if cell >= 36 {
				drawValues(c, m, f.left[k], top, size{cell, cell}, lo, hi)
			}
			if f.labels {
				drawTileLabels(c, m, k > 0 && slices.Equal(m.Rows, row[k-1].Rows), f.left[k], top, cell)
			}
			tallest = max(tallest, cell*float64(rows))
		}
		c.Y = top + tallest + 12
	}
	c.Y += 4
	c.ScaleBar(canvas.Margin, 220, lo, hi, g.Matrices[0].color(lo, hi), printable.Number, "")
	if f.labels {
		drawCut(c, names)
	}
	return c.Done("heat maps: " + printable.Line(g.Title))
}

const (
	tileSpace = 18.0 // between tiles
	tileFont  = 9.5  // of labels
	tileCell  = 10.0 // the smallest cell that is labelled
	tileLeast = 90.0 // the smallest tile that is
)

// frame says where the tiles of a grid are.
type frame struct {
	side   float64   // of a tile
	left   []float64 // of each column of tiles
	labels bool
}

// layout finds places for the tiles, with room for labels if enough is left for the cells then.
func (g Grid) layout() frame {
	f := g.place(true)
	small := func(m Matrix) bool { return m.cell(f.side) < tileCell }
	if f.side >= tileLeast && !slices.ContainsFunc(g.Matrices, small) {
		return f
	}
	return g.place(false)
}

func (g Grid) place(labels bool) frame {
	f := frame{left: make([]float64, g.Columns), labels: labels}
	room := make([]float64, g.Columns) // for the labels at the left of each column
	all := 0.0
	for i, m := range g.Matrices {
		if k := i % g.Columns; labels && len(m.Rows) > 0 && (k == 0 || !slices.Equal(m.Rows, g.Matrices[i-1].Rows)) {
			room[k] = max(room[k], widest(labelsOf(m.Rows), tileFont)+5)
		}
	}
	for _, r := range room {
		all += r + tileSpace
	}
	f.side = min(220, (canvas.PictureWidth-2*canvas.Margin-all+tileSpace)/float64(g.Columns))
	x := canvas.Margin
	for k, r := range room {
		f.left[k] = x + r
		x += r + f.side + tileSpace
	}
	return f
}

// above returns the room for the labels above a row of tiles.
func (f frame) above(row []Matrix) (room float64) {
	for _, m := range row {
		if f.labels && len(m.Cols) > 0 {
			room = max(room, tileFont+3)
			if !m.upright(m.cell(f.side)) {
				room = max(room, widest(labelsOf(m.Cols), tileFont)+5)
			}
		}
	}
	return room
}

// cell returns how large a cell is in a tile of the given side.
func (m Matrix) cell(side float64) float64 {
	rows, cols := m.size()
	return side / float64(max(rows, cols))
}

// upright says whether the columns' labels fit above their cells as they are.
func (m Matrix) upright(cell float64) bool { return widest(labelsOf(m.Cols), tileFont) < cell }

func drawTileLabels(c *canvas.Canvas, m Matrix, again bool, x, y, cell float64) {
	for i, name := range labelsOf(m.Rows) {
		if !again {
			c.Text(x-4, y+(float64(i)+0.5)*cell+tileFont*0.36, canvas.Label{Size: tileFont, Mono: true, Anchor: "end"}, name)
		}
	}
	for j, name := range labelsOf(m.Cols) {
		if m.upright(cell) {
			c.Text(x+(float64(j)+0.5)*cell, y-4, canvas.Label{Size: tileFont, Mono: true, Anchor: "middle"}, name)
			continue
		}
		c.Text(x+(float64(j)+0.5)*cell+tileFont*0.36, y-4, canvas.Label{Size: tileFont, Mono: true, Rotate: -90}, name)
	}
}
