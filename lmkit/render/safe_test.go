package render

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"unicode"

	"lmkit.internal/lmkit/explain"
	"pgregory.net/rapid"
)

// checkSafe fails unless markup is well-formed, runs nothing and fetches nothing.
func checkSafe(t testing.TB, name string, markup []byte) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(markup))
	forbidden := map[string]bool{"script": true, "link": true, "iframe": true, "object": true, "embed": true, "base": true, "foreignobject": true}
	inStyle := false
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: not well-formed: %v", name, err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			if tag := strings.ToLower(x.Name.Local); forbidden[tag] {
				t.Fatalf("%s: <%s>", name, tag)
			}
			inStyle = x.Name.Local == "style"
			for _, a := range x.Attr {
				checkAttr(t, name, a)
			}
		case xml.EndElement:
			inStyle = false
		case xml.CharData:
			if inStyle && (bytes.Contains(x, []byte("url(")) || bytes.Contains(x, []byte("@import")) || bytes.Contains(x, []byte("//"))) {
				t.Fatalf("%s: a style sheet that fetches", name)
			}
		case xml.ProcInst:
			t.Fatalf("%s: a processing instruction", name)
		}
	}
}

func checkAttr(t testing.TB, name string, a xml.Attr) {
	key, v := strings.ToLower(a.Name.Local), strings.ToLower(a.Value)
	switch {
	case strings.HasPrefix(key, "on"):
		t.Fatalf("%s: the attribute %s runs something", name, key)
	case (key == "href" || key == "src") && !strings.HasPrefix(v, "data:image/png;base64,") && !strings.HasPrefix(v, "#"):
		t.Fatalf("%s: %s=%q fetches", name, key, v)
	case key == "srcset" || key == "action" || key == "formaction" || key == "data":
		t.Fatalf("%s: the attribute %s", name, key)
	case key != "title" && key != "aria-label" && key != "xmlns" && (strings.Contains(v, "url(") || strings.Contains(v, "://")):
		t.Fatalf("%s: %s=%q refers to elsewhere", name, key, v)
	}
}

func TestMarkupIsSafe(t *testing.T) {
	for name, draw := range drawings(t) {
		if !strings.HasSuffix(name, ".svg") && !strings.HasSuffix(name, ".html") {
			continue
		}
		var b bytes.Buffer
		if err := draw(&b); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, name, b.Bytes())
		if s := b.String(); strings.HasSuffix(name, ".svg") && (!strings.Contains(s, `role="img" aria-label="`) || !strings.Contains(s, `fill="#ffffff"/>`)) {
			t.Errorf("%s: no label or no light background", name)
		}
	}
}

// anyAttribution has any text in every place that takes text, and any finite scores.
func anyAttribution(t *rapid.T) *explain.Attribution {
	str := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "`", "<script>", "\x1b[2J", "\"'&", "\u202e", "\xff", "日本", "://url(", "👩‍👩‍👧"}))
	n := rapid.IntRange(0, 6).Draw(t, "tokens")
	a := sample(n, "x")
	a.Method.Name = "m" + str.Draw(t, "method")
	a.Unit, a.Baseline, a.ModelHash = str.Draw(t, "unit"), str.Draw(t, "baseline"), str.Draw(t, "hash")
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
			"SVG": func(w io.Writer) error { return SVG(w, a) }, "HTML": func(w io.Writer) error { return HTML(w, a) }, "comparison SVG": cmp.SVG,
			"comparison": func(w io.Writer) error { return Fragment(w, Section{Heading: a.Unit, Comparison: cmp}) },
		} {
			var b bytes.Buffer
			if err := draw(&b); err != nil {
				rt.Fatal(err)
			}
			checkSafe(t, name, b.Bytes())
			if strings.Contains(b.String(), "NaN") && !strings.Contains(a.Unit+a.Baseline, "NaN") {
				rt.Fatalf("%s: NaN in\n%s", name, b.String())
			}
		}
		width := rapid.IntRange(40, 120).Draw(rt, "width")
		for name, draw := range map[string]func(io.Writer, Options) error{"text": func(w io.Writer, o Options) error { return Text(w, a, o) }, "comparison": cmp.Text} {
			var b bytes.Buffer
			if err := draw(&b, Options{Width: width}); err != nil {
				rt.Fatal(err)
			}
			for _, l := range strings.Split(b.String(), "\n") {
				if strings.ContainsFunc(l, unicode.IsControl) {
					rt.Fatalf("%s: a control character in %q", name, l)
				}
				if columns(l) > width {
					rt.Fatalf("%s: %d columns of %d: %q", name, columns(l), width, l)
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
	if err := Text(&color, short(), Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	if err := Text(&bare, short(), Options{}); err != nil {
		t.Fatal(err)
	}
	_, colorRest, _ := strings.Cut(strip(color.String()), "logit\n\n")
	_, bareRest, _ := strings.Cut(bare.String(), "logit\n\n")
	if bareRest == "" || colorRest != bareRest {
		t.Errorf("without colour: %q\nwith colour: %q", bareRest, colorRest)
	}
	if !strings.Contains(bare.String(), "·keys(+1.26)") {
		t.Errorf("no score beside the token in\n%s", bare.String())
	}
}
