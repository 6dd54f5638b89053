package printable

import (
	"io"
	"math"
	"strings"
)

// Lines gathers lines for a terminal.
type Lines struct {
	Color bool
	Width int
	b     strings.Builder
}

// NewLines returns no lines yet. A width of 0 columns means 80, and less than 40 counts as 40.
func NewLines(color bool, width int) *Lines {
	if width == 0 {
		width = 80
	}
	return &Lines{Color: color, Width: max(40, width)}
}

// Flush writes what was gathered.
func (t *Lines) Flush(w io.Writer) error {
	_, err := io.WriteString(w, t.b.String())
	return err
}

// Line adds a line.
func (t *Lines) Line(s string) { t.b.WriteString(strings.TrimRight(s, " ") + "\n") }

// Paint wraps s in a terminal's colour sequence.
func (t *Lines) Paint(code, s string) string {
	if !t.Color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Block writes a label of n columns and a text that wraps beside it.
func (t *Lines) Block(label string, n int, s string) {
	for i, l := range Wrap(s, t.Width-n-2) {
		if i > 0 {
			label = strings.Repeat(" ", n)
		}
		t.Line(label + "  " + l)
	}
}

// Bar draws a number from -1 to 1 as a bar of at most room columns: hatched where it is below 0.
func (t *Lines) Bar(x float64, room int) string {
	n := int(math.Round(math.Abs(x) * float64(room)))
	if x < 0 {
		return t.Paint("38;5;69", strings.Repeat("▒", n))
	}
	return t.Paint("38;5;208", strings.Repeat("█", n))
}

// Title adds a title, if there is one.
func (t *Lines) Title(s string) {
	if s = Line(s); s != "" {
		t.Block(t.Paint("1", s), Columns(s), "")
	}
}
