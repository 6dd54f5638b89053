package plot

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/internal/printable"
)

// Text writes the numbers where they fit the width, and otherwise the largest ones.
func (m Matrix) Text(w io.Writer, o Options) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("cannot draw the matrix %q: %w", m.Title, err)
	}
	t := printable.NewLines(o.Color, o.Width)
	t.Title(m.Title)
	m.Scale = m.scale()
	rows, cols := m.size()
	lo, hi := m.limits()
	format := printable.ScoreFormat(max(hi, -lo))
	first := 0
	for _, l := range labelsOf(m.Rows) {
		first = max(first, printable.Columns(l))
	}
	if m.Words != nil {
		writeWords(t, m)
	} else if 2+first+cols*(leastWide+2) > t.Width || rows > 100 {
		writeLargest(t, m, format)
	} else {
		writeNumbers(t, m, format, first)
	}
	return t.Flush(w)
}

const leastWide = 5 // of a column of numbers

// writeNumbers writes the numbers below the names of their columns. Columns that have no room beside the others stand
// below them, with the names of the rows once more.
func writeNumbers(t *printable.Lines, m Matrix, format func(float64) string, first int) {
	rows, cols := m.size()
	lines := make([][]string, 1+rows) // of the columns alone, their names first
	labels := append([]string{""}, labelsOf(m.Rows)...)
	lines[0] = labelsOf(m.Cols)
	for i, row := range m.Data {
		for _, v := range row {
			cell := "-"
			if !math.IsNaN(v) {
				if cell = format(v); m.Scale == Sequential {
					cell = strings.TrimPrefix(cell, "+")
				}
			}
			lines[1+i] = append(lines[1+i], cell)
		}
	}
	if m.Cols == nil {
		lines, labels = lines[1:], labels[1:]
	}
	wide, room := make([]int, cols), t.Width-2-first
	for j := range wide {
		wide[j] = leastWide
		for _, line := range lines {
			wide[j] = max(wide[j], printable.Columns(line[j]))
		}
		wide[j] = max(leastWide, min(wide[j], room-2))
	}
	for from := 0; from < cols; {
		to, used := from, 0
		for to < cols && (to == from || used+wide[to]+2 <= room) {
			used += wide[to] + 2
			to++
		}
		if from > 0 {
			t.Line("")
		}
		for i, line := range lines {
			s := printable.PadRight("", first)
			if i < len(labels) {
				s = printable.PadRight(labels[i], first)
			}
			for j := from; j < to; j++ {
				s += "  " + printable.PadLeft(printable.Shorten(line[j], wide[j]), wide[j])
			}
			t.Line("  " + s)
		}
		from = to
	}
}

const mostNamed = 5

// writeLargest names the cells with the largest values.
func writeLargest(t *printable.Lines, m Matrix, format func(float64) string) {
	rows, cols := m.size()
	t.Line(fmt.Sprintf("  %d x %d; the largest are", rows, cols))
	type cell struct {
		i, j int
		size float64
	}
	var top []cell
	for i, row := range m.Data {
		for j, v := range row {
			c := cell{i, j, math.Abs(v)}
			k := len(top)
			for k > 0 && c.size > top[k-1].size {
				k--
			}
			if k < mostNamed && !math.IsNaN(v) {
				top = append(top[:k], append([]cell{c}, top[k:]...)...)
				top = top[:min(len(top), mostNamed)]
			}
		}
	}
	for _, c := range top {
		value := strings.TrimPrefix(format(m.Data[c.i][c.j]), "+")
		t.Line("  " + printable.PadLeft(value, 8) + "  " + cellName(m.Rows, c.i) + " × " + cellName(m.Cols, c.j))
	}
}

// Text names the largest cell of each matrix.
func (g Grid) Text(w io.Writer, o Options) error {
	if _, err := g.Draw(); err != nil {
		return err
	}
	t := printable.NewLines(o.Color, o.Width)
	t.Title(g.Title)
	for _, m := range g.Matrices {
		i, j := m.top()
		title := printable.PadRight(printable.Shorten(printable.Line(m.Title), 24), 12)
		where := cellName(m.Rows, i) + " × " + cellName(m.Cols, j)
		t.Block("  "+title, 14, "largest "+printable.Number(m.Data[i][j])+": "+where)
	}
	return t.Flush(w)
}

// top returns the cell with the largest size.
func (m Matrix) top() (row, col int) {
	for i, r := range m.Data {
		for j, v := range r {
			if best := m.Data[row][col]; math.Abs(v) > math.Abs(best) || math.IsNaN(best) {
				row, col = i, j
			}
		}
	}
	return row, col
}
