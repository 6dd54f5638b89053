package render

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
	"pgregory.net/rapid"
)

func TestMarkupIsSafe(t *testing.T) {
	for name, draw := range drawings(t) {
		switch filepath.Ext(name) {
		case ".svg":
			canvastest.SafeSVG(t, name, draw)
		case ".html":
			var b bytes.Buffer
			if err := draw(&b); err != nil {
				t.Fatal(err)
			}
			canvastest.Safe(t, name, b.Bytes())
		}
	}
}

// anyAttribution has any text in every place that takes text, and any finite scores.
func anyAttribution(t *rapid.T) *explain.Attribution {
	str := rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"", " ", "`", "<script>", "\x1b[2J", "\"'&", "\u202e", "\xff", "日本", "://url(", "👩‍👩‍👧"}),
	)
	n := rapid.IntRange(0, 6).Draw(t, "tokens")
	a := sample(n, "x")
	a.Method.Name = "m" + str.Draw(t, "method")
	a.Unit, a.Baseline, a.ModelHash = str.Draw(t, "unit"), str.Draw(t, "baseline"), str.Draw(t, "hash")
	a.BaseOf = str.Draw(t, "base of")
	a.Target.Text, a.Foil.Text = str.Draw(t, "target"), str.Draw(t, "foil")
	a.Warnings = []string{str.Draw(t, "warning")}
	a.Evidence.Necessity.Decision = str.Draw(t, "decision")
	num := rapid.OneOf(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), rapid.Float64Range(-1, 1), rapid.Just(0.0))
	for i := range n {
		a.Tokens[i].Text = str.Draw(t, "text")
		a.Features[i].Text = str.Draw(t, "feature")
		a.Scores[i] = num.Draw(t, "score")
	}
	a.Value, a.Base = num.Draw(t, "value"), num.Draw(t, "base")
	return a
}

func TestAnyAttributionIsDrawnSafely(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := anyAttribution(rt)
		cmp, err := Compare(a, a)
		if err != nil {
			rt.Fatal(err)
		}
		for name, draw := range map[string]func(io.Writer) error{
			"SVG":            func(w io.Writer) error { return SVG(w, a) },
			"HTML":           func(w io.Writer) error { return HTML(w, a) },
			"comparison SVG": cmp.SVG,
			"comparison": func(w io.Writer) error {
				return Fragment(w, Section{Heading: a.Unit, Figures: []plot.Figure{cmp}})
			},
		} {
			var b bytes.Buffer
			if err := draw(&b); err != nil {
				rt.Fatal(err)
			}
			canvastest.Safe(rt, name, b.Bytes())
			if strings.Contains(b.String(), "NaN") && !strings.Contains(a.Unit+a.Baseline, "NaN") {
				rt.Fatalf("%s: NaN in\n%s", name, b.String())
			}
		}
		width := rapid.IntRange(40, 120).Draw(rt, "width")
		for name, draw := range map[string]func(io.Writer, plot.Options) error{
			"text": Attribution{a}.Text, "comparison": cmp.Text,
		} {
			var b bytes.Buffer
			if err := draw(&b, plot.Options{Width: width}); err != nil {
				rt.Fatal(err)
			}
			for _, l := range strings.Split(b.String(), "\n") {
				if strings.ContainsFunc(l, unicode.IsControl) {
					rt.Fatalf("%s: a control character in %q", name, l)
				}
				if printable.Columns(l) > width {
					rt.Fatalf("%s: %d columns of %d: %q", name, printable.Columns(l), width, l)
				}
			}
		}
	})
}

