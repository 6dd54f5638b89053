package net

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Decode is one step of generation: the newest tokens ids [B, T] after `at` earlier ones, to the logits of the last
// one [B, V] and what later tokens need to know (Transformer: keys and values [B, S, H, K] a layer; LSTM: hidden and
// cell [B, H] a layer). memory is what the step before returned.
func Decode(c Config, w Weights, ids, at, length *Node, memory []*Node, loops bool) (logits *Node, next []*Node) {
	L := c.Layers
	p := &pass{loop: loopOf(loops)}
	if c.Arch == LSTM {
		p.state = &state{hidden: memory[:L], cell: memory[L:], length: length}
	} else {
		p.cache = &cache{at: at, keys: append([]*Node{}, memory[:L]...), vals: append([]*Node{}, memory[L:]...)}
	}
	h := forward(p, c, w, embed(c, w, ids)) // [B, T, D]
	logits = output(c, w, atLast(TransposeAllDims(h, 1, 0, 2), length))
	if c.Arch == LSTM {
		return logits, append(p.state.lastHidden, p.state.lastCell...)
	}
	return logits, append(p.cache.keys, p.cache.vals...)
}
