package render

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"lmkit.internal/lmkit/explain"
	"pgregory.net/rapid"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"": "∅", " ": "·", "  a b ": "··a b·", "\n": "⏎", "a\r\n": "a‹0D›⏎", "\t": "⇥", "\x1b[0m": "‹1B›[0m", "\x7f": "‹7F›",
		"\u202e": "‹202E›", "\u200b": "‹200B›", "\u00a0": "‹A0›", "\xff": "\ufffd", "\u0301": "◌\u0301", "e\u0301": "e\u0301",
		"👩‍👧": "👩‍👧", "\u200d": "‹200D›", "日本": "日本", "שלום": "שלום\u200e",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShortenAndWrapKeepTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := line(rapid.String().Draw(t, "s"))
		n := rapid.IntRange(2, 30).Draw(t, "n")
		if got := shorten(s, n); columns(got) > n || columns(s) <= n && got != s {
			t.Fatalf("shorten(%q, %d) = %q", s, n, got)
		}
		lines := wrap(s, n)
		for _, l := range lines {
			if columns(l) > n && uniseg.GraphemeClusterCount(l) > 1 {
				t.Fatalf("wrap(%q, %d): %q has %d columns", s, n, l, columns(l))
			}
		}
		if squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }; squeeze(strings.Join(lines, "")) != squeeze(s) {
			t.Fatalf("wrap(%q, %d) loses something: %q", s, n, lines)
		}
	})
}

func TestWrapKeepsQuotedTokensWhole(t *testing.T) {
	if got := wrap("why ` are` now", 9); !slices.Equal(got, []string{"why", "` are`", "now"}) {
		t.Errorf("got %q", got)
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 3.1: "3.1", -0.4: "-0.4", 12345: "12345", 0.0012345: "0.00123", 1e-5: "1e-05", 2e6: "2e+06", 99.96: "100", 1: "1", 100: "100"} {
		if got := number(x); got != want {
			t.Errorf("number(%g) = %s, want %s", x, got, want)
		}
	}
	for _, c := range []struct {
		top, x float64
		want   string
	}{{2, 0.9, "+0.90"}, {0.05, -0.0123, "-0.012"}, {5000, 12.3, "+12"}, {1e-6, 1e-7, "+1.00e-07"}, {0, 0, "+0.00"}} {
		if got := scoreFormat(c.top)(c.x); got != c.want {
			t.Errorf("scoreFormat(%g)(%g) = %s, want %s", c.top, c.x, got, c.want)
		}
	}
}

// Colours must order by lightness, so that they survive grey print and colour blindness, and be symmetric enough that
// equal sizes look equally strong.
func TestScalesGrowDarker(t *testing.T) {
	light := func(c rgb) float64 { return 0.2126*float64(c.r) + 0.7152*float64(c.g) + 0.0722*float64(c.b) }
	for i := range 100 {
		x, y := float64(i)/100, float64(i+1)/100
		if light(sequential(y)) > light(sequential(x)) || light(diverging(y)) > light(diverging(x)) || light(diverging(-y)) > light(diverging(-x)) {
			t.Errorf("between %g and %g a scale grows lighter", x, y)
		}
		if d := light(diverging(x)) - light(diverging(-x)); math.Abs(d) > 32 {
			t.Errorf("at %g the two sides differ in lightness by %g", x, d)
		}
		if p, n := diverging(y), diverging(-y); p.r <= p.b || n.b <= n.r {
			t.Errorf("at %g: positive %v is not orange, or negative %v is not blue", y, p, n)
		}
	}
	if diverging(math.NaN()) != diverging(-1) || sequential(9) != sequential(1) {
		t.Error("what is outside of a scale is not clamped")
	}
}

func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Float64Range(-1e9, 1e9).Draw(t, "lo")
		a := axis{from: 0, to: 100}
		a.include(lo)
		a.include(lo + rapid.Float64Range(0, 1e9).Draw(t, "span"))
		a.pad()
		ts := a.ticks(6)
		if len(ts) < 2 || len(ts) > 18 || !slices.IsSorted(ts) {
			t.Fatalf("%v: ticks %v", a, ts)
		}
		for _, v := range ts {
			if at := a.at(v); at < -1 || at > 101 {
				t.Fatalf("%v: the tick %g is at %g", a, v, at)
			}
		}
	})
	logarithmic := axis{lo: 1e-5, hi: 1, log: true, any: true, to: 1}
	if got := fmt.Sprint(logarithmic.ticks(8)); got != "[1e-05 0.0001 0.001 0.01 0.1 1]" {
		t.Errorf("log ticks %s", got)
	}
}

