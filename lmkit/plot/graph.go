package plot

import (
	"errors"
	"fmt"
	"io"
	"math"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Graph is the picture of nodes on levels, from the bottom to the top, and of the edges between them. An edge is as
// wide as its value is large, and its colour says the sign.
type Graph struct {
	Title string
	Unit  string // of the edges' values
	Nodes []GraphNode
	Edges []GraphEdge
}

// GraphNode is a node: its name, which is its own, and its level.
type GraphNode struct {
	Name  string
	Level int
}

// GraphEdge goes from a node to one on a higher level, or further to the right on the same.
type GraphEdge struct {
	From, To string
	Label    string // what else is said of it; may be empty
	Value    float64
}

const (
	mostNodes  = 400
	mostEdges  = 2000
	boxHeight  = 20.0
	boxGap     = 14.0
	levelSpace = 34.0
)

// Validate returns all that makes the graph impossible to draw.
func (g Graph) Validate() error {
	var errs []error
	level := map[string]int{}
	for _, n := range g.Nodes {
		if _, twice := level[n.Name]; twice {
			errs = append(errs, fmt.Errorf("two nodes are called %q", n.Name))
		}
		level[n.Name] = n.Level
	}
	if len(g.Nodes) == 0 {
		errs = append(errs, errors.New("it has no nodes"))
	}
	if len(g.Nodes) > mostNodes || len(g.Edges) > mostEdges {
		errs = append(errs, fmt.Errorf("it has %d nodes and %d edges: draw at most %d and %d", len(g.Nodes), len(g.Edges),
			mostNodes, mostEdges))
	}
	for _, e := range g.Edges {
		from, ok := level[e.From]
		to, also := level[e.To]
		if !ok || !also || from > to {
			errs = append(errs, fmt.Errorf("no edge can go from %q to %q", e.From, e.To))
		}
		if math.IsNaN(e.Value) || math.IsInf(e.Value, 0) {
			errs = append(errs, fmt.Errorf("the edge from %q to %q has the value %g", e.From, e.To, e.Value))
		}
	}
	return errors.Join(errs...)
}

// SVG draws the graph.
func (g Graph) SVG(w io.Writer) error { return canvas.WriteSVG(w, g) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (g Graph) PNG(w io.Writer) error { return canvas.WritePNG(w, g) }

// Text writes the edges, one a line, in their order.
func (g Graph) Text(w io.Writer, o Options) error {
	if err := g.Validate(); err != nil {
		return fmt.Errorf("cannot draw the graph %q: %w", g.Title, err)
	}
	t := printable.NewLines(o.Color, o.Width)
	t.Title(g.Title)
	for _, e := range g.Edges {
		t.Line(printable.Clean(fmt.Sprintf("  %-10s -> %-10s %-2s %8s", e.From, e.To, e.Label, printable.Number(e.Value))))
	}
	return t.Flush(w)
}

// Draw gathers the shapes that SVG and PNG write.
func (g Graph) Draw() (*canvas.Canvas, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the graph %q: %w", g.Title, err)
	}
	levels, width := g.levels()
	c := canvas.New(max(canvas.PictureWidth, width+2*canvas.Margin))
	c.Heading(g.Title)
	c.Y += 8
	at := map[string][2]float64{} // the middle of each node
	for k := len(levels) - 1; k >= 0; k-- {
		x := (c.Width - rowWidth(levels[k])) / 2
		for _, name := range levels[k] {
			at[name] = [2]float64{x + boxWidth(name)/2, c.Y + boxHeight/2}
			x += boxWidth(name) + boxGap
		}
		c.Y += boxHeight + levelSpace
	}
	c.Y -= levelSpace
	g.drawEdges(c, at)
	for _, n := range g.Nodes {
		p, w := at[n.Name], boxWidth(n.Name)
		c.Rect(p[0]-w/2, p[1]-boxHeight/2, w, boxHeight, canvas.Style{Fill: "#ffffff", Stroke: canvas.InkSoft, Radius: 4}, "")
		c.Text(p[0], p[1]+4, canvas.Label{Size: 11, Mono: true, Anchor: "middle"}, printable.Clean(n.Name))
	}
	c.Y += 14
	top := g.largest()
	c.ScaleBar(canvas.Margin, 220, -top, top, g.paint(top),
		printable.Number, printable.Line(g.Unit))
	return c.Done("graph: " + printable.Line(g.Title))
}

// paint returns the colour of a value: the square root of its share of the largest, as weak edges are to be seen, too.
func (g Graph) paint(top float64) func(v float64) canvas.RGB {
	return func(v float64) canvas.RGB {
		return canvas.Diverging(math.Copysign(math.Sqrt(math.Abs(canvas.Ratio(v, top))), v))
	}
}

// drawEdges draws the smallest first, so that the largest are on top.
func (g Graph) drawEdges(c *canvas.Canvas, at map[string][2]float64) {
	top := g.largest()
	for i := len(g.Edges) - 1; i >= 0; i-- {
		e := g.Edges[i]
		from, to := at[e.From], at[e.To]
		var p canvas.Path
		p.Move(from[0], from[1]-boxHeight/2)
		bend := math.Max(18, (from[1]-to[1])*0.35)
		p.Cubic(from[0], from[1]-boxHeight/2-bend, to[0], to[1]+boxHeight/2+bend, to[0], to[1]+boxHeight/2)
		size := math.Abs(canvas.Ratio(e.Value, top))
		tip := fmt.Sprintf("%s -> %s %s: %s", e.From, e.To, e.Label, printable.Number(e.Value))
		c.Path(p, canvas.Style{Stroke: g.paint(top)(e.Value).Hex(), Width: 0.8 + 4.2*size, Round: true},
			printable.Line(tip))
	}
}

// levels returns the names of the nodes on each level that has some, from the bottom, and the width of the widest.
func (g Graph) levels() (levels [][]string, widest float64) {
	by := map[int][]string{}
	low, high := g.Nodes[0].Level, g.Nodes[0].Level
	for _, n := range g.Nodes {
		by[n.Level] = append(by[n.Level], n.Name)
		low, high = min(low, n.Level), max(high, n.Level)
	}
	for l := low; l <= high; l++ {
		if len(by[l]) > 0 {
			levels = append(levels, by[l])
			widest = max(widest, rowWidth(by[l]))
		}
	}
	return levels, widest
}

func rowWidth(names []string) float64 {
	w := -boxGap
	for _, n := range names {
		w += boxWidth(n) + boxGap
	}
	return w
}

func boxWidth(name string) float64 { return canvas.MonoWidth(printable.Clean(name), 11) + 14 }

func (g Graph) largest() float64 {
	top := 0.0
	for _, e := range g.Edges {
		top = max(top, math.Abs(e.Value))
	}
	return top
}
