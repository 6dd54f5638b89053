package render

import (
	"errors"
	"fmt"
	"io"
	"math"

	"lmkit.internal/lmkit/explain/surrogate"
)

// Tree is the picture of a decision tree, from its first test on the left to its leaves on the right. A line is as wide
// as the share of the inputs that take it.
type Tree struct {
	Title string
	*surrogate.Tree
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
	if t.Tree == nil || t.Root == nil {
		return errors.New("it has no nodes")
	}
	var errs []error
	leaves := 0
	var walk func(n *surrogate.Node)
	walk = func(n *surrogate.Node) {
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
func (t Tree) SVG(w io.Writer) error { return writeSVG(w, t) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (t Tree) PNG(w io.Writer) error { return writePNG(w, t) }

func (t Tree) draw() (*canvas, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the tree %q: %w", t.Title, err)
	}
	columns := float64(depth(t.Root))
	c := newCanvas(max(2*margin+columns*nodeWidth+(columns-1)*levelGap, 420))
	c.heading(t.Title)
	top := 0.0
	each(t.Root, func(n *surrogate.Node) { top = max(top, largest(n.Value)) })
	d := &treeDrawing{canvas: c, tree: t, top: top}
	c.y += 4
	d.node(t.Root, margin)
	c.y += 12
	c.paragraph(margin, label{size: 11, fill: inkSoft}, "In a box: what the tree predicts there, and the share of the inputs that come there. Upper branch: the test holds.")
	c.y += 8
	if len(t.Outputs) == 1 {
		c.scaleBar(margin, 220, -top, top, d.color, number, line(t.Outputs[0]))
	} else {
		c.scaleBar(margin, 220, 0, 1, d.color, number, "probability of the likeliest")
	}
	return c.done("decision tree: " + line(t.Title))
}

func depth(n *surrogate.Node) int {
	if n.Yes == nil {
		return 1
	}
	return 1 + max(depth(n.Yes), depth(n.No))
}

func each(n *surrogate.Node, visit func(*surrogate.Node)) {
	visit(n)
	if n.Yes != nil {
		each(n.Yes, visit)
		each(n.No, visit)
	}
}

type treeDrawing struct {
	*canvas
	tree Tree
	top  float64 // the end of the scale
}

func (d *treeDrawing) color(v float64) rgb {
	if len(d.tree.Outputs) == 1 {
		return diverging(ratio(v, d.top))
	}
	return sequential(v)
}

// node draws a node at x, and what hangs on it below what is drawn already. It returns the height of its middle.
func (d *treeDrawing) node(n *surrogate.Node, x float64) float64 {
	if n.Yes == nil {
		middle := d.y + nodeHeight/2
		d.box(n, x, d.y)
		d.y += nodeHeight + nodeGap
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
	var p path
	p.move(x1, y1)
	p.cubic(bend, y1, bend, y2, x2, y2)
	d.path(p, style{stroke: "#b9bec7", width: 1 + 7*max(0, min(1, share))}, "")
	beside := -5 - 3.5*max(0, min(1, share)) // on the far side of the line
	if y2 > y1 {
		beside = 8 - beside
	}
	d.text(x2-6, y2+beside, label{size: 10.5, anchor: "end", fill: inkSoft}, answer)
}

// box draws a node: a test with what is known before it, or a leaf.
func (d *treeDrawing) box(n *surrogate.Node, x, y float64) {
	best := 0
	for i, v := range n.Value {
		if v > n.Value[best] {
			best = i
		}
	}
	fill := d.color(n.Value[best])
	says := number(n.Value[best])
	if len(d.tree.Outputs) > 1 {
		says = quoted(d.tree.Outputs[best]) + " " + says
	}
	where := percent(math.Round(n.Share*1000)/1000) + " of inputs"
	tip := says + ", " + where + fmt.Sprintf(" (%d)", n.Rows)
	for i, v := range n.Value {
		if len(n.Value) > 1 && len(n.Value) <= 20 {
			tip += "; " + quoted(d.tree.Outputs[i]) + " " + number(v)
		}
	}
	if n.Yes == nil {
		d.rect(x, y, nodeWidth, nodeHeight, style{fill: fill.hex(), radius: 4, stroke: "#b9bec7"}, tip)
		d.text(x+nodeWidth/2, y+16, label{size: 12, anchor: "middle", bold: true, fill: fill.ink()}, shorten(says, 22))
		d.text(x+nodeWidth/2, y+30, label{size: 10.5, anchor: "middle", fill: fill.ink()}, where)
		return
	}
	test := line(n.Test)
	d.rect(x, y, nodeWidth, nodeHeight, style{fill: "#ffffff", radius: 4, stroke: inkSoft}, test+": "+tip)
	d.rect(x, y, 5, nodeHeight, style{fill: fill.hex()}, "")
	d.text(x+12, y+16, label{size: 12, bold: true}, shorten(test, 21))
	d.text(x+12, y+30, label{size: 10.5, fill: inkSoft}, shorten(says, 18)+", "+percent(math.Round(n.Share*1000)/1000))
}
