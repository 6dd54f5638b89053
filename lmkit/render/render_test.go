package render

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
	"lmkit.internal/lmkit/plot"
)

// sample makes an attribution of n tokens that cycle through words; the scores decay and alternate.
func sample(n int, words ...string) *explain.Attribution {
	a := &explain.Attribution{
		Schema:    explain.Schema,
		Method:    explain.MethodInfo{Name: "integrated-gradients", Settings: json.RawMessage(`{"steps":32}`)},
		Objective: "contrast",
		Target:    explain.Token{ID: 7, Text: " are"},
		Foil:      &explain.Token{ID: 9, Text: " is"},
		Baseline:  "unk",
		Unit:      "logit",
		Base:      -0.2,
		Cost:      explain.Cost{ForwardRows: 34, BackwardRows: 32, EstimatedRows: 66, Seconds: 0.125, CompileSeconds: 1.9},
		Seed:      1,
		ModelHash: "9f2c44aa01bb7d52",
		InputHash: "0c1d",
	}
	at := 0
	for i := range n {
		w := words[i%len(words)]
		a.Tokens = append(a.Tokens, explain.InputToken{ID: i + 3, Text: w, Start: at, End: at + len(w)})
		a.Features = append(a.Features, explain.Feature{Text: w, Tokens: []int{i}})
		a.Scores = append(a.Scores, 1.6*(math.Cos(float64(i)*1.1)+0.4)*math.Exp(-float64(i)/12))
		at += len(w)
		a.Value += a.Scores[i]
	}
	a.Value += a.Base + 0.004
	top, random := explain.Ranked(a.Scores)[:min(2, n)], 0.3
	a.Promise = &explain.Promise{Total: a.Value - a.Base, Of: explain.Difference}
	a.Evidence = explain.Evidence{
		Completeness: &explain.Completeness{Error: -0.004, Relative: 0.0012, Tolerance: 0.01, Holds: true},
		Necessity: &explain.Deletion{
			Features: top,
			Value:    -0.4,
			Drop:     a.Value + 0.4,
			Random:   &random,
			Share:    of((a.Value + 0.4) / (a.Value + 0.2)),
			Decision: " is",
			Flips:    true,
		},
		Sufficiency: &explain.Deletion{
			Features: top,
			Value:    a.Value - 0.2,
			Drop:     0.2,
			Share:    of(0.2 / (a.Value + 0.2)),
			Decision: " are",
		},
	}
	return a
}

func of(x float64) *float64 { return &x }

func short() *explain.Attribution { return sample(5, "The", " keys", " to", " the", " cabinet") }

// hebrew is read from right to left, with a number and a word in Latin letters in it.
func hebrew() *explain.Attribution {
	return sample(9, "אני", " אוהב", " 12", " חתולים", " like", " this", ",", " שלום", " עולם")
}

// unknown has words that the model does not know; against the baseline unk they have no score, but in a group.
func unknown() *explain.Attribution {
	a := sample(6, "The", " zebra", " eats", " quinoa", " at", " noon")
	for _, i := range []int{1, 3} {
		a.Tokens[i].Unknown = true
		a.Value -= a.Scores[i]
		a.Scores[i] = 0
	}
	a.Promise.Total = a.Value - a.Base
	return a
}

// scripts has words of many scripts, and one that no font of ours has.
func scripts() *explain.Attribution {
	return sample(
		14,
		"我喜欢",
		"猫",
		"かな",
		"한국어",
		"שלום",
		"لغة",
		"भाषा",
		"ภาษา",
		"ភាសា",
		"слово",
		"λέξη",
		"👩‍👩‍👧",
		"e\u0301",
		"\U00016A00",
	)
}

func prose(n int) *explain.Attribution {
	return sample(
		n,
		strings.Fields(
			"the keys to the old cabinet that stood beside the window of the kitchen "+
				"which my grandmother painted blue last summer",
		)...)
}

