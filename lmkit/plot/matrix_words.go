package plot

import (
	"fmt"
	"math"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// size is how wide and high a cell is.
type size struct{ w, h float64 }

// The cells of a matrix of words: as wide as most words, and as high as a line.
const (
	wordWidth, wordHeight = 62.0, 17.0
	wordColumns           = 9 // of a word in a cell; longer ones are cut
)

// cellSize returns how large the cells are.
func (m Matrix) cellSize() size {
	if m.Words != nil {
		return size{wordWidth, wordHeight}
	}
	rows, cols := m.size()
	side := func(n int) float64 {
		cell := max(560/float64(n), 1)
		if cell = min(cell, 38); cell > 8 {
			cell = math.Floor(cell)
		}
		return cell
	}
	if cell := side(max(cols, rows)); rows <= tall || rows < 2*cols {
		return size{cell, cell}
	}
	return size{side(cols), max(side(rows), min(11, side(cols)))}
}

// tall is from how many rows on a matrix that is higher than wide has cells that are wider than high.
const tall = 16

// drawColumnLabels writes the names of the columns upright above them; level, where they fit and cells hold words.
func (m Matrix) drawColumnLabels(c *canvas.Canvas, left float64, cell size, font float64, labels []string) {
	if len(labels) == 0 {
		return
	}
	if m.Words != nil {
		c.Y += 16
		for j, l := range labels {
			c.Text(left+(float64(j)+0.5)*cell.w, c.Y-4, canvas.Label{Size: 10, Mono: true, Anchor: "middle"},
				printable.Shorten(l, wordColumns))
		}
		return
	}
	c.Y += widest(labels, font) + 6
	for j := 0; j < len(labels); j += stride(cell.w, font) {
		c.Text(left+(float64(j)+0.5)*cell.w+font*0.36, c.Y-4, canvas.Label{Size: font, Mono: true, Rotate: -90}, labels[j])
	}
}

// drawWords writes the words into the cells.
func drawWords(c *canvas.Canvas, m Matrix, x, y float64, cell size, lo, hi float64) {
	paint := m.color(lo, hi)
	for i, row := range m.Words {
		for j, word := range row {
			c.Text(x+(float64(j)+0.5)*cell.w, y+(float64(i)+0.5)*cell.h+3.5,
				canvas.Label{Size: 10, Mono: true, Anchor: "middle", Fill: paint(m.Data[i][j]).Ink(), Behind: true},
				printable.Shorten(printable.Visible(word), wordColumns))
		}
	}
}

// writeWords writes the words in their columns; where these do not all fit the width, the last of them, which read the
// whole text before them.
func writeWords(t *printable.Lines, m Matrix) {
	rows, cols := m.size()
	labels, heads, first := labelsOf(m.Rows), labelsOf(m.Cols), 0
	for _, l := range labels {
		first = max(first, printable.Columns(l))
	}
	room := max(1, (t.Width-2-first)/(wordColumns+2))
	from := max(0, cols-room)
	line := func(label string, words []string) {
		s := printable.PadRight(label, first)
		for _, w := range words {
			s += "  " + printable.PadRight(printable.Shorten(printable.Visible(w), wordColumns), wordColumns)
		}
		t.Line("  " + s)
	}
	if from > 0 {
		t.Line("  " + fmt.Sprintf("the last %d of %d columns:", cols-from, cols))
	}
	if heads != nil {
		line("", heads[from:])
	}
	for i := range rows {
		label := ""
		if i < len(labels) {
			label = labels[i]
		}
		line(label, m.Words[i][from:])
	}
}
