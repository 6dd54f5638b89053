package plot

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	ok := Matrix{Data: [][]float64{{1}}}
	inner := Picker{Title: "inner"}
	for name, c := range map[string]struct {
		draw    func(io.Writer) error
		wantErr string
	}{
		"no cells":      {Matrix{}.SVG, "no cells"},
		"ragged":        {Matrix{Data: [][]float64{{1}, {1, 2}}}.SVG, "row 1 has 2 cells, row 0 has 1"},
		"labels":        {Matrix{Rows: []string{"a", "b"}, Data: [][]float64{{1}}}.SVG, "2 row labels for 1 rows"},
		"infinite":      {Matrix{Data: [][]float64{{inf}}}.SVG, "cell 0, 0 is +Inf"},
		"scale":         {Matrix{Scale: 7, Data: ok.Data}.SVG, "unknown scale 7"},
		"max":           {Matrix{Max: -1, Data: ok.Data}.SVG, "the scale ends at -1"},
		"large":         {Matrix{Data: make([][]float64, maxSide+1)}.SVG, "no cells"},
		"grid":          {Grid{}.SVG, "no matrices"},
		"mixed grid":    {Grid{Matrices: []Matrix{ok, {Scale: Diverging, Data: ok.Data}}}.SVG, "another scale"},
		"no points":     {Curves{}.SVG, "no point"},
		"all NaN":       {Loss([]Point{{1, nan}}, nil).SVG, "no point"},
		"infinite loss": {Loss([]Point{{1, inf}}, nil).SVG, "expected finite numbers"},
		"log":           {Curves{LogY: true, Lines: []Line{{Points: []Point{{1, 0}}}}}.SVG, "above 0"},
		"no tabs":       {Picker{Title: "p"}.SVG, `the picker "p" has no tabs`},
		"empty tab":     {Picker{Title: "p", Tabs: []Tab{{Name: "t"}}}.PNG, `the tab "t" of the picker "p" has no figure`},
		"inner tabs":    {Picker{Title: "p", Tabs: []Tab{{Name: "t", Figure: inner}}}.SVG, `the picker "inner" has no tabs`},
		"no figure":     {func(w io.Writer) error { return Stack(w) }, "no figure to draw"},
	} {
		var b bytes.Buffer
		if err := c.draw(&b); err == nil || !strings.Contains(err.Error(), c.wantErr) || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want %q", name, err, b.Len(), c.wantErr)
		}
	}
}
