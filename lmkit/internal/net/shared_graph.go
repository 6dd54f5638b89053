package net

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Shared is a forward pass over rows of one length that begin alike: every beginning is read once. The rows form a
// tree of Levels; a node of a level is a piece of text that goes on from a node of the level before. Positions
// of "embed" may be replaced by one value. What is asked for is about the last token of each row.
type Shared struct {
	Levels int
	Unit   string // of the objective: "" (none), Logit, LogProb or Prob
	Logits bool
	Loops  bool
}

// Key names the program among those of one model.
func (k Shared) Key() string { return fmt.Sprintf("shared %+v", k) }

// BuildShared is the whole program. Inputs: the weights in the order of c.Params(); of every level ids [N, T], the
// weight of the value [N, T, 1], and from the second on parent [N], a node of the level before; the value [1, 1, D];
// length [N], the tokens of each row in the last level; with an objective id, coef [N, K]. Outputs, as far as asked
// for: objective [N], logits [N, 1, V].
func BuildShared(c Config, k Shared, in []*Node) (outs []*Node) {
	c = c.WithDefaults()
	n := len(c.Params())
	w := NewWeights(c, in[:n])
	in = in[n:]
	take := func() *Node { n := in[0]; in = in[1:]; return n }
	type level struct{ ids, weight, parent *Node }
	levels := make([]level, k.Levels)
	for l := range levels {
		levels[l].ids, levels[l].weight = take(), take()
		if l > 0 {
			levels[l].parent = take()
		}
	}
	value, length := take(), take()

	var h *Node
	memory, at := make([]*Node, 2*c.Layers), 0 // what each node of the level before left
	for l, x := range levels {
		replace := edit{keep: OneMinus(x.weight), weight: x.weight, add: Mul(x.weight, value)}
		p := &pass{config: c, weights: w, loop: loopOf(k.Loops), edits: map[string][]edit{"embed": {replace}}}
		if l > 0 {
			for i := range memory {
				memory[i] = takeRows(memory[i], x.parent, 0)
			}
		}
		first, second := memory[:c.Layers:c.Layers], memory[c.Layers:]
		p.cache = &cache{before: at, keys: first, vals: second}
		p.state = &state{hidden: first, cell: second}
		if l == 0 {
			p.state = &state{}
		}
		if l == k.Levels-1 {
			p.last = AddScalar(length, -1)
		}
		h = forward(p, w.embed(x.ids)) // [N, T, D]
		if c.Recurrent() {
			memory = append(p.state.lastHidden, p.state.lastCell...)
		}
		at += x.ids.Shape().Dimensions[1]
	}
	if c.Recurrent() {
		h = ExpandAxes(pick(h, AddScalar(length, -1)), 1)
	}
	p := &pass{config: c, weights: w}
	if k.Unit != "" {
		id, coef := take(), take()
		outs = append(outs, objective(p, k.Unit, h, ZerosLike(id), id, coef)) // of [N, 1, D]
	}
	if k.Logits {
		outs = append(outs, p.output(h))
	}
	return outs
}
