package inspect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/token"
)

// Circuit finds the edges between a decoder's parts that carry the difference between a clean and a corrupted prompt,
// by edge attribution patching (Syed et al., 2023) along the way between the two (EAP-IG, Hanna et al., 2024), and
// measures how well they do: with all other edges carrying what they carry in the corrupted run, how much of the
// difference is left? That is the faithfulness of a circuit C,
//
//	f(C) = (m(C) - m(k)) / (m(c) - m(k))
//
// The matrix has a row for each way to rank the edges, random among them, and a column for each share of the edges
// that is kept. Its settings' zero values have defaults; a corrupted prompt must be given.
type Circuit struct {
	Corrupted string     `json:"corrupted,omitempty"` // the prompt to compare with, of as many tokens, or
	IDs       []token.ID `json:"ids,omitempty"`       // its tokens
	// of the mean gradient; 0: 8, doubled until the edges add up, up to 64
	Points int     `json:"points,omitempty"`
	Keep   float64 `json:"keep,omitempty"` // the share of the difference that the circuit shown keeps; 0: 0.85

	// Found is filled in by Matrix: the smallest circuit of the curve that keeps as much.
	Found *Graph `json:"-"`
}

// Graph is a circuit: the parts of a model, and the edges between them that it keeps.
type Graph struct {
	Nodes []GraphNode `json:"nodes"`
	// Edges are the largest first. What several heads share, as keys and values, is an edge to each of them.
	Edges        []GraphEdge `json:"edges"`
	Kept         int         `json:"kept"`         // edges, those that lead nowhere among them, each shared one once
	Leading      int         `json:"leading"`      // of these, the edges that are listed
	Of           int         `json:"of"`           // edges of the whole model
	Faithfulness float64     `json:"faithfulness"` // the share of the difference that it keeps
	Unit         string      `json:"unit"`         // of the scores: that of the objective
}

// GraphNode is a part of a model: "embed", a head such as "9.6", "mlp 9" or "logits".
type GraphNode struct {
	Name  string `json:"name"`
	Layer int    `json:"layer"` // -1 of the embedding, and the number of layers of the logits
}

// GraphEdge is what one part writes and another one reads.
type GraphEdge struct {
	From  string  `json:"from"`
	To    string  `json:"to"`
	As    string  `json:"as,omitempty"` // a head reads it as q, k or v
	Score float64 `json:"score"`        // the part of the difference that it carries, in the unit of the objective
}

// shares is the sizes of circuits on the curve, as shares of all edges.
var shares = []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1}

// The rankings of the edges.
const (
	byIG     = "EAP-IG"
	byEAP    = "EAP"
	atRandom = "random"
)

// Name implements explain.MatrixMethod.
func (*Circuit) Name() string { return "circuit" }

// Matrix implements explain.MatrixMethod. Cost: a row forward and backward for each point, and two rows a layer for
// each circuit of the curves.
func (x *Circuit) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	none := explain.MatrixScores{}
	ids, err := readCorrupted(p, x.Corrupted, x.IDs)
	if err != nil {
		return none, err
	}
	if _, err := newAnatomy(p.Model, len(p.IDs)); err != nil {
		return none, err
	}
	pairs, err := compare(ctx, p, version{ids: ids})
	if err != nil {
		return none, err
	}
	if err := askedFor("points", x.Points); err != nil {
		return none, err
	}
	p.Expect(expected(p))
	d, err := dissect(ctx, pairs[0], x.Points)
	if err != nil {
		return none, err
	}
	c := &curves{dissection: d, seed: p.Question.Seed}
	if err := c.measure(ctx); err != nil {
		return none, err
	}
	x.Found = c.graph(cmp.Or(x.Keep, 0.85))
	base := d.pair.base
	out := explain.MatrixScores{Axes: [2]string{"ranking", "share of the edges"}, Rows: c.names(), Values: c.values,
		Unit: "share of the difference", Base: &base, Settings: x, Identities: c.identities(),
		About: "how much of the difference is left when only some edges carry it",
		Notes: append([]string{pairs[0].told}, c.notes(x.Found)...)}
	for _, s := range shares {
		out.Columns = append(out.Columns, fmt.Sprintf("%g%%", 100*s))
	}
	return out, nil
}

