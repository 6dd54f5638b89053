package render

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample makes an attribution of n tokens that cycle through words; the scores decay and alternate.
func sample(n int, words ...string) *explain.Attribution {
	a := &explain.Attribution{
		Schema: explain.Schema, Method: explain.MethodInfo{Name: "integrated-gradients", Settings: json.RawMessage(`{"steps":32}`)},
		Objective: "contrast", Target: explain.Token{ID: 7, Text: " are"}, Foil: &explain.Token{ID: 9, Text: " is"}, Baseline: "unk",
		Unit: "logit", Base: -0.2, Cost: explain.Cost{ForwardRows: 34, BackwardRows: 32, EstimatedRows: 66, Seconds: 0.125, CompileSeconds: 1.9},
		Seed: 1, ModelHash: "9f2c44aa01bb7d52", InputHash: "0c1d",
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
		Necessity:    &explain.Deletion{Features: top, Value: -0.4, Drop: a.Value + 0.4, Random: &random, Share: (a.Value + 0.4) / (a.Value + 0.2), Decision: " is", Flips: true},
		Sufficiency:  &explain.Deletion{Features: top, Value: a.Value - 0.2, Drop: 0.2, Share: 0.2 / (a.Value + 0.2), Decision: " are"},
	}
	return a
}

func short() *explain.Attribution { return sample(5, "The", " keys", " to", " the", " cabinet") }

func prose(n int) *explain.Attribution {
	return sample(n, strings.Fields("the keys to the old cabinet that stood beside the window of the kitchen which my grandmother painted blue last summer")...)
}

// odd has all that could break a layout: markup, controls, wide and right-to-left text, a token of 120 letters, groups.
func odd() *explain.Attribution {
	a := sample(16, "<b>&\"'", "\n", "\t", "  two", "end ", "日本語", "🇨🇭👩‍👩‍👧", "\u0301x", "שלום", "\x1b[31m", "\u202eevil", "", strings.Repeat("long", 30), "a\r\nb", "\xff\xfe", "]]>")
	a.Features = append(a.Features[:12], explain.Feature{Text: "a\r\nb group", Tokens: []int{13, 14}})
	a.Scores = a.Scores[:13]
	a.Spread = make([]float64, 13)
	for i := range a.Spread {
		a.Spread[i] = 0.3 / float64(i+1)
	}
	a.Target.Text = "</script><script>alert(1)</script>"
	a.Evidence = explain.Evidence{Completeness: &explain.Completeness{Error: 0.9, Relative: 0.27, Tolerance: 0.01}}
	a.Warnings = []string{"the completeness error is 27 %, above the tolerance of 1 %: raise --steps, or use a baseline that keeps the positions of the tokens", "second \x1b[2J <i>warning</i>"}
	return a
}

