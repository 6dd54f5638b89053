package plot

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Scale says what a matrix's colours mean.
type Scale int

const (
	Sequential Scale = iota // from 0 to the largest value; a matrix with values below 0 is drawn as Diverging
	Diverging               // symmetric around 0
)

// Matrix is a heat map, such as an attention pattern with a row for each query and a column for each key.
type Matrix struct {
	Title string
	Rows  []string // a label each row, or nil
	Cols  []string // a label each column, or nil
	// What rows and columns are, such as "query" and "key"; may be empty.
	RowName, ColName string
	Data             [][]float64 // [row][column]; NaN is drawn as a gap
	Words            [][]string  // what is written in the cells in place of their numbers, or nil
	Scale            Scale
	Max              float64 // the end of the scale; 0 means the largest size in Data
}

const (
	maxSide   = 4096 // rows or columns
	mostCells = 4096 // drawn one by one with tooltips; more than that is one embedded image
)

// Validate returns all that makes the matrix impossible to draw.
func (m Matrix) Validate() error {
	var errs []error
	rows, cols := m.size()
	if rows == 0 || cols == 0 {
		errs = append(errs, errors.New("it has no cells"))
	}
	if rows > maxSide || cols > maxSide {
		errs = append(errs, fmt.Errorf("it is %d x %d: draw a part of at most %d x %[3]d", rows, cols, maxSide))
	}
	if m.Rows != nil && len(m.Rows) != rows {
		errs = append(errs, fmt.Errorf("%d row labels for %d rows", len(m.Rows), rows))
	}
	if m.Cols != nil && len(m.Cols) != cols {
		errs = append(errs, fmt.Errorf("%d column labels for %d columns", len(m.Cols), cols))
	}
	if m.Scale != Sequential && m.Scale != Diverging {
		errs = append(errs, fmt.Errorf("unknown scale %d", m.Scale))
	}
	if m.Max < 0 || math.IsNaN(m.Max) || math.IsInf(m.Max, 0) {
		errs = append(errs, fmt.Errorf("the scale ends at %g: expected a finite number, 0 or more", m.Max))
	}
	if m.Words != nil && (len(m.Words) != rows || slices.ContainsFunc(m.Words, func(row []string) bool {
		return len(row) != cols
	})) {
		errs = append(errs, errors.New("the words in the cells are not one a cell"))
	}
	for i, row := range m.Data {
		if len(row) != cols {
			errs = append(errs, fmt.Errorf("row %d has %d cells, row 0 has %d", i, len(row), cols))
			break
		}
		for j, v := range row {
			if math.IsInf(v, 0) {
				return errors.Join(append(errs, fmt.Errorf("cell %d, %d is %g", i, j, v))...)
			}
		}
	}
	return errors.Join(errs...)
}

// SVG draws the matrix with its labels and a colour scale.
func (m Matrix) SVG(w io.Writer) error { return canvas.WriteSVG(w, m) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (m Matrix) PNG(w io.Writer) error { return canvas.WritePNG(w, m) }

// Draw gathers the shapes that SVG and PNG write.
func (m Matrix) Draw() (*canvas.Canvas, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the matrix %q: %w", m.Title, err)
	}
	m.Scale = m.scale()
	rows, cols := m.size()
	cell := m.cellSize()
	font := max(min(11.5, cell.h*0.9), 7)
	rowLabels, colLabels := labelsOf(m.Rows), labelsOf(m.Cols)
	left := canvas.Margin + widest(rowLabels, font) + 6
	if m.RowName != "" {
		left += 18
	}
	barWidth := min(240, max(120, cell.w*float64(cols)))
	c := canvas.New(max(left+cell.w*float64(cols)+canvas.Margin, left+barWidth+2*canvas.Margin, 300))
	c.Heading(m.Title)
	if m.ColName != "" {
		c.Y += 14
		c.Text(
			left+cell.w*float64(cols)/2,
			c.Y,
			canvas.Label{Size: 11, Anchor: "middle", Fill: canvas.InkSoft},
			printable.Line(m.ColName),
		)
		c.Y += 4
	}
	m.drawColumnLabels(c, left, cell, font, colLabels)
	top := c.Y
	if m.RowName != "" {
		c.Text(
			canvas.Margin+10,
			top+cell.h*float64(rows)/2,
			canvas.Label{Size: 11, Anchor: "middle", Fill: canvas.InkSoft, Rotate: -90},
			printable.Line(m.RowName),
		)
	}
	for i := 0; i < rows && len(rowLabels) > 0; i += stride(cell.h, font) {
		c.Text(
			left-6,
			top+(float64(i)+0.5)*cell.h+font*0.36,
			canvas.Label{Size: font, Mono: true, Anchor: "end"},
			rowLabels[i],
		)
	}
	lo, hi := m.limits()
	drawCells(c, m, left, top, cell, lo, hi, rows*cols <= mostCells)
	switch {
	case m.Words != nil:
		drawWords(c, m, left, top, cell, lo, hi)
	case cell.w >= 36 && cell.h >= 11:
		drawValues(c, m, left, top, cell, lo, hi)
	}
	c.Y = top + cell.h*float64(rows) + 14
	c.ScaleBar(left, barWidth, lo, hi, m.color(lo, hi), printable.Number, "")
	drawCut(c, slices.Concat(m.Rows, m.Cols))
	return c.Done("heat map: " + printable.Line(m.Title))
}

// mostCut bounds the list of names that were cut.
const mostCut = 8

