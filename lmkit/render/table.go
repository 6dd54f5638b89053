package render

import (
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
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
		return number(x), true
	case float32:
		return number(float64(x)), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(x), true
	case nil:
		return "", false
	case string:
		return line(x), false
	}
	return line(fmt.Sprint(v)), false
}

const mostCell = 60 // columns of text

// cells returns what stands in the table, how wide each column is, and which ones are numbers all the way down.
func (t Table) cells() (rows [][]string, wide []int, numbers []bool) {
	wide, numbers = make([]int, len(t.Header)), make([]bool, len(t.Header))
	for j, h := range t.Header {
		wide[j], numbers[j] = columns(shorten(line(h), mostCell)), len(t.Rows) > 0
	}
	for _, row := range t.Rows {
		out := make([]string, len(row))
		for j, v := range row {
			s, is := cell(v)
			out[j] = shorten(s, mostCell)
			wide[j], numbers[j] = max(wide[j], columns(out[j])), numbers[j] && (is || s == "")
		}
		rows = append(rows, out)
	}
	return rows, wide, numbers
}

// SVG draws the table.
func (t Table) SVG(w io.Writer) error { return writeSVG(w, t) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (t Table) PNG(w io.Writer) error { return writePNG(w, t) }

func (t Table) draw() (*canvas, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	const size, row, space = 12.0, 21.0, 22.0
	rows, wide, numbers := t.cells()
	width := 2 * margin
	for _, n := range wide {
		width += float64(n)*size*boldEm + space
	}
	c := newCanvas(max(width, 240))
	c.heading(t.Title)
	write := func(cells []string, l label) {
		x := margin
		for j, s := range cells {
			w := float64(wide[j]) * size * boldEm
			l.anchor = ""
			at := x
			if numbers[j] {
				l.anchor, at = "end", x+w
			}
			c.text(at, c.y+15, l, s)
			x += w + space
		}
		c.y += row
	}
	head := make([]string, len(t.Header))
	for j, h := range t.Header {
		head[j] = shorten(line(h), mostCell)
	}
	write(head, label{size: size, bold: true})
	c.line(margin, c.y+1, c.width-margin, c.y+1, "#8a8f98")
	c.y += 3
	for i, r := range rows {
		if i%2 == 1 {
			c.rect(margin-6, c.y, c.width-2*margin+12, row, style{fill: "#f4f5f7"}, "")
		}
		write(r, label{size: size})
	}
	return c.done("table: " + line(t.Title))
}

// Text writes the table for a terminal.
func (t Table) Text(w io.Writer, o Options) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	x := &text{Options: o}
	x.title(t.Title)
	rows, wide, numbers := t.cells()
	write := func(cells []string) {
		var parts []string
		for j, s := range cells {
			if numbers[j] {
				parts = append(parts, padLeft(s, wide[j]))
			} else {
				parts = append(parts, padRight(s, wide[j]))
			}
		}
		x.line("  " + strings.Join(parts, "  "))
	}
	head := make([]string, len(t.Header))
	total := -2
	for j, h := range t.Header {
		head[j] = shorten(line(h), mostCell)
		total += wide[j] + 2
	}
	write(head)
	x.line("  " + strings.Repeat("─", max(1, total)))
	for _, r := range rows {
		write(r)
	}
	_, err := io.WriteString(w, x.b.String())
	return err
}

func (p *page) table(t Table) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	rows, _, numbers := t.cells()
	class := func(j int) string {
		if numbers[j] {
			return ` class="lmkit-number"`
		}
		return ""
	}
	if t.Title != "" {
		p.add("<h3>%s</h3>", escape(t.Title))
	}
	p.b.WriteString("<div class=\"lmkit-scroll\"><table class=\"lmkit-table\">\n<thead><tr>")
	for j, h := range t.Header {
		fmt.Fprintf(&p.b, "<th scope=\"col\"%s>%s</th>", class(j), escape(h))
	}
	p.add("</tr></thead>\n<tbody>")
	for _, r := range rows {
		p.b.WriteString("<tr>")
		for j, s := range r {
			fmt.Fprintf(&p.b, "<td%s>%s</td>", class(j), html.EscapeString(s))
		}
		p.add("</tr>")
	}
	p.add("</tbody></table></div>")
	return nil
}
