package plot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Text writes the tree as rules.
func (t Tree) Text(w io.Writer, o Options) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("cannot draw the tree %q: %w", t.Title, err)
	}
	x := printable.NewLines(o.Color, o.Width)
	x.Title(t.Title)
	t.rules(x, t.Root, "", "  ")
	return x.Flush(w)
}

// rules writes what hangs on a node: a line a leaf, two a test. The share of the inputs that end there is in brackets.
func (t Tree) rules(x *printable.Lines, n *Node, lead, indent string) {
	if n.Yes == nil {
		x.Line(printable.Clean(fmt.Sprintf("%s%s%s  (%.1f %%)", indent, lead, t.says(n), 100*n.Share)))
		return
	}
	if lead != "" {
		x.Line(printable.Clean(indent + strings.TrimSpace(lead)))
		indent += "  "
	}
	t.rules(x, n.Yes, "if "+n.Test+": ", indent)
	t.rules(x, n.No, "otherwise: ", indent)
}

// says returns what a leaf predicts, in words: the one output, or the likeliest of several.
func (t Tree) says(n *Node) string {
	if len(n.Value) == 1 {
		return fmt.Sprintf("%s %.3g", t.Outputs[0], n.Value[0])
	}
	best := n.likeliest()
	return fmt.Sprintf("%q with %.2f", t.Outputs[best], n.Value[best])
}

// Tree is the picture of a decision tree, from its first test on the left to its leaves on the right. A line is as
// wide as the share of the inputs that take it.
type Tree struct {
	Title   string
	Outputs []string // what a node's values are, such as the objective, or the tokens to choose from
	Root    *Node
}

// Node is a test of a tree with its two answers, or a leaf.
type Node struct {
	Test  string    // what decides, such as: contains "not"; empty in a leaf
	Value []float64 // the mean of each output over the inputs that come here
	Share float64   // of the inputs (or of their weight) that come here
	Rows  int       // how many inputs these are
	Yes   *Node     // where the test holds; nil in a leaf
	No    *Node
}

const (
	mostLeaves = 256
	nodeWidth  = 172.0 // holds 22 bold letters of 12 pixels
	nodeHeight = 38.0
	nodeGap    = 10.0 // between leaves
	levelGap   = 52.0 // between a test and its answers
)

// Validate returns all that makes the tree impossible to draw.
func (t Tree) Validate() error {
	if t.Root == nil {
		return errors.New("it has no nodes")
	}
	var errs []error
	leaves := 0
	var walk func(n *Node)
	walk = func(n *Node) {
		if len(n.Value) != len(t.Outputs) || len(n.Value) == 0 {
			errs = append(errs, fmt.Errorf("a node has %d values for %d outputs", len(n.Value), len(t.Outputs)))
		}
		for _, v := range append([]float64{n.Share}, n.Value...) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				errs = append(errs, fmt.Errorf("a node has the value %g", v))
			}
		}
		switch {
		case (n.Yes == nil) != (n.No == nil):
			errs = append(errs, errors.New("a node has one branch: it must have two or none"))
		case n.Yes == nil:
			leaves++
		default:
			walk(n.Yes)
			walk(n.No)
		}
	}
	walk(t.Root)
	if leaves > mostLeaves {
		errs = append(errs, fmt.Errorf("it has %d leaves: grow it less deep, to at most %d", leaves, mostLeaves))
	}
	return errors.Join(errs...)
}

// SVG draws the tree and its colour scale.
func (t Tree) SVG(w io.Writer) error { return canvas.WriteSVG(w, t) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (t Tree) PNG(w io.Writer) error { return canvas.WritePNG(w, t) }

// Draw gathers the shapes that SVG and PNG write.
func (t Tree) Draw() (*canvas.Canvas, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the tree %q: %w", t.Title, err)
	}
	columns := float64(depth(t.Root))
	c := canvas.New(max(2*canvas.Margin+columns*nodeWidth+(columns-1)*levelGap, 420))
	c.Heading(t.Title)
	top := 0.0
	each(t.Root, func(n *Node) { top = max(top, canvas.Largest(n.Value)) })
	d := &treeDrawing{Canvas: c, tree: t, top: top}
	c.Y += 4
	d.node(t.Root, canvas.Margin)
	c.Y += 12
	c.Paragraph(
		canvas.Margin,
		canvas.Label{Size: 11, Fill: canvas.InkSoft},
		"In a box: what the tree predicts there, and the share of the inputs that come there. Upper branch: the test holds.",
	)
	c.Y += 8
	if len(t.Outputs) == 1 {
		c.ScaleBar(canvas.Margin, 220, -top, top, d.color, printable.Number, printable.Line(t.Outputs[0]))
	} else {
		c.ScaleBar(canvas.Margin, 220, 0, 1, d.color, printable.Number, "probability of the likeliest")
	}
	return c.Done("decision tree: " + printable.Line(t.Title))
}

