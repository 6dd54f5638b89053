package plot

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
)

func TestLargeMatrixIsOneImage(t *testing.T) {
	m := attention(200, 1, []string{"a"})
	var b bytes.Buffer
	if err := m.SVG(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Count(s, "<image ") != 1 || strings.Contains(s, "<title>") || len(s) > 200_000 {
		t.Errorf("%d bytes, %d images", len(s), strings.Count(s, "<image "))
	}
	canvastest.Safe(t, "large matrix", b.Bytes())
}

// A matrix with values below 0 has a scale that is symmetric around 0, in which 0 has the colour of nothing; a grid
// has one such scale for all of its matrices.
func TestSignsGetADivergingScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(-1e3, 1e3)
		n := rapid.IntRange(1, 5).Draw(t, "n")
		data := rapid.SliceOfN(rapid.SliceOfN(value, n, n), 1, 5).Draw(t, "data")
		m := Matrix{Data: data}
		below := slices.ContainsFunc(data, func(row []float64) bool { return slices.Min(row) < 0 })
		m.Scale = m.scale()
		if lo, hi := m.limits(); below && (m.Scale != Diverging || lo != -hi || m.color(lo, hi)(0) != canvas.Diverging(0)) ||
			!below && lo != 0 {
			t.Fatalf("scale %d from %g to %g", m.Scale, lo, hi)
		}
		for _, of := range (Grid{Matrices: []Matrix{{Data: data}, {Data: [][]float64{{1}}}}}).onOneScale() {
			if (of.Scale == Diverging) != below {
				t.Fatalf("a matrix of a grid has the scale %d", of.Scale)
			}
		}
	})
}

// A label is drawn whole, or cut and then said whole below the picture.
func TestCutLabelsAreSaid(t *testing.T) {
	long := "a token of many letters that has no room"
	m := Matrix{Rows: []string{"short", long}, Cols: []string{long + " 2"}, Data: [][]float64{{1}, {2}}}
	for name, f := range map[string]Figure{"matrix": m, "grid": Grid{Matrices: []Matrix{m}}} {
		var b strings.Builder
		if err := f.SVG(&b); err != nil {
			t.Fatal(err)
		}
		joined := strings.Join(regexp.MustCompile(`>([^<>]*)</text>`).FindAllString(b.String(), -1), " ")
		joined = strings.NewReplacer("</text>", "", ">", "", "  ", " ").Replace(joined)
		for _, want := range []string{"short", "Cut short: `" + long + "`", long + " 2`"} {
			if !strings.Contains(joined, want) {
				t.Errorf("%s: no %q in %s", name, want, joined)
			}
		}
	}
}

// In a terminal no name of a column is cut: where the columns do not fit beside each other, some stand below, and every
// line fits.
func TestColumnsStandBelow(t *testing.T) {
	m := Matrix{Title: "probe", Rows: []string{"embed", "block.22.resid.post"},
		Cols: []string{"accuracy", "control", "selectivity", "majority", "new pieces", "AUC", "untrained"},
		Data: [][]float64{{0.5, 0.62, -0.12, 0.5, 0.38, 0.5, 0.5}, {1, 0.5, 0.5, 0.5, 1, 1, 123.45}}}
	for width, lines := range map[int]int{80: 8, 72: 8, 200: 4} {
		var text strings.Builder
		if err := m.Text(&text, Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text.String(), "\n"); n != lines {
			t.Errorf("%d columns wide: %d lines, not %d:\n%s", width, n, lines, text.String())
		}
		for line := range strings.Lines(text.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > width {
				t.Errorf("a line of %d in a width of %d: %q", n, width, line)
			}
		}
		for _, want := range append(m.Cols, m.Rows...) {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%d columns wide, there is no %q:\n%s", width, want, text.String())
			}
		}
	}
	var text strings.Builder
	if err := (Matrix{Data: [][]float64{{1, 2}, {3, 4}}}).Text(&text, Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	if strings.Count(text.String(), "\n") != 2 || strings.Contains(text.String(), "\n\n") {
		t.Errorf("without names:\n%s", text.String())
	}
}
