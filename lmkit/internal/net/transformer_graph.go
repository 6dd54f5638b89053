package net

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// transformer is GPT-2: x is the token embeddings [B, T, D], the result the last hidden states [B, T, D], or [B, 1, D]
// where one token's prediction is asked for: of the last layer, the others need no more than keys and values.
func transformer(p *pass, c Config, w Weights, x *Node) *Node {
	x = p.tap("embed", x)
	pos := p.tap("pos_embed", BroadcastToDims(ExpandAxes(p.cache.positions(w.get("wpe.weight"), x), 0), x.Shape().Dimensions...))
	x = p.dropout(Add(x, pos)) // [B, T, D]
	for l := range c.Layers {
		q := p.in("block.%d", l)
		if l < c.Layers-1 {
			q.last = nil
		}
		x = block(q, c, w.in("h.%d", l), x)
	}
	return layerNorm(p.in("final"), c, w.in("ln_f"), x)
}

// block is one pre-LayerNorm layer of the residual stream [B, T, D].
func block(p *pass, c Config, w Weights, x *Node) *Node {
	x = p.tap("resid.pre", x)
	a := attention(p.in("attn"), c, w.in("attn"), layerNorm(p.in("ln1"), c, w.in("ln_1"), x))
	x = p.tap("resid.mid", Add(p.asked(x), p.dropout(a)))
	m := mlp(p.in("mlp"), c, w.in("mlp"), layerNorm(p.in("ln2"), c, w.in("ln_2"), x))
	return p.tap("resid.post", Add(x, p.dropout(m)))
}

// attention lets each position read the earlier ones: x [B, T, D] to [B, T, D], through H heads of width K = D/H.
func attention(p *pass, c Config, w Weights, x *Node) *Node {
	B, D, H := x.Shape().Dimensions[0], c.Width, c.Heads
	qkv := p.project(x, w.in("c_attn"), D)
	heads := func(x *Node) *Node { return Reshape(x, B, -1, H, D/H) }
	q, k, v := p.tap("q", heads(qkv[0])), p.tap("k", heads(qkv[1])), p.tap("v", heads(qkv[2])) // [B, T, H, K]

	k, v = p.cache.extend(k, v)                  // [B, S, H, K]: S is T, or the cache's length
	scores := p.product("bqhk,bshk->bhqs", q, k) // [B, H, T, S]
	scores = p.tap("scores", MulScalar(scores, 1/math.Sqrt(float64(D/H))))
	pattern := p.tap("pattern", p.softmax(p.causal(scores)))             // [B, H, T, S]
	z := p.tap("z", p.product("bhqs,bshk->bqhk", p.dropout(pattern), v)) // [B, T, H, K]
	return p.tap("out", dense(p, Reshape(z, B, -1, D), w.in("c_proj")))  // [B, T, D]
}

// project is queries, keys and values [B, T, D] of x [B, T, D].
func (p *pass) project(x *Node, w Weights, D int) []*Node {
	part := func(x *Node, i, n int) *Node { return SliceAxis(x, -1, AxisRange(i*D, (i+n)*D)) }
	if p.last == nil {
		qkv := affine(p, x, w.get("weight"), w.get("bias")) // [B, T, 3D]
		return []*Node{part(qkv, 0, 1), part(qkv, 1, 1), part(qkv, 2, 1)}
	}
	some := func(x *Node, i, n int) *Node {
		return affine(p, x, part(w.get("weight"), i, n), part(w.get("bias"), i, n))
	}
	kv := some(x, 1, 2)
	return []*Node{some(p.asked(x), 0, 1), part(kv, 0, 1), part(kv, 1, 1)}
}

// asked is x [B, T, D] at the one token a row that is asked for [B, 1, D], if that is so.
func (p *pass) asked(x *Node) *Node {
	if p.last == nil {
		return x
	}
	B, T := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	at := Equal(Iota(x.Graph(), shapes.Make(dtypes.Int32, B, T), 1), BroadcastToDims(ExpandAxes(p.last, 1), B, T))
	return ReduceAndKeep(Mul(x, ExpandAxes(ConvertDType(at, x.DType()), -1)), ReduceSum, 1)
}

