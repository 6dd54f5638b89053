package plot

import (
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/canvas/canvastest"
)

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

// prose is twenty words.
var prose = strings.Fields("the keys to the old cabinet that stood beside the window of the kitchen " +
	"which my grandmother painted blue last")

func phrase() []string { return []string{"The", " keys", " to", " the", " cabinet"} }

// figures returns charts of every kind, by name.
func figures() map[string]Figure {
	game := Sum{
		Title:     "Who earned the prize",
		Unit:      "francs",
		BaseName:  "nobody",
		ValueName: "all",
		Base:      10,
		Value:     70,
		Terms:     []Term{{"Ada", 55}, {"Bob <b>", -20}, {"Cy", 5}},
	}
	near := Curves{
		Title:  "The neighbourhood of one input",
		XLabel: "tokens kept",
		YLabel: "logit",
		Lines: []Line{
			{Name: "says yes", Dots: true},
			{Name: "says no", Dots: true},
			{Name: "the line that fits", Points: []Point{{0, -2}, {8, 3}}},
		},
	}
	for i := range 60 {
		x := float64(i%9) + 0.2*math.Sin(float64(i))
		l := &near.Lines[i%2]
		l.Points = append(l.Points, Point{x, 0.6*x - 2 + 1.5*math.Cos(float64(i*i)) - float64(i%2)})
		l.Sizes = append(l.Sizes, math.Exp(-(9-x)/3))
	}
	head := attention(40, 2, prose)
	head.Title = "layer 1, head 2"
	values := Matrix{
		Title:   "scores",
		RowName: "query",
		ColName: "key",
		Rows:    []string{"the", "cat", "sat"},
		Cols:    []string{"the", "cat", "sat"},
		Scale:   Diverging,
		Data:    [][]float64{{1.25, -0.5, 0.1}, {0.75, 2, -1}, {0, 0.3, math.NaN()}},
	}
	big := Matrix{Title: "128 x 96"}
	for i := range 96 {
		row := make([]float64, 128)
		for j := range row {
			row[j] = math.Abs(math.Sin(float64(i)/9) * math.Cos(float64(j)/11))
		}
		big.Data = append(big.Data, row)
	}
	return map[string]Figure{
		"waterfall-game": Waterfall{game},
		"force-game":     Force{game},
		"scatter":        near,
		"values":         values,
		"pixels":         big,
		"head":           head,
		"losses":         losses(),
		"softmax": Bars{
			Title:  "The next token",
			XLabel: "probability",
			Names:  []string{" are", " is", "\n", " <b>", " 日本"},
			Series: []Series{{Values: []float64{0.61, 0.22, 0.1, 0.05, 0.02}}},
		},
		"groups": Bars{
			Title: "Two methods",
			Names: []string{"the", "keys", "door"},
			Series: []Series{
				{Name: "exact", Values: []float64{0.1, 1.2, -0.6}},
				{Name: "kernel", Values: []float64{0.2, 1.1, -0.5}, Spread: []float64{0.1, 0.2, 0.1}},
			},
		},
		"signs": Bars{
			Title:  "Shapley values",
			Names:  []string{"the", "keys", "door"},
			Series: []Series{{Values: []float64{0.1, 1.2, -0.6}, Spread: []float64{0.1, 0.2, 0.3}}},
		},
		"table": Table{
			Title:  "Which method finds the cause",
			Header: []string{"method", "found", "seconds", "note <i>"},
			Rows:   [][]any{{"occlusion", 0.91234, 12, "slow & sure"}, {"lime", 0.5, 3, nil}, {"random", 0.08, 0, "日本"}},
		},
		"tree": reviews(),
	}
}

// drawings returns all pictures that have a golden file, by file name.
func drawings() map[string]func(io.Writer) error {
	head := attention(40, 2, prose)
	head.Title = "layer 1, head 2: " + strings.Repeat("a title that goes on and on ", 6)
	diff := Matrix{
		Title: "differences", Scale: Diverging, Rows: []string{"a", "\n"}, Cols: []string{"日本", "b", "c"},
		Data: [][]float64{{-1, 0.5, math.NaN()}, {0, 1e-5, 0.25}},
	}
	grid := Grid{Title: "layer 0, all heads"}
	for h := range 8 {
		grid.Matrices = append(grid.Matrices, attention(5, h, phrase()))
	}
	logs := Curves{
		Title:  "Learning rate <sweep>",
		XLabel: "learning rate",
		YLabel: "final loss",
		LogX:   true,
		LogY:   true,
		Lines: []Line{
			{Name: "a & b", Points: []Point{{1e-5, 9}, {1e-4, 3}, {1e-3, 1.2}, {1e-2, math.NaN()}, {0.1, 8}, {1, 40}}},
			{Name: "no warm-up", Points: []Point{{1e-5, 10}, {1e-4, 4}, {1e-3, 2}, {1e-2, 12}}},
			{Name: "constant", Points: []Point{{1e-5, 5}, {1, 5}}},
		},
	}
	all := map[string]func(io.Writer) error{
		"matrix5.svg":    attention(5, 1, phrase()).SVG,
		"matrix40.svg":   head.SVG,
		"diverging.svg":  diff.SVG,
		"grid.svg":       grid.SVG,
		"loss.svg":       losses().SVG,
		"log.svg":        logs.SVG,
		"tree-local.svg": localTree().SVG,
		"tree-leaf.svg":  Tree{Title: "No test at all", Outputs: []string{"logit"}, Root: leaf(1, 0)}.SVG,
	}
	for name, f := range figures() {
		if name != "losses" && name != "head" {
			all[name+".svg"] = f.SVG
		}
		all["figure-"+name+".txt"] = func(w io.Writer) error { return f.Text(w, Options{Width: 100}) }
	}
	return all
}

func TestGolden(t *testing.T) {
	for name, draw := range drawings() {
		canvastest.Golden(t, name, draw)
	}
}

func TestPNG(t *testing.T) {
	for name, f := range figures() {
		canvastest.PNG(t, name, f.PNG, f.(canvas.Drawing))
	}
}

func TestMarkupIsSafe(t *testing.T) {
	for name, draw := range drawings() {
		if strings.HasSuffix(name, ".svg") {
			canvastest.SafeSVG(t, name, draw)
		}
	}
}
