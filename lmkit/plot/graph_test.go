package plot

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// A graph is drawn with a box a node and a line an edge; its text has a line an edge.
func TestGraph(t *testing.T) {
	g := Graph{Title: "a circuit", Unit: "logit",
		Nodes: []GraphNode{{"embed", -1}, {"0.1", 0}, {"mlp 0", 0}, {"logits", 1}},
		Edges: []GraphEdge{{"embed", "0.1", "v", 2}, {"0.1", "mlp 0", "", -0.5}, {"mlp 0", "logits", "", 1}}}
	var svg, text bytes.Buffer
	if err := g.SVG(&svg); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(svg.String(), "<path"); n != len(g.Edges) {
		t.Errorf("%d lines for %d edges", n, len(g.Edges))
	}
	if err := g.Text(&text, Options{Width: 80}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "->"); n != len(g.Edges) {
		t.Errorf("%d lines for %d edges:\n%s", n, len(g.Edges), text.String())
	}
}

func TestGraphRefuses(t *testing.T) {
	two := []GraphNode{{"a", 0}, {"b", 1}}
	for says, g := range map[string]Graph{
		"no nodes":             {},
		`are called "a"`:       {Nodes: append(two, GraphNode{"a", 2})},
		`from "b" to "a"`:      {Nodes: two, Edges: []GraphEdge{{From: "b", To: "a"}}},
		`from "a" to "c"`:      {Nodes: two, Edges: []GraphEdge{{From: "a", To: "c"}}},
		"has the value NaN":    {Nodes: two, Edges: []GraphEdge{{From: "a", To: "b", Value: math.NaN()}}},
		"draw at most 400 and": {Nodes: make([]GraphNode, mostNodes+1)},
	} {
		if err := g.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
}