func TestThinKeepsExtremes(t *testing.T) {
	var ps []Point
	for i := range 100000 {
		ps = append(ps, Point{float64(i), math.Sin(float64(i))})
	}
	ps[54321].Y, ps[777].Y, ps[40000].Y = 99, -99, math.NaN()
	got := thin(ps, axis{lo: 0, hi: 99999, from: 0, to: 700})
	if len(got) > 4*701+4 || got[0] != ps[0] || got[len(got)-1] != ps[len(ps)-1] {
		t.Errorf("%d points, first %v, last %v", len(got), got[0], got[len(got)-1])
	}
	if !slices.Contains(got, ps[54321]) || !slices.Contains(got, ps[777]) || !slices.ContainsFunc(got, func(p Point) bool { return math.IsNaN(p.Y) }) {
		t.Error("a spike or a gap is lost")
	}
}

func TestRefusals(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	broken := short()
	broken.Scores[0] = nan
	ok := Matrix{Data: [][]float64{{1}}}
	for name, c := range map[string]struct {
		draw    func(io.Writer) error
		wantErr string
	}{
		"scores":        {func(w io.Writer) error { return Text(w, broken, Options{}) }, "scores[0] is NaN"},
		"svg":           {func(w io.Writer) error { return SVG(w, broken) }, "scores[0] is NaN"},
		"nil":           {func(w io.Writer) error { return HTML(w, nil) }, "nil"},
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
		"tabs":          {Report{Sections: []Section{{Pickers: []Picker{{Title: "p"}}}}}.HTML, `the picker "p" has no tabs`},
		"empty table":   {Report{Sections: []Section{{Comparison: &Comparison{}}}}.HTML, "nothing to compare"},
		"empty text":    {func(w io.Writer) error { return (&Comparison{}).Text(w, Options{}) }, "nothing to compare"},
		"empty svg":     {(&Comparison{}).SVG, "nothing to compare"},
	} {
		var b bytes.Buffer
		if err := c.draw(&b); err == nil || !strings.Contains(err.Error(), c.wantErr) || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want %q", name, err, b.Len(), c.wantErr)
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	other := short()
	other.Tokens[0].ID = 99
	grouped := short()
	grouped.Features[0].Tokens = []int{0, 1}
	for _, c := range []struct {
		as      []*explain.Attribution
		wantErr string
	}{
		{nil, "at least one"}, {[]*explain.Attribution{short(), nil}, "attribution 2"},
		{[]*explain.Attribution{short(), other}, "different inputs"}, {[]*explain.Attribution{short(), grouped}, "different features"},
	} {
		if _, err := Compare(c.as...); err == nil || !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("error %v, want %q", err, c.wantErr)
		}
	}
}

func TestCompareLeavesNumbersAlone(t *testing.T) {
	c := comparison(t)
	if len(c.Pairs) != 3 || c.K != 3 || c.Pairs[0].TopOverlap != 1 {
		t.Errorf("pairs %+v, k %d", c.Pairs, c.K)
	}
	for _, p := range c.Pairs {
		want, err := explain.Spearman(c.Attributions[p.A].Scores, c.Attributions[p.B].Scores)
		if err != nil || p.Spearman != want {
			t.Errorf("columns %d, %d: %g, want %g", p.A, p.B, p.Spearman, want)
		}
	}
	var b bytes.Buffer
	if err := c.Text(&b, Options{Width: 120}); err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{"+2.24", "+0.0067", "+2.50", "-0.30"} {
		if !strings.Contains(b.String(), number) {
			t.Errorf("no %s in\n%s", number, b.String())
		}
	}
}

func TestLargeMatrixIsOneImage(t *testing.T) {
	m := attention(200, 1, []string{"a"})
	var b bytes.Buffer
	if err := m.SVG(&b); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Count(s, "<image ") != 1 || strings.Contains(s, "<title>") || len(s) > 200_000 {
		t.Errorf("%d bytes, %d images", len(s), strings.Count(s, "<image "))
	}
	checkSafe(t, "large matrix", b.Bytes())
}
