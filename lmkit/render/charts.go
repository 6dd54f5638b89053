package render

import (
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// SumOf is an attribution as a sum: from the objective on the baseline, feature by feature, to that on the input;
// or from 0 to what the method promises, where that is something else.
func SumOf(a *explain.Attribution) (plot.Sum, error) {
	if err := a.Validate(); err != nil {
		return plot.Sum{}, fmt.Errorf("cannot draw the attribution: %w", err)
	}
	s := plot.Sum{
		Title: heading(a), Unit: printable.Line(a.Unit),
		BaseName: "baseline", Base: a.Base, ValueName: "input", Value: a.Value,
	}
	if a.BaseOf != "" {
		s.BaseName = "base"
	}
	if p := a.Promised(); p != nil && p.Of != explain.Difference {
		s.BaseName, s.ValueName, s.Base, s.Value = "nothing", "promised", 0, p.Total
	}
	for f, score := range a.Scores {
		s.Terms = append(s.Terms, plot.Term{Name: featureName(a, f, 28), Value: score})
	}
	return s, nil
}

// TreeOf is the chart of a decision tree that imitates a model. A nil tree has no nodes, which drawing it says.
func TreeOf(title string, t *surrogate.Tree) plot.Tree {
	if t == nil {
		return plot.Tree{Title: title}
	}
	return plot.Tree{Title: title, Outputs: t.Outputs, Root: nodeOf(t.Root)}
}

// GlobalOf is the chart of a tree over many inputs, which says how well it imitates the model. A nil tree has no nodes.
func GlobalOf(g *surrogate.Global) plot.Tree {
	if g == nil {
		return TreeOf("", nil)
	}
	return TreeOf(fmt.Sprintf("agrees with the model on %s of %d inputs that it was not fitted to, "+
		"where a constant does on %s",
		printable.Percent(g.Agreement), g.HeldOut, printable.Percent(g.Commonest)), g.Tree)
}

func nodeOf(n *surrogate.Node) *plot.Node {
	if n == nil {
		return nil
	}
	return &plot.Node{Test: n.Test, Value: n.Value, Share: n.Share, Rows: n.Rows, Yes: nodeOf(n.Yes), No: nodeOf(n.No)}
}
