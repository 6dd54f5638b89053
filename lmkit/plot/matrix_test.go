package plot

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
	"pgregory.net/rapid"
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