// expected is about how many rows all takes.
func expected(p *explain.Problem) int {
	return 4 + 2*fewPoints + (3*(len(shares)-1)+2)*(2*p.Model.Config().Layers+1)
}

// curves is how faithful circuits of several sizes are, by each ranking.
type curves struct {
	*dissection
	seed     uint64
	rankings []ranking
	values   [][]float64 // [ranking][share]
	whole    float64     // the objective with all edges
	empty    float64     // the objective without any
}

// ranking is the edges in an order.
type ranking struct {
	name  string
	edges []edge
}

// rank sorts edges by the size of their scores.
func rank(name string, edges []edge, s edgeScores) ranking {
	edges = slices.Clone(edges)
	slices.SortStableFunc(edges, func(a, b edge) int {
		return cmp.Compare(math.Abs(s.at(b.u, b.v)), math.Abs(s.at(a.u, a.v)))
	})
	return ranking{name, edges}
}

// measure runs a circuit of each size by each ranking, and the whole and the empty one.
func (c *curves) measure(ctx context.Context) error {
	all := c.edges()
	random := ranking{atRandom, slices.Clone(all)}
	rng := rand.New(rand.NewPCG(c.seed, 2))
	rng.Shuffle(len(all), func(i, j int) { random.edges[i], random.edges[j] = random.edges[j], random.edges[i] })
	c.rankings = []ranking{rank(byIG, all, c.ig), rank(byEAP, all, c.eap), random}
	circuits := []circuit{c.newCircuit(all), c.newCircuit(nil)}
	for _, r := range c.rankings {
		for _, s := range shares[:len(shares)-1] {
			circuits = append(circuits, c.newCircuit(r.edges[:size(s, len(all))]))
		}
	}
	values, err := c.replay(ctx, circuits)
	if err != nil {
		return err
	}
	c.whole, c.empty = values[0], values[1]
	for i := range c.rankings {
		var row []float64
		for _, v := range values[2+i*(len(shares)-1):][:len(shares)-1] {
			row = append(row, c.faithful(v))
		}
		c.values = append(c.values, append(row, c.faithful(c.whole)))
	}
	return nil
}

// size is how many of n edges a share is: one at least.
func size(share float64, n int) int { return max(1, int(math.Round(share*float64(n)))) }

// faithful returns f of a circuit's objective.
func (c *curves) faithful(value float64) float64 { return (value - c.pair.base) / c.pair.difference }

func (c *curves) names() (names []string) {
	for _, r := range c.rankings {
		names = append(names, r.name)
	}
	return names
}

// identities returns what must be so: nothing is lost with all edges, and all without any; and what goes into the model
// at its input is the whole difference.
func (c *curves) identities() []explain.Identity {
	return []explain.Identity{
		explain.NewIdentity("the circuit of all edges keeps everything", 1, c.faithful(c.whole), rounding),
		explain.NewIdentity("the circuit of no edges keeps nothing", 0, c.faithful(c.empty), rounding),
		explain.NewIdentity(fmt.Sprintf("the scores of the input's edges, by %d points, add up to the difference", c.points),
			c.pair.difference, c.total, 0.05*math.Abs(c.pair.difference)),
	}
}

// area is that under a curve over the shares, by trapezoids.
func area(y []float64) (sum float64) {
	for i := 1; i < len(shares); i++ {
		sum += (shares[i] - shares[i-1]) * (y[i] + y[i-1]) / 2
	}
	return sum
}