func TestNoColorSaysTheSame(t *testing.T) {
	strip := func(s string) string {
		var b strings.Builder
		for {
			before, after, found := strings.Cut(s, "\x1b[")
			b.WriteString(before)
			if !found {
				return b.String()
			}
			_, s, _ = strings.Cut(after, "m")
		}
	}
	var color, bare bytes.Buffer
	if err := Text(&color, short(), plot.Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	if err := Text(&bare, short(), plot.Options{}); err != nil {
		t.Fatal(err)
	}
	_, colorRest, _ := strings.Cut(strip(color.String()), "logit\n\n")
	if colorRest == "" || !strings.HasSuffix(bare.String(), "\n\n"+colorRest) {
		t.Errorf("without colour: %q\nwith colour: %q", bare.String(), colorRest)
	}
}

// Without colours the text has every score once, in a line with what it belongs to.
func TestEachScoreStandsOnce(t *testing.T) {
	for n := range 60 {
		a := sample(n+1, "The", " keys", " to", " the", " cabinet")
		for i := range a.Scores {
			a.Scores[i] = float64(i) + 10.25
		}
		a.Evidence = explain.Evidence{}
		var text bytes.Buffer
		if err := Text(&text, a, plot.Options{}); err != nil {
			t.Fatal(err)
		}
		for f, s := range a.Scores {
			score := fmt.Sprintf("%+.2f", s)
			if strings.Count(text.String(), score+"  ") != 1 {
				t.Fatalf("the score %s stands %d times in\n%s", score, strings.Count(text.String(), score), text.String())
			}
			before := text.String()[:strings.Index(text.String(), score)]
			line := before[strings.LastIndex(before, "\n")+1:]
			if !strings.Contains(line, strings.ReplaceAll(a.Features[f].Text, " ", "·")) {
				t.Fatalf("feature %q has the line %q", a.Features[f].Text, line)
			}
		}
	}
}

// hostile is any text, often one that was written to break out of the place where it stands.
func hostile() *rapid.Generator[string] {
	attack := rapid.SampledFrom([]string{
		"",
		"<script>alert(1)</script>",
		"</style><script>",
		"</title><img src=x onerror=alert(1)>",
		"\"><svg onload=alert(1)>",
		"' onmouseover='alert(1)",
		"javascript:alert(1)",
		"]]>",
		"<!--",
		"-->",
		"&lt;b&gt;",
		"&#x3c;script&#x3e;",
		"{{.}}",
		"`",
		"```",
		"\x1b]0;title\x07",
		"\x9b2J",
		"\u202e",
		"\u2066",
		"\x00",
		"\xff",
		"../../etc/passwd",
		"a.html\nSet-Cookie: x",
		"url(http://x)",
		"expression(alert(1))",
		"\u2028",
		"%s%d",
		"👩‍👩‍👧",
		"שלום",
		"日本",
	})
	return rapid.Custom(func(t *rapid.T) string {
		return rapid.String().Draw(t, "before") + attack.Draw(t, "attack") + rapid.String().Draw(t, "after")
	})
}

// Whatever stands in the places that take text, a page is well-formed, runs nothing, fetches nothing, and has no
// character that steers the text around it.
func TestAnyPageIsSafe(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := func(what string) string { return hostile().Draw(rt, what) }
		table := plot.Table{
			Title:  text("title"),
			Header: []string{text("column"), "n"},
			Rows:   [][]any{{text("cell"), 1}, {nil, text("cell")}},
		}
		heads := plot.Picker{Title: text("title"), Tabs: []plot.Tab{{Name: text("tab"), Figure: table}}}
		bars := plot.Bars{
			Title:  text("title"),
			XLabel: text("x"),
			Names:  []string{text("name")},
			Series: []plot.Series{{Name: text("series"), Values: []float64{1}}},
		}
		matrix := plot.Matrix{
			Title:   text("title"),
			Rows:    []string{text("row")},
			Cols:    []string{text("column")},
			RowName: text("rows"),
			ColName: text("columns"),
			Data:    [][]float64{{1}},
		}
		said := []string{text("said"), text("said")}
		answer := Matrix{Matrix: &explain.Matrix{
			Schema: explain.Schema, Method: explain.MethodInfo{Name: "answer"}, Objective: explain.LogProb,
			Answer: []explain.Token{{Text: said[0]}, {Text: said[1]}}, Axes: []string{"answer", "token"}, Rows: said,
			Columns: []string{text("read"), said[0]}, Values: [][]float64{{1, 0}, {-0.5, 2}}, RowValues: []float64{1, 2},
			Evidence: explain.MatrixEvidence{Rows: []explain.RowEvidence{{Top: 0, Drop: 1}, {Top: 1, Drop: -1}}},
			Warnings: []string{text("warning")},
		}}
		sections := []Section{
			{
				Heading:    text("heading"),
				Paragraphs: []string{text("paragraph")},
				Figures: []plot.Figure{
					table,
					bars,
					answer,
					plot.Picker{
						Title: text("title"),
						Tabs:  []plot.Tab{{Name: text("tab"), Figure: heads}, {Name: text("tab"), Figure: matrix}},
					},
				},
			},
		}
		for name, draw := range map[string]func(io.Writer) error{
			"page":     Report{Title: text("title"), Intro: text("intro"), Sections: sections}.HTML,
			"fragment": func(w io.Writer) error { return Fragment(w, sections...) },
			"body": func(w io.Writer) error {
				fmt.Fprint(w, "<div>")
				defer fmt.Fprint(w, "</div>")
				return Body(w, sections...)
			},
		} {
			var b bytes.Buffer
			if err := draw(&b); err != nil {
				rt.Fatal(err)
			}
			canvastest.Safe(rt, name, b.Bytes())
			if at := styled(b.Bytes()); at != "" {
				rt.Fatalf("%s: the element %s has a style of its own", name, at)
			}
			for _, r := range b.String() {
				if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) && r != '\u200e' {
					rt.Fatalf("%s: the character %U", name, r)
				}
			}
		}
	})
}

// styled returns the name of an element that has a style of its own, which a strict page forbids, or "".
func styled(markup []byte) string {
	for d := xml.NewDecoder(bytes.NewReader(markup)); ; {
		next, err := d.Token()
		if err != nil {
			return ""
		}
		if e, is := next.(xml.StartElement); is {
			for _, a := range e.Attr {
				if a.Name.Local == "style" {
					return e.Name.Local
				}
			}
		}
	}
}
