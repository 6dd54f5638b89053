package render

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// Text writes each line's extent as numbers, and its course as a row of bars.
func (cs Curves) Text(w io.Writer, o Options) error {
	if err := cs.Validate(); err != nil {
		return fmt.Errorf("cannot draw the chart %q: %w", cs.Title, err)
	}
	t := &text{Options: o}
	t.title(cs.Title)
	if cs.XLabel != "" || cs.YLabel != "" {
		t.block("", 0, strings.TrimSpace(line(cs.YLabel)+" by "+line(cs.XLabel)))
	}
	wide := 0
	for _, l := range cs.Lines {
		wide = max(wide, columns(shorten(line(l.Name), 24)))
	}
	for _, l := range cs.Lines {
		name := padRight(shorten(line(l.Name), 24), wide)
		var ys []float64
		for _, p := range l.Points {
			if !math.IsNaN(p.Y) {
				ys = append(ys, p.Y)
			}
		}
		if len(ys) == 0 {
			t.line("  " + name + "  no points")
			continue
		}
		lo, hi := ys[0], ys[0]
		for _, y := range ys {
			lo, hi = min(lo, y), max(hi, y)
		}
		said := fmt.Sprintf("%s, %s to %s", count(len(ys), "point"), number(lo), number(hi))
		if !l.Dots {
			said += fmt.Sprintf("; first %s, last %s", number(ys[0]), number(ys[len(ys)-1]))
			name += "  " + spark(ys, lo, hi, min(24, t.width()/3))
		}
		t.block("  "+name, columns(name)+2, said)
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

func (t *text) title(s string) {
	if s = line(s); s != "" {
		t.block(t.paint("1", s), columns(s), "")
	}
}

// spark draws numbers as n bars, each the mean of its share of them.
func spark(ys []float64, lo, hi float64, n int) string {
	const bars = "▁▂▃▄▅▆▇█"
	n = min(n, len(ys))
	var b strings.Builder
	for i := range n {
		part := ys[i*len(ys)/n : (i+1)*len(ys)/n]
		sum := 0.0
		for _, y := range part {
			sum += y / float64(len(part))
		}
		k := 3
		if hi > lo {
			k = max(0, min(7, int((sum-lo)/(hi-lo)*8)))
		}
		b.WriteRune([]rune(bars)[k])
	}
	return b.String()
}

// Text writes the numbers where they fit the width, and otherwise the largest ones.
func (m Matrix) Text(w io.Writer, o Options) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("cannot draw the matrix %q: %w", m.Title, err)
	}
	t := &text{Options: o}
	t.title(m.Title)
	rows, cols := m.size()
	lo, hi := m.limits()
	format := scoreFormat(max(hi, -lo))
	wide, first := 5, 0
	for _, l := range labelsOf(m.Rows) {
		first = max(first, columns(l))
	}
	if 2+first+cols*(wide+2) > t.width() || rows > 60 {
		t.largest(m, format)
	} else {
		t.numbers(m, format, first, wide)
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

func (t *text) numbers(m Matrix, format func(float64) string, first, wide int) {
	head := padRight("", first)
	for _, l := range labelsOf(m.Cols) {
		head += "  " + padLeft(shorten(l, wide), wide)
	}
	if m.Cols != nil {
		t.line("  " + head)
	}
	labels := labelsOf(m.Rows)
	for i, row := range m.Data {
		s := padRight("", first)
		if labels != nil && i < len(labels) {
			s = padRight(labels[i], first)
		}
		for _, v := range row {
			cell := "-"
			if !math.IsNaN(v) {
				cell = format(v)
				if m.Scale == Sequential {
					cell = strings.TrimPrefix(cell, "+")
				}
			}
			s += "  " + padLeft(cell, wide)
		}
		t.line("  " + s)
	}
}

const mostNamed = 5

// largest names the cells with the largest values.
func (t *text) largest(m Matrix, format func(float64) string) {
	rows, cols := m.size()
	t.line(fmt.Sprintf("  %d x %d; the largest are", rows, cols))
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
		t.line("  " + padLeft(strings.TrimPrefix(format(m.Data[c.i][c.j]), "+"), 8) + "  " + cellName(m.Rows, c.i) + " × " + cellName(m.Cols, c.j))
	}
}

// Text names the largest cell of each matrix.
func (g Grid) Text(w io.Writer, o Options) error {
	if _, err := g.draw(); err != nil {
		return err
	}
	t := &text{Options: o}
	t.title(g.Title)
	for _, m := range g.Matrices {
		i, j := m.top()
		t.block("  "+padRight(shorten(line(m.Title), 24), 12), 14, fmt.Sprintf("largest %s: %s × %s", number(m.Data[i][j]), cellName(m.Rows, i), cellName(m.Cols, j)))
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// top is the cell with the largest size.
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

// Text writes the tree as rules.
func (t Tree) Text(w io.Writer, o Options) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("cannot draw the tree %q: %w", t.Title, err)
	}
	x := &text{Options: o}
	x.title(t.Title)
	for _, l := range strings.Split(strings.TrimRight(t.Rules(), "\n"), "\n") {
		x.line("  " + clean(l))
	}
	_, err := io.WriteString(w, x.b.String())
	return err
}
