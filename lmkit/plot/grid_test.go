package plot

import (
	"fmt"
	"strings"
	"testing"
)

// Tiles are labelled where there is room, and rows once where neighbours have the same.
func TestGridLabels(t *testing.T) {
	tile := func(n int, name string) Matrix {
		m := Matrix{Data: make([][]float64, n)}
		for i := range m.Data {
			m.Data[i] = make([]float64, n)
			m.Rows, m.Cols = append(m.Rows, fmt.Sprintf("%s%d", name, i)), append(m.Cols, fmt.Sprintf("to%d", i))
		}
		return m
	}
	for _, test := range []struct {
		name     string
		grid     Grid
		row, col int // how often the first labels are drawn
	}{
		{"small", Grid{Matrices: []Matrix{tile(3, "a"), tile(3, "a"), tile(3, "a")}}, 2, 3}, // two of them at the left
		{"different", Grid{Columns: 2, Matrices: []Matrix{tile(3, "a"), tile(3, "b")}}, 1, 2},
		{"many tokens", Grid{Matrices: []Matrix{tile(40, "a"), tile(40, "a")}}, 0, 0},
		{"long names", Grid{Columns: 4, Matrices: []Matrix{
			tile(12, strings.Repeat("long", 9)), tile(12, "a"), tile(12, "b"), tile(12, strings.Repeat("name", 9)),
		}}, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			if err := test.grid.SVG(&b); err != nil {
				t.Fatal(err)
			}
			if row, col := strings.Count(
				b.String(),
				">a0<",
			), strings.Count(
				b.String(),
				">to0<",
			); row != test.row ||
				col != test.col {
				t.Errorf("labels drawn: %d of rows, %d of columns; want %d and %d", row, col, test.row, test.col)
			}
		})
	}
}
