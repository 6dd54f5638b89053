package net

import . "github.com/gomlx/gomlx/core/graph"

// transformer returns a causal decoder: x is the token embeddings [B, T, D], the result the last hidden states [B, T,
// D], or [B, 1, D] where one token's prediction is asked for: of the last layer, the others need no more than keys
// and values.
func transformer(p *pass, x *Node) *Node {
	x = entry(p, x)
	for l := range p.config.Layers {
		q := p.inLayer("block", l)
		if l < p.config.Layers-1 {
			q.last = nil
		}
		if p.one != nil && l < p.from {
			q.one = StopGradient(p.one)
		}
		x = block(q, x)
	}
	return exit(p, x)
}

// entry returns the residual stream that the first layer reads: embeddings of tokens x [B, T, D], and of their
// positions.
func entry(p *pass, x *Node) *Node {
	c := p.config
	x = p.tap("embed", x)
	if c.EmbedScale != 1 {
		x = MulScalar(x, c.EmbedScale)
	}
	if c.EmbedWidth != c.Width {
		x = p.dense("embed_in", x)
	}
	if c.Positions == Learned {
		pos := p.placed(p.weights.get("pos_embed.weight"), x.Shape().Dimensions[1], c.PositionOffset)
		x = Add(x, p.tap("pos_embed", BroadcastToDims(pos, x.Shape().Dimensions...)))
	}
	return p.dropout(x) // [B, T, D]
}

// exit returns the hidden states that the output matrix multiplies, from the residual stream after the last layer.
func exit(p *pass, x *Node) *Node {
	if p.config.NormPlace != SumNorm {
		x = norm(p.in("final"), x)
	}
	if p.config.EmbedWidth != p.config.Width {
		x = p.dense("head_in", x)
	}
	return p.tap("head.in", x)
}

// block returns one layer of the residual stream [B, T, D].
func block(p *pass, x *Node) *Node {
	x = p.tap("resid.pre", x)
	read := p.before("ln1", x)
	a := attention(p.in("attn"), read)
	x = p.asked(x)
	if p.config.Residual == Sequential {
		x = p.tap("resid.mid", p.join("ln1_post", x, a))
		m := mlp(p.in("mlp"), p.before("ln2", x))
		return p.tap("resid.post", p.join("ln2_post", x, m))
	}
	if p.config.Residual == Parallel {
		read = p.before("ln2", x)
	} else {
		read = p.asked(read)
	}
	x = p.join("ln1_post", x, a)
	return p.tap("resid.post", p.join("ln2_post", x, mlp(p.in("mlp"), read)))
}

// before returns what attention or the feed-forward layer reads of the residual stream.
func (p *pass) before(name string, x *Node) *Node {
	if p.config.normsBefore() {
		return norm(p.in(name), x)
	}
	return x
}

// join returns the residual stream x, and what one of the two writes to it.
func (p *pass) join(name string, x, written *Node) *Node {
	switch p.config.NormPlace {
	case PreNorm:
		return Add(x, p.dropout(written))
	case SumNorm:
		return norm(p.in(name), Add(x, p.dropout(written)))
	}
	return Add(x, p.dropout(norm(p.in(name), written)))
}

// kind returns the letter of the layer in which the pass stands: what its attention reads.
func (p *pass) kind() byte { return p.config.Pattern[p.layer] }