// odd has all that could break a layout: markup, controls, wide and right-to-left text, a token of 120 letters,
// groups.
func odd() *explain.Attribution {
	a := sample(
		16,
		"<b>&\"'",
		"\n",
		"\t",
		"  two",
		"end ",
		"日本語",
		"🇨🇭👩‍👩‍👧",
		"\u0301x",
		"שלום",
		"\x1b[31m",
		"\u202eevil",
		"",
		strings.Repeat("long", 30),
		"a\r\nb",
		"\xff\xfe",
		"]]>",
	)
	a.Features = append(a.Features[:12], explain.Feature{Text: "a\r\nb group", Tokens: []int{13, 14}})
	a.Scores = a.Scores[:13]
	a.Spread = make([]float64, 13)
	for i := range a.Spread {
		a.Spread[i] = 0.3 / float64(i+1)
	}
	a.Target.Text = "</script><script>alert(1)</script>"
	a.Evidence = explain.Evidence{Completeness: &explain.Completeness{Error: 0.9, Relative: 0.27, Tolerance: 0.01}}
	a.Warnings = []string{
		"the completeness error is 27 %, above the tolerance of 1 %: raise --steps, " +
			"or use a baseline that keeps the positions of the tokens",
		"second \x1b[2J <i>warning</i>",
	}
	return a
}

// attention is a made-up pattern of attention over some words.
func attention(n, head int, labels []string) plot.Matrix {
	m := plot.Matrix{Title: fmt.Sprintf("head %d", head), RowName: "query", ColName: "key"}
	for i := range n {
		row, sum := make([]float64, n), 0.0
		for j := range i + 1 {
			row[j] = math.Exp(3 * math.Cos(float64((head+1)*(i-j))/3))
			sum += row[j]
		}
		for j := range row {
			row[j] /= sum
		}
		m.Data = append(m.Data, row)
		m.Rows = append(m.Rows, labels[i%len(labels)])
	}
	m.Cols = m.Rows
	return m
}

// losses is a made-up curve of a training run.
func losses() plot.Curves {
	var train, valid []plot.Point
	for i := range 200 {
		x := float64(i * 10)
		train = append(train, plot.Point{X: x, Y: 1.4 + 2.8*math.Exp(-x/300) + 0.06*math.Sin(float64(i*i))})
		if i%20 == 19 {
			valid = append(valid, plot.Point{X: x, Y: 1.55 + 2.6*math.Exp(-x/320)})
		}
	}
	return plot.Loss(train, valid)
}

