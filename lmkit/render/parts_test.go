package render

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/plot"
)

func TestRefusals(t *testing.T) {
	broken := short()
	broken.Scores[0] = math.NaN()
	for name, c := range map[string]struct {
		draw    func(io.Writer) error
		wantErr string
	}{
		"scores": {func(w io.Writer) error { return Text(w, broken, plot.Options{}) }, "scores[0] is NaN"},
		"svg":    {func(w io.Writer) error { return SVG(w, broken) }, "scores[0] is NaN"},
		"nil":    {func(w io.Writer) error { return HTML(w, nil) }, "nil"},
		"tabs": {
			Report{Sections: []Section{{Figures: []plot.Figure{plot.Picker{Title: "p"}}}}}.HTML,
			`the picker "p" has no tabs`,
		},
		"empty table": {Report{Sections: []Section{{Figures: []plot.Figure{&Comparison{}}}}}.HTML, "nothing to compare"},
		"empty text":  {func(w io.Writer) error { return (&Comparison{}).Text(w, plot.Options{}) }, "nothing to compare"},
		"empty svg":   {(&Comparison{}).SVG, "nothing to compare"},
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
		{[]*explain.Attribution{short(), other}, "different inputs"},
		{[]*explain.Attribution{short(), grouped}, "different features"},
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
	if err := c.Text(&b, plot.Options{Width: 120}); err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{"+2.24", "+0.0067", "+2.50", "-0.30"} {
		if !strings.Contains(b.String(), number) {
			t.Errorf("no %s in\n%s", number, b.String())
		}
	}
}
