package render_test

import (
	"bytes"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

func matrix() *explain.Matrix {
	foil := explain.Token{ID: 2, Text: " is"}
	return &explain.Matrix{
		Schema:    explain.Schema,
		Method:    explain.MethodInfo{Name: "layers"},
		Objective: explain.Contrast,
		Target:    explain.Token{ID: 1, Text: " are"},
		Foil:      &foil,
		Baseline:  "unk",
		Axes:      []string{"layer", "token"},
		Rows:      []string{"input", "layer 0"},
		Columns:   []string{"The", " keys", "<b>"},
		Values:    [][]float64{{0.5, -0.25, 1}, {0, 0.25, 1.01}},
		Unit:      "logit",
		Value:     1.5,
		Base:      0.25,
		Promise:   &explain.Promise{Total: 1.25, Of: explain.Difference, Each: explain.EachRow},
		Evidence: explain.MatrixEvidence{
			Completeness: &explain.Completeness{Error: 0.01, Relative: 0.008, Tolerance: 0.01, Holds: true},
		},
		Cost:      explain.Cost{ForwardRows: 3, BackwardRows: 2, EstimatedRows: 5},
		ModelHash: "ab",
		InputHash: "cd",
		Warnings:  []string{"a \x1b[2J <i>warning</i>"},
	}
}

// A matrix is shown in all forms with its numbers, its warnings and its evidence.
func TestMatrix(t *testing.T) {
	figure := render.Matrix{Matrix: matrix()}
	var text, svg, png, page bytes.Buffer
	if err := figure.Text(&text, plot.Options{Width: 100}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"layers: why ` are` rather than ` is`", "+0.50", "-0.25", "WARNING", "2 x 3 (layer by token), in logit",
		"holds: every row adds up to 1.25 (value - base); the worst is off by 0.01", "3 rows forward, 2 backward",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, text.String())
		}
	}
	if strings.ContainsAny(text.String(), "\x1b") {
		t.Errorf("a control character reaches the terminal: %q", text.String())
	}
	if err := figure.SVG(&svg); err != nil {
		t.Fatal(err)
	}
	if err := figure.PNG(&png); err != nil || !bytes.HasPrefix(png.Bytes(), []byte("\x89PNG")) {
		t.Errorf("a picture of %d bytes, error %v", png.Len(), err)
	}
	if err := (render.Report{Title: "x", Sections: []render.Section{{Figures: []plot.Figure{figure}}}}).HTML(
		&page,
	); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"SVG": svg.String(), "HTML": page.String()} {
		for _, want := range []string{"every row adds up to", "0.50", "layers: why"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s has no %q:\n%s", name, want, s)
			}
		}
		if strings.Contains(s, "<i>") || strings.Contains(s, "<b>") {
			t.Errorf("%s has the input's markup:\n%s", name, s)
		}
	}
	broken := matrix()
	broken.Values = broken.Values[:1]
	if err := (render.Matrix{Matrix: broken}).SVG(&svg); err == nil {
		t.Error("a matrix without its rows was drawn")
	}
	broken = matrix()
	broken.Evidence.Completeness.Holds = false
	text.Reset()
	if err := (render.Matrix{Matrix: broken}).Text(
		&text,
		plot.Options{},
	); err != nil ||
		!strings.Contains(text.String(), "DOES NOT HOLD") {
		t.Errorf("a broken promise is shown as\n%s (%v)", text.String(), err)
	}
}

// On a page, each token of an answer holds the input and the answer before it, coloured by its own row, and the rows
// whose evidence fails are named.
func TestAnswerOnAPage(t *testing.T) {
	m := matrix()
	m.Method.Name, m.Axes, m.Rows, m.Columns = "answer", []string{"answer", "token"}, []string{" yes", " it"}, []string{
		"Is", " it", " yes"}
	m.Values, m.RowValues, m.Warnings = [][]float64{{0.5, -0.25, 0}, {0, 0.25, 1}}, []float64{-1, -0.5}, nil
	m.Foil, m.Objective, m.Answer = nil, explain.LogProb, []explain.Token{{Text: " yes"}, {Text: " it"}}
	m.Promise = &explain.Promise{Total: 1.5, Totals: []float64{0.25, 1.25}, Of: explain.Difference, Each: explain.EachRow}
	m.Evidence.Rows = []explain.RowEvidence{{Top: 0, Drop: 2, Random: 1}, {Top: 2, Drop: 0.5, Random: 1}}
	var page bytes.Buffer
	r := render.Report{Title: "x", Sections: []render.Section{{Figures: []plot.Figure{render.Matrix{Matrix: m}}}}}
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`class="lmkit-target" tabindex="0" title="-1">·yes<span`,
		`<span class="lmkit-pos lmkit-100" title="&#43;0.50 logit">Is</span>`,
		`<span class="lmkit-neg lmkit-50" title="-0.25 logit">·it</span>`,
		`<span class="lmkit-pos lmkit-said lmkit-100" title="&#43;1.00 logit">·yes</span>`,
		"every row adds up to its own total, all of them to 1.5",
		"falls by 1.25 on average (without another one, by 1); no more than without another one: <code>` it`</code>",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q:\n%s", want, page.String())
		}
	}
}