func attention(n, head int, labels []string) Matrix {
	m := Matrix{Title: fmt.Sprintf("head %d", head), RowName: "query", ColName: "key"}
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

func words(a *explain.Attribution) (ws []string) {
	for _, t := range a.Tokens {
		ws = append(ws, t.Text)
	}
	return ws
}

func losses() Curves {
	var train, valid []Point
	for i := range 200 {
		x := float64(i * 10)
		train = append(train, Point{x, 1.4 + 2.8*math.Exp(-x/300) + 0.06*math.Sin(float64(i*i))})
		if i%20 == 19 {
			valid = append(valid, Point{x, 1.55 + 2.6*math.Exp(-x/320)})
		}
	}
	return Loss(train, valid)
}

func comparison(t testing.TB) *Comparison {
	a, b, c := short(), short(), short()
	b.Method.Name, b.Unit, b.Evidence.Completeness = "saliency", "logit per embedding unit", nil
	for i := range b.Scores {
		b.Scores[i] = math.Abs(b.Scores[i]) * 0.003
	}
	c.Method.Name, c.Scores, c.Evidence, c.Warnings = "occlusion", []float64{0.1, 2.5, -0.3, 0, 0.75}, odd().Evidence, odd().Warnings[:1]
	cmp, err := Compare(a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	return cmp
}

func report(t testing.TB) Report {
	layers := Picker{Title: "Attention pattern: layer and head"}
	ws := []string{"The", " keys", " to", " the", " cabinet"}
	for l := range 2 {
		heads := &Picker{Title: "head"}
		for h := range 3 {
			m := attention(5, l*3+h, ws)
			m.Title = fmt.Sprintf("layer %d, head %d", l, h)
			heads.Tabs = append(heads.Tabs, Tab{Name: fmt.Sprint(h), Matrix: &m})
		}
		layers.Tabs = append(layers.Tabs, Tab{Name: fmt.Sprintf("layer %d", l), Picker: heads})
	}
	return Report{
		Title: "What the model looked at <when> it chose ` are`",
		Intro: "A small Transformer, trained on the built-in corpus, and one prediction of it with its evidence.",
		Sections: []Section{
			{Heading: "Training", Paragraphs: []string{"Two thousand steps, a few seconds."}, Curves: []Curves{losses()}},
			{Heading: "One prediction", Attributions: []*explain.Attribution{short(), odd()}},
			{Heading: "Methods side by side", Comparison: comparison(t)},
			{Heading: "Attention", Pickers: []Picker{layers}},
		},
	}
}

// drawings are all pictures that have a golden file, by file name.
func drawings(t testing.TB) map[string]func(io.Writer) error {
	of := func(f func(io.Writer, *explain.Attribution) error, a *explain.Attribution) func(io.Writer) error {
		return func(w io.Writer) error { return f(w, a) }
	}
	text := func(a *explain.Attribution, o Options) func(io.Writer) error {
		return func(w io.Writer) error { return Text(w, a, o) }
	}
	head := attention(40, 2, words(prose(20)))
	head.Title = "layer 1, head 2: " + strings.Repeat("a title that goes on and on ", 6)
	diff := Matrix{Title: "differences", Scale: Diverging, Rows: []string{"a", "\n"}, Cols: []string{"日本", "b", "c"}, Data: [][]float64{{-1, 0.5, math.NaN()}, {0, 1e-5, 0.25}}}
	grid := Grid{Title: "layer 0, all heads"}
	for h := range 8 {
		grid.Matrices = append(grid.Matrices, attention(5, h, words(short())))
	}
	logs := Curves{Title: "Learning rate <sweep>", XLabel: "learning rate", YLabel: "final loss", LogX: true, LogY: true, Lines: []Line{
		{Name: "a & b", Points: []Point{{1e-5, 9}, {1e-4, 3}, {1e-3, 1.2}, {1e-2, math.NaN()}, {0.1, 8}, {1, 40}}},
		{Name: "no warm-up", Points: []Point{{1e-5, 10}, {1e-4, 4}, {1e-3, 2}, {1e-2, 12}}},
		{Name: "constant", Points: []Point{{1e-5, 5}, {1, 5}}},
	}}
	cmp := comparison(t)
	all := map[string]func(io.Writer) error{
		"short.txt":     text(short(), Options{}),
		"short.ansi":    text(short(), Options{Color: true}),
		"odd.txt":       text(odd(), Options{Width: 60}),
		"odd.ansi":      text(odd(), Options{Color: true, Width: 60}),
		"prose80.txt":   text(prose(80), Options{Width: 100}),
		"short.svg":     of(SVG, short()),
		"odd.svg":       of(SVG, odd()),
		"prose20.svg":   of(SVG, prose(20)),
		"tokens80.svg":  of(TokensSVG, prose(80)),
		"bars.svg":      of(BarsSVG, prose(30)),
		"matrix5.svg":   attention(5, 1, words(short())).SVG,
		"matrix40.svg":  head.SVG,
		"diverging.svg": diff.SVG,
		"grid.svg":      grid.SVG,
		"loss.svg":      losses().SVG,
		"log.svg":       logs.SVG,
		"compare.txt":   func(w io.Writer) error { return cmp.Text(w, Options{Width: 100}) },
		"compare.svg":   cmp.SVG,
		"compare.ansi":  func(w io.Writer) error { return cmp.Text(w, Options{Color: true}) },
		"odd.html":      func(w io.Writer) error { return HTML(w, odd()) },
		"report.html":   report(t).HTML,
		"fragment.html": func(w io.Writer) error { return Fragment(w, Section{Attributions: []*explain.Attribution{short()}}) },
		"prose80.ansi":  text(prose(80), Options{Color: true, Width: 100}),
		"prose80.svg":   of(SVG, prose(80)),
		"compare60.txt": func(w io.Writer) error { return mustCompare(t, prose(20), prose(20)).Text(w, Options{Width: 60}) },
	}
	for name, f := range figures(t) {
		if !slices.Contains([]string{"losses", "comparison", "attribution", "odd", "head", "tree"}, name) {
			all[name+".svg"] = f.SVG
		}
		all["figure-"+name+".txt"] = func(w io.Writer) error { return f.Text(w, Options{Width: 100}) }
	}
	all["figures.html"] = func(w io.Writer) error {
		fs := figures(t)
		return Fragment(w, Section{Heading: "Figures", Figures: []Figure{fs["table"], fs["force"]}})
	}
	return all
}

// figures are pictures of every kind, by name.
func figures(t testing.TB) map[string]Figure {
	sum, err := SumOf(short())
	if err != nil {
		t.Fatal(err)
	}
	long, err := SumOf(prose(30))
	if err != nil {
		t.Fatal(err)
	}
	game := Sum{Title: "Who earned the prize", Unit: "francs", BaseName: "nobody", ValueName: "all", Base: 10, Value: 70, Terms: []Term{{"Ada", 55}, {"Bob <b>", -20}, {"Cy", 5}}}
	near := Curves{Title: "The neighbourhood of one input", XLabel: "tokens kept", YLabel: "logit", Lines: []Line{{Name: "says yes", Dots: true}, {Name: "says no", Dots: true}, {Name: "the line that fits", Points: []Point{{0, -2}, {8, 3}}}}}
	for i := range 60 {
		x := float64(i%9) + 0.2*math.Sin(float64(i))
		l := &near.Lines[i%2]
		l.Points = append(l.Points, Point{x, 0.6*x - 2 + 1.5*math.Cos(float64(i*i)) - float64(i%2)})
		l.Sizes = append(l.Sizes, math.Exp(-(9-x)/3))
	}
	head := attention(40, 2, words(prose(20)))
	head.Title = "layer 1, head 2"
	values := Matrix{Title: "scores", RowName: "query", ColName: "key", Rows: []string{"the", "cat", "sat"}, Cols: []string{"the", "cat", "sat"}, Scale: Diverging, Data: [][]float64{{1.25, -0.5, 0.1}, {0.75, 2, -1}, {0, 0.3, math.NaN()}}}
	big := Matrix{Title: "128 x 96"}
	for i := range 96 {
		row := make([]float64, 128)
		for j := range row {
			row[j] = math.Abs(math.Sin(float64(i)/9) * math.Cos(float64(j)/11))
		}
		big.Data = append(big.Data, row)
	}
	return map[string]Figure{
		"waterfall":      Waterfall{sum},
		"waterfall-long": Waterfall{long},
		"waterfall-game": Waterfall{game},
		"force":          Force{sum},
		"force-long":     Force{long},
		"force-game":     Force{game},
		"scatter":        near,
		"values":         values,
		"pixels":         big,
		"head":           head,
		"losses":         losses(),
		"softmax":        Bars{Title: "The next token", XLabel: "probability", Names: []string{" are", " is", "\n", " <b>", " 日本"}, Series: []Series{{Values: []float64{0.61, 0.22, 0.1, 0.05, 0.02}}}},
		"groups":         Bars{Title: "Two methods", Names: []string{"the", "keys", "door"}, Series: []Series{{Name: "exact", Values: []float64{0.1, 1.2, -0.6}}, {Name: "kernel", Values: []float64{0.2, 1.1, -0.5}, Spread: []float64{0.1, 0.2, 0.1}}}},
		"signs":          Bars{Title: "Shapley values", Names: []string{"the", "keys", "door"}, Series: []Series{{Values: []float64{0.1, 1.2, -0.6}, Spread: []float64{0.1, 0.2, 0.3}}}},
		"table":          Table{Title: "Which method finds the cause", Header: []string{"method", "found", "seconds", "note <i>"}, Rows: [][]any{{"occlusion", 0.91234, 12, "slow & sure"}, {"lime", 0.5, 3, nil}, {"random", 0.08, 0, "日本"}}},
		"tree":           reviews(),
		"comparison":     comparison(t),
		"attribution":    Attribution{short()},
		"odd":            Attribution{odd()},
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
		var b, again bytes.Buffer
		if err := draw(&b); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := draw(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
			t.Errorf("%s: drawn again it differs (%v)", name, err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%s: differs from the golden file (%v): look at it, then run go test ./lmkit/render -update", name, err)
		}
	}
}
