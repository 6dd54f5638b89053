package render

import (
	"fmt"
	"slices"

	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/plot"
)

// MostEdges is how many edges of a circuit are drawn where nothing else is asked for: more cannot be told apart.
const MostEdges = 80

// GraphOf is the chart of a circuit: of its largest edges, at most so many, those on ways from the input to the logits.
// Where these are too few to make one way, as many more are taken as it needs. A nil circuit has no nodes, which
// drawing it says.
func GraphOf(circuit *inspect.Graph, most int) plot.Graph {
	if circuit == nil {
		return plot.Graph{}
	}
	edges := leading(circuit.Edges[:min(len(circuit.Edges), max(1, most))])
	for n := max(1, most) + 1; len(edges) == 0 && n <= len(circuit.Edges); n++ {
		edges = leading(circuit.Edges[:n])
	}
	g := plot.Graph{Unit: circuit.Unit, Title: fmt.Sprintf("%d of %d edges keep %.2f of the difference", circuit.Kept,
		circuit.Of, circuit.Faithfulness)}
	if len(edges) < len(circuit.Edges) {
		g.Title += fmt.Sprintf("; drawn: %d of the largest", len(edges))
	}
	drawn := map[string]bool{}
	for _, e := range edges {
		drawn[e.From], drawn[e.To] = true, true
		g.Edges = append(g.Edges, plot.GraphEdge{From: e.From, To: e.To, Label: e.As, Value: e.Score})
	}
	for _, n := range circuit.Nodes {
		if drawn[n.Name] {
			g.Nodes = append(g.Nodes, plot.GraphNode{Name: n.Name, Level: n.Layer})
		}
	}
	return g
}

// leading returns the edges on ways from the input to the logits.
func leading(edges []inspect.GraphEdge) []inspect.GraphEdge {
	for {
		from, to := map[string]bool{"logits": true}, map[string]bool{"embed": true}
		for _, e := range edges {
			from[e.From], to[e.To] = true, true
		}
		kept := slices.DeleteFunc(slices.Clone(edges), func(e inspect.GraphEdge) bool { return !from[e.To] || !to[e.From] })
		if len(kept) == len(edges) {
			return kept
		}
		edges = kept
	}
}
