package net

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// transformer is GPT-2: x is the token embeddings [B, T, D], the result the last hidden states [B, T, D].
func transformer(p *pass, c Config, w Weights, x *Node) *Node {
	x = p.tap("embed", x)
	pos := p.tap("pos_embed", BroadcastToDims(ExpandAxes(p.cache.positions(w.get("wpe.weight"), x), 0), x.Shape().Dimensions...))
	x = p.dropout(Add(x, pos)) // [B, T, D]
	for l := range c.Layers {
		x = block(p.in("block.%d", l), c, w.in("h.%d", l), x)
	}
	return layerNorm(p.in("final"), c, w.in("ln_f"), x)
}

// block is one pre-LayerNorm layer of the residual stream [B, T, D].
func block(p *pass, c Config, w Weights, x *Node) *Node {
	x = p.tap("resid.pre", x)
	a := attention(p.in("attn"), c, w.in("attn"), layerNorm(p.in("ln1"), c, w.in("ln_1"), x))
	x = p.tap("resid.mid", Add(x, p.dropout(a)))
	m := mlp(p.in("mlp"), c, w.in("mlp"), layerNorm(p.in("ln2"), c, w.in("ln_2"), x))
	return p.tap("resid.post", Add(x, p.dropout(m)))
}

// attention lets each position read the earlier ones: x [B, T, D] to [B, T, D], through H heads of width K = D/H.
func attention(p *pass, c Config, w Weights, x *Node) *Node {
	B, T, D, H := x.Shape().Dimensions[0], x.Shape().Dimensions[1], c.Width, c.Heads
	qkv := dense(p, x, w.in("c_attn")) // [B, T, 3D]
	part := func(i int) *Node {
		return Reshape(Slice(qkv, AxisRange(), AxisRange(), AxisRange(i*D, (i+1)*D)), B, T, H, D/H)
	}
	q, k, v := p.tap("q", part(0)), p.tap("k", part(1)), p.tap("v", part(2)) // [B, T, H, K]

	k, v = p.cache.extend(k, v)                  // [B, S, H, K]: S is T, or the cache's length
	scores := p.product("bqhk,bshk->bhqs", q, k) // [B, H, T, S]
	scores = p.tap("scores", MulScalar(scores, 1/math.Sqrt(float64(D/H))))
	pattern := p.tap("pattern", p.softmax(p.cache.causal(scores)))       // [B, H, T, S]
	z := p.tap("z", p.product("bhqs,bshk->bqhk", p.dropout(pattern), v)) // [B, T, H, K]
	return p.tap("out", dense(p, Reshape(z, B, T, D), w.in("c_proj")))   // [B, T, D]
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

// dense is x·W + b for x [..., K], W [K, N].
func dense(p *pass, x *Node, w Weights) *Node {
	d := x.Shape().Dimensions
	y := Dot(Reshape(x, -1, d[len(d)-1]), w.get("weight")).Product()
	y = p.bias(y, w.get("bias"))
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
	at   *Node   // int32: how many tokens are already in
	keys []*Node // a layer [B, S, H, K]
	vals []*Node
	next int
}

// positions is the position embeddings of x's T tokens [T, D].
func (c *cache) positions(table, x *Node) *Node {
	T, D := x.Shape().Dimensions[1], x.Shape().Dimensions[2]
	if c == nil {
		return Slice(table, AxisRange(0, T))
	}
	return DynamicSlice(table, origin(c.at, 2), []int{T, D})
}

func (c *cache) extend(k, v *Node) (*Node, *Node) {
	if c == nil {
		return k, v
	}
	l, zero := c.next, ScalarZero(k.Graph(), dtypes.Int32)
	c.next++
	c.keys[l] = DynamicUpdateSlice(c.keys[l], k, []*Node{zero, c.at, zero, zero})
	c.vals[l] = DynamicUpdateSlice(c.vals[l], v, []*Node{zero, c.at, zero, zero})
	return c.keys[l], c.vals[l]
}

// causal hides the future: a large negative score, so that its weight is exactly zero.
func (c *cache) causal(scores *Node) *Node {
	g, d := scores.Graph(), scores.Shape().Dimensions
	i := Iota(g, shapes.Make(dtypes.Int32, 1, 1, d[2], d[3]), 2)
	j := Iota(g, shapes.Make(dtypes.Int32, 1, 1, d[2], d[3]), 3)
	if c != nil {
		i = Add(i, c.at)
	}
	return Where(BroadcastToDims(LessOrEqual(j, i), d...), scores, scalar(scores, -1e9))
}
