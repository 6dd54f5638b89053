package render_test

import (
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// Of a circuit's largest edges those are drawn that are on a way from the input to the logits, and their parts.
func TestGraphOf(t *testing.T) {
	circuit := &inspect.Graph{
		Nodes: []inspect.GraphNode{{Name: "embed", Layer: -1}, {Name: "0.0", Layer: 0}, {Name: "mlp 0", Layer: 0},
			{Name: "1.0", Layer: 1}, {Name: "logits", Layer: 2}},
		Edges: []inspect.GraphEdge{{From: "embed", To: "0.0", As: "v", Score: 3}, {From: "0.0", To: "logits", Score: -2},
			{From: "embed", To: "mlp 0", Score: 1}, {From: "1.0", To: "logits", Score: 0.5},
			{From: "mlp 0", To: "1.0", As: "k", Score: 0.25}},
		Kept: 5, Leading: 5, Of: 20, Faithfulness: 0.9, Unit: "logit",
	}
	for most, want := range map[int]string{
		5: "0.0>logits 1.0>logits embed>0.0v embed>mlp 0 mlp 0>1.0k",
		4: "0.0>logits embed>0.0v", // mlp 0 leads nowhere, and nothing to 1.0
		1: "0.0>logits embed>0.0v", // one edge is no way: there is another one with it
	} {
		g := render.GraphOf(circuit, most)
		var edges []string
		for _, e := range g.Edges {
			edges = append(edges, e.From+">"+e.To+e.Label)
		}
		slices.Sort(edges)
		if got := strings.Join(edges, " "); got != want {
			t.Errorf("of %d edges: %q, want %q", most, got, want)
		}
		if most == 4 && !strings.Contains(g.Title, "drawn: 2 of the largest") {
			t.Errorf("the title %q does not say that 2 are drawn", g.Title)
		}
	}
	if err := render.GraphOf(nil, 5).Text(&strings.Builder{}, plot.Options{}); err == nil {
		t.Error("no circuit can be drawn")
	}
}
