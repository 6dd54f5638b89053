package net

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// attention lets each position read the earlier ones: x [B, T, D] to [B, T, D]. There are H heads of width K for
// queries, and G for keys and values, each of which R = H/G of the others read.
func attention(p *pass, x *Node) *Node {
	c, B, T := p.config, x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	G, R, K := c.KVHeads, c.Heads/c.KVHeads, c.HeadWidth
	heads := func(name string, x *Node, n int) *Node {
		return p.tap(name, Reshape(p.dense(name, x), B, -1, n, K)) // [B, T, n, K]
	}
	q, k, v := heads("q", p.asked(x), c.Heads), heads("k", x, G), heads("v", x, G)
	q, k = p.turned("q", p.normed("q_norm", q), T, p.last), p.turned("k", p.normed("k_norm", k), T, nil)

	k, v = p.cache.extend(p.layer, k, v) // [B, S, G, K]: S is T, or the cache's length
	S := k.Shape().Dimensions[1]
	scores := p.product("btgrk,bsgk->bgrts", Reshape(q, B, -1, G, R, K), k)
	scores = MulScalar(Reshape(scores, B, c.Heads, -1, S), c.Scale)
	scores = p.tap("scores", p.capped(scores, c.ScoreCap))   // [B, H, T, S]
	pattern := p.tap("pattern", p.softmax(p.causal(scores))) // [B, H, T, S]
	z := p.product("bgrts,bsgk->btgrk", p.dropout(Reshape(pattern, B, G, R, -1, S)), v)
	z = p.tap("z", Reshape(z, B, -1, c.Heads, K))                     // [B, T, H, K]
	return p.tap("out", p.dense("out", Reshape(z, B, -1, c.Heads*K))) // [B, T, D]
}

// asked returns x [B, T, D] at the one token a row that is asked for [B, 1, D], if that is so.
func (p *pass) asked(x *Node) *Node {
	if p.last == nil {
		return x
	}
	return ExpandAxes(pick(x, p.last), 1)
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

// positions is where T tokens stand in their texts, int32 [1, T]; or, of one token a row, last [B] among them, [B, 1].
func (p *pass) positions(g *Graph, T int, last *Node) *Node {
	at := Iota(g, shapes.Make(dtypes.Int32, 1, T), 1)
	if last != nil {
		at = ExpandAxes(last, -1)
	}
	switch {
	case p.cache != nil && p.cache.at != nil:
		at = Add(at, p.cache.at)
	case p.cache != nil:
		at = AddScalar(at, float64(p.cache.before))
	}
	return at
}

// cache lets the same attention read only the newest tokens; nil: the whole text is there.
type cache struct {
	at     *Node   // int32: how many tokens are already in, of a cache that has room for more; nil: it is full
	before int     // how many tokens a full one holds
	keys   []*Node // a layer [B, S, G, K]; nil if there are none yet
	vals   []*Node
}

// rows returns the T rows of a table [Context, D] from the first token that is not in the cache: [T, D].
func (c *cache) rows(table *Node, T, offset int) *Node {
	D := table.Shape().Dimensions[1]
	switch {
	case c == nil:
		return Slice(table, AxisRange(offset, offset+T))
	case c.at == nil:
		return Slice(table, AxisRange(offset+c.before, offset+c.before+T))
	}
	return DynamicSlice(table, origin(AddScalar(c.at, float64(offset)), 2), []int{T, D})
}

// extend adds the newest keys and values [B, T, G, K] to those of layer l, and returns them all.
func (c *cache) extend(l int, k, v *Node) (*Node, *Node) {
	if c == nil {
		return k, v
	}
	zero := ScalarZero(k.Graph(), dtypes.Int32)
	if c.at == nil {
		if c.before > 0 {
			k, v = Concatenate([]*Node{c.keys[l], k}, 1), Concatenate([]*Node{c.vals[l], v}, 1)
		}
		c.keys[l], c.vals[l] = k, v
		return k, v
	}
	c.keys[l] = DynamicUpdateSlice(c.keys[l], k, []*Node{zero, c.at, zero, zero})
	c.vals[l] = DynamicUpdateSlice(c.vals[l], v, []*Node{zero, c.at, zero, zero})
	return c.keys[l], c.vals[l]
}
