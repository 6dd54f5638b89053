package plot

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Table is rows of cells under a header. Numbers are printed with three significant digits, and stand on the right.
type Table struct {
	Title  string
	Header []string
	Rows   [][]any
}

// Validate returns all that makes the table impossible to draw.
func (t Table) Validate() error {
	var errs []error
	if len(t.Header) == 0 {
		errs = append(errs, errors.New("it has no columns"))
	}
	if len(t.Rows) > mostRows {
		errs = append(errs, fmt.Errorf("it has %d rows: show at most %d", len(t.Rows), mostRows))
	}
	for i, row := range t.Rows {
		if len(row) != len(t.Header) {
			errs = append(errs, fmt.Errorf("row %d has %d cells for %d columns", i, len(row), len(t.Header)))
		}
	}
	return errors.Join(errs...)
}

// cell prints a cell, and says whether it is a number.
func cell(v any) (s string, isNumber bool) {
	switch x := v.(type) {
	case float64:
		return printable.Number(x), true
	case float32:
		return printable.Number(float64(x)), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(x), true
	case nil:
		return "", false
	case string:
		return printable.Line(x), false
	}
	return printable.Line(fmt.Sprint(v)), false
}

const mostCell = 60 // columns of text

// Cells returns what stands in the table, how wide each column is, and which ones are numbers all the way down.
func (t Table) Cells() (rows [][]string, wide []int, numbers []bool) {
	wide, numbers = make([]int, len(t.Header)), make([]bool, len(t.Header))
	for j, h := range t.Header {
		wide[j], numbers[j] = printable.Columns(printable.Shorten(printable.Line(h), mostCell)), len(t.Rows) > 0
	}
	for _, row := range t.Rows {
		out := make([]string, len(row))
		for j, v := range row {
			s, is := cell(v)
			out[j] = printable.Shorten(s, mostCell)
			wide[j], numbers[j] = max(wide[j], printable.Columns(out[j])), numbers[j] && (is || s == "")
		}
		rows = append(rows, out)
	}
	return rows, wide, numbers
}

// SVG draws the table.
func (t Table) SVG(w io.Writer) error { return canvas.WriteSVG(w, t) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (t Table) PNG(w io.Writer) error { return canvas.WritePNG(w, t) }

// Draw gathers the shapes that SVG and PNG write.
func (t Table) Draw() (*canvas.Canvas, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	const size, row, space = 12.0, 21.0, 22.0
	rows, wide, numbers := t.Cells()
	width := 2 * canvas.Margin
	for _, n := range wide {
		width += float64(n)*size*canvas.BoldEm + space
	}
	c := canvas.New(max(width, 240))
	c.Heading(t.Title)
	write := func(cells []string, l canvas.Label) {
		x := canvas.Margin
		for j, s := range cells {
			w := float64(wide[j]) * size * canvas.BoldEm
			l.Anchor = ""
			at := x
			if numbers[j] {
				l.Anchor, at = "end", x+w
			}
			c.Text(at, c.Y+15, l, s)
			x += w + space
		}
		c.Y += row
	}
	head := make([]string, len(t.Header))
	for j, h := range t.Header {
		head[j] = printable.Shorten(printable.Line(h), mostCell)
	}
	write(head, canvas.Label{Size: size, Bold: true})
	c.Line(canvas.Margin, c.Y+1, c.Width-canvas.Margin, c.Y+1, "#8a8f98")
	c.Y += 3
	for i, r := range rows {
		if i%2 == 1 {
			c.Rect(canvas.Margin-6, c.Y, c.Width-2*canvas.Margin+12, row, canvas.Style{Fill: "#f4f5f7"}, "")
		}
		write(r, canvas.Label{Size: size})
	}
	return c.Done("table: " + printable.Line(t.Title))
}

// Text writes the table for a terminal.
func (t Table) Text(w io.Writer, o Options) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	x := printable.NewLines(o.Color, o.Width)
	x.Title(t.Title)
	rows, wide, numbers := t.Cells()
	write := func(cells []string) {
		var parts []string
		for j, s := range cells {
			if numbers[j] {
				parts = append(parts, printable.PadLeft(s, wide[j]))
			} else {
				parts = append(parts, printable.PadRight(s, wide[j]))
			}
		}
		x.Line("  " + strings.Join(parts, "  "))
	}
	head := make([]string, len(t.Header))
	total := -2
	for j, h := range t.Header {
		head[j] = printable.Shorten(printable.Line(h), mostCell)
		total += wide[j] + 2
	}
	write(head)
	x.Line("  " + strings.Repeat("─", max(1, total)))
	for _, r := range rows {
		write(r)
	}
	return x.Flush(w)
}
