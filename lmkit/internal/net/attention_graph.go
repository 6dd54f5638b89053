package net

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// attention lets each position read the earlier ones: x [B, T, D] to [B, T, D]. There are H heads of width K for
// queries, and G for keys and values, each of which R = H/G of the others read.
func attention(p *pass, x *Node) *Node {
	c, T := p.config, x.Shape().Dimensions[1]
	G, R, K := c.KVHeads, c.Heads/c.KVHeads, c.HeadWidth
	heads := func(name string, x *Node, n int) *Node {
		return p.tap(name, Reshape(p.dense(name, x), x.Shape().Dimensions[0], -1, n, K)) // [B, T, n, K]
	}
	q, k, v := heads("q", p.asked(x), c.Heads), heads("k", x, G), heads("v", x, G)
	q, k = p.turned("q", p.normed("q_norm", q), T, p.last), p.turned("k", p.normed("k_norm", k), T, nil)

	k, v = p.extend(k, v) // [B, S, G, K]: S is T, or the cache's length
	B, S := k.Shape().Dimensions[0], k.Shape().Dimensions[1]
	scores := p.product("btgrk,bsgk->bgrts", Reshape(q, B, -1, G, R, K), k)
	scores = MulScalar(Reshape(scores, B, c.Heads, -1, S), c.Scale)
	scores = p.tap("scores", p.capped(scores, c.ScoreCap))   // [B, H, T, S]
	pattern := p.tap("pattern", p.softmax(p.causal(scores))) // [B, H, T, S]
	z := p.product("bgrts,bsgk->btgrk", p.dropout(Reshape(pattern, B, G, R, -1, S)), v)
	z = p.tap("z", Reshape(z, B, -1, c.Heads, K))                     // [B, T, H, K]
	return p.tap("out", p.dense("out", Reshape(z, B, -1, c.Heads*K))) // [B, T, D]
}

// asked returns x [B, T, D] at the one token a row that is asked for [B, 1, D], if that is so. In a tree it is a token
// of one of the leaves [R, 1, D].
func (p *pass) asked(x *Node) *Node {
	if p.last == nil {
		return x
	}
	return ExpandAxes(pick(p.cache.leaves(x), p.last), 1)
}

// causal hides the future, and what is before a layer's window: a large negative score, so that the weight is exactly
// zero.
func (p *pass) causal(scores *Node) *Node {
	d := scores.Shape().Dimensions // [B, H, T, S]
	i := p.positions(scores.Graph(), d[2], p.last)
	i = BroadcastToDims(ExpandAxes(i, 1, -1), i.Shape().Dimensions[0], 1, d[2], d[3])
	j := Iota(scores.Graph(), i.Shape(), 3)
	seen := LessOrEqual(j, i)
	if p.kind() == Sliding {
		seen = And(seen, GreaterThan(j, AddScalar(i, -float64(p.config.Window))))
	}
	return Where(BroadcastToDims(seen, d...), scores, scalar(scores, -1e9))
}

// positions is where T tokens stand in their texts, int32 [1, T], or [B, T] in a tree; or, of one token a row, last [B]
// among them, [B, 1].
func (p *pass) positions(g *Graph, T int, last *Node) *Node {
	at := Iota(g, shapes.Make(dtypes.Int32, 1, T), 1)
	if last != nil {
		at = ExpandAxes(last, -1)
	}
	switch c := p.cache; {
	case c == nil:
		return at
	case c.path == nil:
		return Add(at, c.at)
	case last != nil:
		return Add(at, ExpandAxes(c.leaves(c.start), -1))
	default:
		return Add(at, ExpandAxes(c.start, -1))
	}
}

// cache lets the same attention read tokens that stand elsewhere; nil: each row is a whole text. Either the earlier
// tokens of each row were read by earlier calls, or each row is a node of a tree: a piece of text that goes on from
// another row.
type cache struct {
	at   *Node   // int32: how many tokens were read, of keys and values that have room for more
	keys []*Node // a layer [B, S, G, K]
	vals []*Node

	path  *Node // of a tree, int32 [B, N]: the nodes that each one's text consists of, itself among them, in order
	start *Node // int32 [B]: how many tokens stand before each node's own
	leaf  *Node // int32 [R]: the nodes in which tokens are asked for; nil: all tokens go on
}

// leaves returns the rows of a node each [B, ...] that something is asked about [R, ...]; all of them if it is no tree.
func (c *cache) leaves(x *Node) *Node {
	if c == nil || c.leaf == nil {
		return x
	}
	return takeRows(x, c.leaf, 0)
}

// placed returns the rows of a table [Context, D] for T tokens, from the first one that was not read before: [1, T, D],
// or [B, T, D] in a tree.
func (p *pass) placed(table *Node, T, offset int) *Node {
	c, D := p.cache, table.Shape().Dimensions[1]
	switch {
	case c == nil:
		return ExpandAxes(Slice(table, AxisRange(offset, offset+T)), 0)
	case c.path != nil:
		return rows(table, AddScalar(p.positions(table.Graph(), T, nil), float64(offset)))
	}
	return ExpandAxes(DynamicSlice(table, origin(AddScalar(c.at, float64(offset)), 2), []int{T, D}), 0)
}

// extend returns the keys and values of all tokens of the texts, [B, S, G, K], given those of the newest ones, or of
// the nodes of a tree [B, T, G, K]. In a tree they are those of the leaves' texts, if p.last is of the leaves.
func (p *pass) extend(k, v *Node) (*Node, *Node) {
	c, l := p.cache, p.layer
	if c == nil {
		return k, v
	}
	if c.path != nil {
		path := c.path
		if p.last != nil {
			path = c.leaves(path)
		}
		R, d := path.Shape().Dimensions[0], k.Shape().Dimensions
		whole := func(x *Node) *Node { return Reshape(Gather(x, ExpandAxes(path, -1)), R, -1, d[2], d[3]) }
		return whole(k), whole(v)
	}
	zero := ScalarZero(k.Graph(), dtypes.Int32)
	c.keys[l] = DynamicUpdateSlice(c.keys[l], k, []*Node{zero, c.at, zero, zero})
	c.vals[l] = DynamicUpdateSlice(c.vals[l], v, []*Node{zero, c.at, zero, zero})
	return c.keys[l], c.vals[l]
}