func depth(n *Node) int {
	if n.Yes == nil {
		return 1
	}
	return 1 + max(depth(n.Yes), depth(n.No))
}

func each(n *Node, visit func(*Node)) {
	visit(n)
	if n.Yes != nil {
		each(n.Yes, visit)
		each(n.No, visit)
	}
}

type treeDrawing struct {
	*canvas.Canvas
	tree Tree
	top  float64 // the end of the scale
}

func (d *treeDrawing) color(v float64) canvas.RGB {
	if len(d.tree.Outputs) == 1 {
		return canvas.Diverging(canvas.Ratio(v, d.top))
	}
	return canvas.Sequential(v)
}

// node draws a node at x, and what hangs on it below what is drawn already. It returns the height of its middle.
func (d *treeDrawing) node(n *Node, x float64) float64 {
	if n.Yes == nil {
		middle := d.Y + nodeHeight/2
		d.box(n, x, d.Y)
		d.Y += nodeHeight + nodeGap
		return middle
	}
	next := x + nodeWidth + levelGap
	yes := d.node(n.Yes, next)
	no := d.node(n.No, next)
	middle := (yes + no) / 2
	d.branch(x+nodeWidth, middle, next, yes, n.Yes.Share, "yes")
	d.branch(x+nodeWidth, middle, next, no, n.No.Share, "no")
	d.box(n, x, middle-nodeHeight/2)
	return middle
}

func (d *treeDrawing) branch(x1, y1, x2, y2, share float64, answer string) {
	bend := (x1 + x2) / 2
	var p canvas.Path
	p.Move(x1, y1)
	p.Cubic(bend, y1, bend, y2, x2, y2)
	d.Path(p, canvas.Style{Stroke: "#b9bec7", Width: 1 + 7*max(0, min(1, share))}, "")
	beside := -5 - 3.5*max(0, min(1, share)) // on the far side of the line
	if y2 > y1 {
		beside = 8 - beside
	}
	d.Text(x2-6, y2+beside, canvas.Label{Size: 10.5, Anchor: "end", Fill: canvas.InkSoft}, answer)
}

// likeliest returns the output with the largest value; of equals, the first.
func (n *Node) likeliest() int {
	best := 0
	for i, v := range n.Value {
		if v > n.Value[best] {
			best = i
		}
	}
	return best
}

// box draws a node: a test with what is known before it, or a leaf.
func (d *treeDrawing) box(n *Node, x, y float64) {
	best := n.likeliest()
	fill := d.color(n.Value[best])
	says := printable.Number(n.Value[best])
	if len(d.tree.Outputs) > 1 {
		says = printable.Quoted(d.tree.Outputs[best]) + " " + says
	}
	where := printable.Percent(math.Round(n.Share*1000)/1000) + " of inputs"
	tip := says + ", " + where + fmt.Sprintf(" (%d)", n.Rows)
	for i, v := range n.Value {
		if len(n.Value) > 1 && len(n.Value) <= 20 {
			tip += "; " + printable.Quoted(d.tree.Outputs[i]) + " " + printable.Number(v)
		}
	}
	if n.Yes == nil {
		d.Rect(x, y, nodeWidth, nodeHeight, canvas.Style{Fill: fill.Hex(), Radius: 4, Stroke: "#b9bec7"}, tip)
		d.Text(
			x+nodeWidth/2,
			y+16,
			canvas.Label{Size: 12, Anchor: "middle", Bold: true, Fill: fill.Ink()},
			printable.Shorten(says, 22),
		)
		d.Text(x+nodeWidth/2, y+30, canvas.Label{Size: 10.5, Anchor: "middle", Fill: fill.Ink()}, where)
		return
	}
	test := printable.Line(n.Test)
	d.Rect(x, y, nodeWidth, nodeHeight, canvas.Style{Fill: "#ffffff", Radius: 4, Stroke: canvas.InkSoft}, test+": "+tip)
	d.Rect(x, y, 5, nodeHeight, canvas.Style{Fill: fill.Hex()}, "")
	d.Text(x+12, y+16, canvas.Label{Size: 12, Bold: true}, printable.Shorten(test, 21))
	d.Text(
		x+12,
		y+30,
		canvas.Label{Size: 10.5, Fill: canvas.InkSoft},
		printable.Shorten(says, 18)+", "+printable.Percent(math.Round(n.Share*1000)/1000),
	)
}