// drawCut says what the labels are that had no room: a picture has no tooltips where it is printed.
func drawCut(c *canvas.Canvas, names []string) {
	var cut []string
	for _, n := range names {
		s := "`" + printable.Shorten(printable.Clean(n), 200) + "`"
		if printable.Columns(printable.Visible(n)) > mostLabel && !slices.Contains(cut, s) {
			cut = append(cut, s)
		}
	}
	if len(cut) == 0 {
		return
	}
	said := "Cut short: " + strings.Join(cut[:min(len(cut), mostCut)], ", ")
	if more := len(cut) - mostCut; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	c.Y += 10
	c.Paragraph(canvas.Margin, canvas.Label{Size: 10.5, Fill: canvas.InkSoft}, said)
}

// scale returns the scale to draw with: values below 0 need one on which 0 has a colour of its own.
func (m Matrix) scale() Scale {
	for _, row := range m.Data {
		for _, v := range row {
			if v < 0 {
				return Diverging
			}
		}
	}
	return m.Scale
}

func (m Matrix) size() (rows, cols int) {
	if len(m.Data) == 0 {
		return 0, 0
	}
	return len(m.Data), len(m.Data[0])
}

// limits returns the ends of the colour scale.
func (m Matrix) limits() (lo, hi float64) {
	for _, row := range m.Data {
		for _, v := range row {
			if !math.IsNaN(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if m.Scale == Diverging {
		hi = max(hi, -lo)
	}
	if m.Max > 0 {
		hi = m.Max
	}
	if m.Scale == Diverging {
		lo = -hi
	}
	return lo, hi
}

func (m Matrix) color(lo, hi float64) func(float64) canvas.RGB {
	return func(v float64) canvas.RGB {
		switch {
		case hi <= lo:
			return canvas.Sequential(0)
		case m.Scale == Diverging:
			return canvas.Diverging(v / hi)
		}
		return canvas.Sequential((v - lo) / (hi - lo))
	}
}

// drawCells draws the body of a matrix at x, y: rectangles with tooltips, or one image.
func drawCells(c *canvas.Canvas, m Matrix, x, y float64, cell size, lo, hi float64, each bool) {
	rows, cols := m.size()
	width, height := cell.w*float64(cols), cell.h*float64(rows)
	paint := m.color(lo, hi)
	c.Rect(x, y, width, height, canvas.Style{Fill: paint(0).Hex()}, "")
	if !each {
		c.Image(x, y, width, height, pixels(m, paint))
	}
	for i := 0; each && i < rows; i++ {
		for j, v := range m.Data[i] {
			if v == 0 && m.Words == nil {
				continue // half of a causal pattern: the ground has its colour already
			}
			fill := paint(v)
			tip := cellName(m.Rows, i) + " × " + cellName(m.Cols, j) + ": " + printable.Number(v)
			if m.Words != nil {
				tip += " " + printable.Quoted(m.Words[i][j])
			}
			if math.IsNaN(v) {
				fill, tip = gap, cellName(m.Rows, i)+" × "+cellName(m.Cols, j)+": no value"
			}
			c.Rect(x+float64(j)*cell.w, y+float64(i)*cell.h, cell.w, cell.h, canvas.Style{Fill: fill.Hex()}, tip)
		}
	}
	c.Rect(x, y, width, height, canvas.Style{Stroke: "#b9bec7"}, "")
}

// drawValues prints the numbers into the cells, all with the same decimals: none where all are whole.
func drawValues(c *canvas.Canvas, m Matrix, x, y float64, cell size, lo, hi float64) {
	paint, format := m.color(lo, hi), printable.ScoreFormat(max(hi, -lo))
	if m.whole() {
		format = func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	}
	for i, row := range m.Data {
		for j, v := range row {
			if s := strings.TrimPrefix(format(v), "+"); !math.IsNaN(v) && len(s) <= 5 {
				c.Text(
					x+(float64(j)+0.5)*cell.w,
					y+(float64(i)+0.5)*cell.h+3.5,
					canvas.Label{Size: 10, Anchor: "middle", Fill: paint(v).Ink(), Behind: true},
					s,
				)
			}
		}
	}
}

func (m Matrix) whole() bool {
	for _, row := range m.Data {
		for _, v := range row {
			if v != math.Trunc(v) && !math.IsNaN(v) {
				return false
			}
		}
	}
	return true
}

var gap = canvas.RGB{R: 225, G: 225, B: 225}

func cellName(labels []string, i int) string {
	if i < len(labels) {
		return fmt.Sprintf("%d %s", i, printable.Quoted(labels[i]))
	}
	return fmt.Sprint(i)
}

// pixels returns the matrix as an image, a pixel a cell.
func pixels(m Matrix, paint func(float64) canvas.RGB) image.Image {
	rows, cols := m.size()
	img := image.NewNRGBA(image.Rect(0, 0, cols, rows))
	for i, row := range m.Data {
		for j, v := range row {
			p := paint(v)
			if math.IsNaN(v) {
				p = gap
			}
			img.SetNRGBA(j, i, color.NRGBA{p.R, p.G, p.B, 255})
		}
	}
	return img
}

// stride returns how many cells a label needs: 1 where every row can have its own.
func stride(cell, font float64) int { return max(1, int(math.Ceil(font/cell))) }

const mostLabel = 24 // columns of a label: the longest name of a method, or of a neuron

func labelsOf(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = printable.Shorten(printable.Visible(n), mostLabel)
	}
	return out
}

func widest(labels []string, font float64) float64 {
	w := 0.0
	for _, l := range labels {
		w = max(w, canvas.MonoWidth(l, font))
	}
	return w
}