// mlp is the feed-forward part: [B, T, D] to [B, T, F] to [B, T, D].
func mlp(p *pass, c Config, w Weights, x *Node) *Node {
	h := p.tap("pre", dense(p, x, w.in("c_fc")))
	h = p.tap("post", p.act(activation(c.Activation), h))
	return p.tap("out", dense(p, h, w.in("c_proj")))
}

// layerNorm is gain * (x-mean)/scale + bias over the last axis, scale = sqrt(variance + epsilon).
func layerNorm(p *pass, c Config, w Weights, x *Node) *Node {
	d := Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	variance := ReduceAndKeep(p.gated(d, d), ReduceMean, -1)
	scale := p.tap("scale", p.act(Sqrt, AddScalar(variance, c.Epsilon))) // [B, T, 1]
	x = p.tap("normalized", p.scaled(d, scale))                          // [B, T, D]
	return p.bias(Mul(x, lift(w.get("weight"), x)), w.get("bias"))
}

func dense(p *pass, x *Node, w Weights) *Node { return affine(p, x, w.get("weight"), w.get("bias")) }

// affine is x·W + b for x [..., K], W [K, N], b [N].
func affine(p *pass, x, weight, bias *Node) *Node {
	d := x.Shape().Dimensions
	y := p.bias(Dot(Reshape(x, -1, d[len(d)-1]), weight).Product(), bias)
	return Reshape(y, append(append([]int{}, d[:len(d)-1]...), y.Shape().Dimensions[1])...)
}

func activation(name string) func(x *Node) *Node {
	switch name {
	case "relu":
		return func(x *Node) *Node { return Max(x, ZerosLike(x)) }
	case "gelu":
		return func(x *Node) *Node {
			return Mul(MulScalar(x, 0.5), AddScalar(Erf(MulScalar(x, 1/math.Sqrt2)), 1))
		}
	}
	return func(x *Node) *Node { // gelu_new, the tanh approximation
		u := MulScalar(Add(x, MulScalar(Mul(x, Mul(x, x)), 0.044715)), math.Sqrt(2/math.Pi))
		return Mul(MulScalar(x, 0.5), AddScalar(Tanh(u), 1))
	}
}

// cache lets the same attention read only the newest tokens; nil: the whole text is there.
type cache struct {
	at     *Node   // int32: how many tokens are already in, of a cache that has room for more; nil: it is full
	before int     // how many tokens a full one holds
	keys   []*Node // a layer [B, S, H, K]; nil if there are none yet
	vals   []*Node
	next   int
}

// positions is the position embeddings of x's T tokens [T, D].
func (c *cache) positions(table, x *Node) *Node {
	T, D := x.Shape().Dimensions[1], x.Shape().Dimensions[2]
	if c == nil {
		return Slice(table, AxisRange(0, T))
	}
	if c.at == nil {
		return Slice(table, AxisRange(c.before, c.before+T))
	}
	return DynamicSlice(table, origin(c.at, 2), []int{T, D})
}

func (c *cache) extend(k, v *Node) (*Node, *Node) {
	if c == nil {
		return k, v
	}
	l, zero := c.next, ScalarZero(k.Graph(), dtypes.Int32)
	c.next++
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

// causal hides the future: a large negative score, so that its weight is exactly zero.
func (p *pass) causal(scores *Node) *Node {
	g, d := scores.Graph(), scores.Shape().Dimensions
	i := Iota(g, shapes.Make(dtypes.Int32, 1, 1, d[2], d[3]), 2)
	if p.last != nil {
		i = BroadcastToDims(Reshape(p.last, d[0], 1, 1, 1), d[0], 1, 1, d[3])
	}
	switch {
	case p.cache != nil && p.cache.at != nil:
		i = Add(i, p.cache.at)
	case p.cache != nil:
		i = AddScalar(i, p.cache.before)
	}
	j := Iota(g, i.Shape(), 3)
	return Where(BroadcastToDims(LessOrEqual(j, i), d...), scores, scalar(scores, -1e9))
}