// notes says how good the rankings are, and what the circuit is.
func (c *curves) notes(g *Graph) (notes []string) {
	for i, r := range c.rankings {
		var off []float64
		for _, f := range c.values[i] {
			off = append(off, math.Abs(1-f))
		}
		notes = append(notes, fmt.Sprintf("%s: area under the curve (CPR) %.3g, between it and 1 (CMD) %.3g", r.name,
			area(c.values[i]), area(off)))
	}
	return append(notes, fmt.Sprintf("the circuit: %d of %d edges keep %.3g of the difference; %d of them, between %d "+
		"parts, "+
		"lead from the input to the logits", g.Kept, g.Of, g.Faithfulness, g.Leading, len(g.Nodes)))
}

// graph returns the smallest circuit of the curve by EAP-IG that keeps a share of the difference, or else the whole.
func (c *curves) graph(keep float64) *Graph {
	k := slices.IndexFunc(c.values[0], func(f float64) bool { return f >= keep })
	if k < 0 {
		k = len(shares) - 1
	}
	all := c.rankings[0].edges
	g := &Graph{Kept: size(shares[k], len(all)), Of: len(all), Faithfulness: c.values[0][k],
		Unit: c.pair.p.Unit}
	kept := c.connected(all[:g.Kept])
	g.Leading = len(kept)
	seen := map[string]bool{}
	node := func(name string, layer int) {
		if !seen[name] {
			seen[name] = true
			g.Nodes = append(g.Nodes, GraphNode{name, layer})
		}
	}
	for _, e := range kept {
		r := c.readers[e.v]
		from := c.writerName(e.u)
		node(from, c.writerLayer(e.u))
		for _, u := range c.owners(r) {
			to, as := "logits", ""
			if u >= 0 {
				to = c.writerName(u)
			}
			if r.kind != "mlp" && r.kind != "logits" {
				as = r.kind
			}
			node(to, r.layer)
			g.Edges = append(g.Edges, GraphEdge{From: from, To: to, As: as, Score: c.ig.at(e.u, e.v)})
		}
	}
	slices.SortStableFunc(g.Nodes, func(a, b GraphNode) int { return cmp.Compare(a.Layer, b.Layer) })
	return g
}

// writerLayer is the layer of a writer, -1 of the embedding.
func (x *anatomy) writerLayer(u int) int {
	if u == 0 {
		return -1
	}
	return (u - 1) / (x.c.Heads + 1)
}

// owners returns the writers that a reader is a part of: the heads that share keys and values; -1: the logits.
func (x *anatomy) owners(r reader) (us []int) {
	switch r.kind {
	case "logits":
		return []int{-1}
	case "mlp":
		return []int{x.mlpNode(r.layer)}
	case "q":
		return []int{x.headNode(r.layer, r.head)}
	}
	n := x.c.Heads / x.c.KVHeads
	for h := range n {
		us = append(us, x.headNode(r.layer, r.head*n+h))
	}
	return us
}

// connected returns the edges on ways from the input to the logits: the others carry nothing, or nowhere.
func (x *anatomy) connected(edges []edge) (kept []edge) {
	fed, needed := map[int]bool{0: true}, map[int]bool{-1: true}
	order := slices.Clone(edges)
	slices.SortFunc(order, func(a, b edge) int { return cmp.Compare(a.v, b.v) })
	for _, e := range order { // a reader comes after all that it reads
		for _, o := range x.owners(x.readers[e.v]) {
			fed[o] = fed[o] || fed[e.u]
		}
	}
	for _, e := range slices.Backward(order) {
		needed[e.u] = needed[e.u] || slices.ContainsFunc(x.owners(x.readers[e.v]), func(o int) bool { return needed[o] })
	}
	for _, e := range edges {
		if fed[e.u] && slices.ContainsFunc(x.owners(x.readers[e.v]), func(o int) bool { return needed[o] }) {
			kept = append(kept, e)
		}
	}
	return kept
}
