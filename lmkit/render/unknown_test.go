package render

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/plot"
)

// What the model does not know is marked in every format, and is not ranked; a score that it cannot have is no number.
func TestUnknownIsMarked(t *testing.T) {
	a := unknown()
	known, apart := ranked(a)
	if slices.Contains(known, 1) || slices.Contains(known, 3) || len(known)+len(apart) != len(a.Features) {
		t.Errorf("ranked %v, apart %v", known, apart)
	}
	c := mustCompare(t, a, a)
	for name, draw := range map[string]func(*bytes.Buffer) error{
		"text":       func(b *bytes.Buffer) error { return Text(b, a, plot.Options{}) },
		"colour":     func(b *bytes.Buffer) error { return Text(b, a, plot.Options{Color: true}) },
		"svg":        func(b *bytes.Buffer) error { return SVG(b, a) },
		"html":       func(b *bytes.Buffer) error { return HTML(b, a) },
		"comparison": func(b *bytes.Buffer) error { return c.Text(b, plot.Options{}) },
		"table":      func(b *bytes.Buffer) error { return c.SVG(b) },
		"page":       func(b *bytes.Buffer) error { return Fragment(b, Section{Figures: []plot.Figure{c}}) },
	} {
		var b bytes.Buffer
		if err := draw(&b); err != nil {
			t.Fatal(err)
		}
		if s := b.String(); !strings.Contains(s, "zebra[unknown]") || !strings.Contains(s, "no score") {
			t.Errorf("%s: not marked in\n%s", name, s)
		}
	}
	if a.Baseline = "mean"; unscored(a, 1) {
		t.Error("against the mean an unknown token has a score")
	}
	a.Features[1].Tokens = []int{1, 2}
	if isUnknown(a, 1) {
		t.Error("a feature with a word that is known counts as unknown")
	}
}