func comparison(t testing.TB) *Comparison {
	a, b, c := short(), short(), short()
	b.Method.Name, b.Unit, b.Evidence.Completeness = "saliency", "logit per embedding unit", nil
	for i := range b.Scores {
		b.Scores[i] = math.Abs(b.Scores[i]) * 0.003
	}
	c.Method.Name, c.Scores, c.Evidence, c.Warnings = "occlusion", []float64{
		0.1,
		2.5,
		-0.3,
		0,
		0.75,
	}, odd().Evidence, odd().Warnings[:1]
	cmp, err := Compare(a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	return cmp
}

func report(t testing.TB) Report {
	layers := plot.Picker{Title: "Attention pattern: layer and head"}
	ws := []string{"The", " keys", " to", " the", " cabinet"}
	for l := range 2 {
		heads := plot.Picker{Title: "head"}
		for h := range 3 {
			m := attention(5, l*3+h, ws)
			m.Title = fmt.Sprintf("layer %d, head %d", l, h)
			heads.Tabs = append(heads.Tabs, plot.Tab{Name: fmt.Sprint(h), Figure: m})
		}
		layers.Tabs = append(layers.Tabs, plot.Tab{Name: fmt.Sprintf("layer %d", l), Figure: heads})
	}
	return Report{
		Title: "What the model looked at <when> it chose ` are`",
		Intro: "A small Transformer, trained on the built-in corpus, and one prediction of it with its evidence.",
		Sections: []Section{
			{Heading: "Training", Paragraphs: []string{"Two thousand steps, a few seconds."}, Figures: []plot.Figure{losses()}},
			{Heading: "One prediction", Figures: []plot.Figure{Attribution{short()}, Attribution{odd()}}},
			{Heading: "Methods side by side", Figures: []plot.Figure{comparison(t)}},
			{Heading: "Attention", Figures: []plot.Figure{layers}},
		},
	}
}

// drawings are all pictures that have a golden file, by file name.
func drawings(t testing.TB) map[string]func(io.Writer) error {
	of := func(f func(io.Writer, *explain.Attribution) error, a *explain.Attribution) func(io.Writer) error {
		return func(w io.Writer) error { return f(w, a) }
	}
	text := func(a *explain.Attribution, o plot.Options) func(io.Writer) error {
		return func(w io.Writer) error { return Text(w, a, o) }
	}
	cmp := comparison(t)
	all := map[string]func(io.Writer) error{
		"short.txt":     text(short(), plot.Options{}),
		"short.ansi":    text(short(), plot.Options{Color: true}),
		"odd.txt":       text(odd(), plot.Options{Width: 60}),
		"odd.ansi":      text(odd(), plot.Options{Color: true, Width: 60}),
		"prose80.txt":   text(prose(80), plot.Options{Width: 100}),
		"short.svg":     of(SVG, short()),
		"odd.svg":       of(SVG, odd()),
		"prose20.svg":   of(SVG, prose(20)),
		"tokens80.svg":  of(TokensSVG, prose(80)),
		"bars.svg":      of(BarsSVG, prose(30)),
		"compare.txt":   func(w io.Writer) error { return cmp.Text(w, plot.Options{Width: 100}) },
		"compare.svg":   cmp.SVG,
		"compare.ansi":  func(w io.Writer) error { return cmp.Text(w, plot.Options{Color: true}) },
		"unknown.html":  func(w io.Writer) error { return Fragment(w, Section{Figures: Figures(unknown())}) },
		"hebrew.html":   func(w io.Writer) error { return Fragment(w, Section{Figures: Figures(hebrew())}) },
		"odd.html":      func(w io.Writer) error { return HTML(w, odd()) },
		"report.html":   report(t).HTML,
		"fragment.html": func(w io.Writer) error { return Fragment(w, Section{Figures: Figures(short())}) },
		"prose80.ansi":  text(prose(80), plot.Options{Color: true, Width: 100}),
		"prose80.svg":   of(SVG, prose(80)),
		"compare60.txt": func(w io.Writer) error {
			return mustCompare(t, prose(20), prose(20)).Text(w, plot.Options{Width: 60})
		},
	}
	for name, f := range figures(t) {
		if !slices.Contains([]string{"comparison", "attribution", "odd"}, name) {
			all[name+".svg"] = f.SVG
		}
		all["figure-"+name+".txt"] = func(w io.Writer) error { return f.Text(w, plot.Options{Width: 100}) }
	}
	all["figures.html"] = func(w io.Writer) error {
		table := plot.Table{
			Title: "Which method finds the cause", Header: []string{"method", "found", "seconds", "note <i>"},
			Rows: [][]any{{"occlusion", 0.91234, 12, "slow & sure"}, {"lime", 0.5, 3, nil}, {"random", 0.08, 0, "日本"}},
		}
		return Fragment(w, Section{Heading: "Figures", Figures: []plot.Figure{table, figures(t)["force"]}})
	}
	return all
}

// figures are pictures of every kind, by name.
func figures(t testing.TB) map[string]plot.Figure {
	sum, err := SumOf(short())
	if err != nil {
		t.Fatal(err)
	}
	long, err := SumOf(prose(30))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]plot.Figure{
		"waterfall":      plot.Waterfall{Sum: sum},
		"waterfall-long": plot.Waterfall{Sum: long},
		"force":          plot.Force{Sum: sum},
		"force-long":     plot.Force{Sum: long},
		"comparison":     comparison(t),
		"attribution":    Attribution{short()},
		"odd":            Attribution{odd()},
		"hebrew":         Attribution{hebrew()},
		"scripts":        Attribution{scripts()},
		"unknown":        Attribution{unknown()},
	}
}

func mustCompare(t testing.TB, as ...*explain.Attribution) *Comparison {
	c, err := Compare(as...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGolden(t *testing.T) {
	for name, draw := range drawings(t) {
		if strings.HasSuffix(name, ".html") {
			draw = unstyled(t, name, draw)
		}
		canvastest.Golden(t, name, draw)
	}
}

// unstyled draws a page without its style sheet, which it must have once, as report.css has it: golden files show what
// differs from page to page.
func unstyled(t *testing.T, name string, draw func(io.Writer) error) func(io.Writer) error {
	return func(w io.Writer) error {
		var page strings.Builder
		if err := draw(&page); err != nil {
			return err
		}
		if n := strings.Count(page.String(), styleSheet); n != 1 {
			t.Errorf("%s has its style sheet %d times", name, n)
		}
		_, err := io.WriteString(w, strings.Replace(page.String(), styleSheet, "/* report.css */\n", 1))
		return err
	}
}
