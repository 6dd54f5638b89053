package net

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Shared is a forward pass over rows of one length that begin alike, as one program: every beginning is read once. The
// rows form a tree of Levels; a node of a level is a piece of text that goes on from a node of the level before.
// Positions of "embed" may be replaced by one value. What is asked for is about the last token of each row.
type Shared struct {
	Prediction // Last is set
	Levels     int
}

// Replaced is the slot of what a shared pass replaces.
var Replaced = Slot{Tap: "embed"}

// Key names the program.
func (k Shared) Key() string { return fmt.Sprintf("shared %+v", k) }

// OfLevel returns the name of an input of one level.
func OfLevel(name string, level int) string { return fmt.Sprintf("%s %d", name, level) }

// Signature lists all parameters; of every level IDs [N, T], the weights of the value [N, T, 1] and, from the second
// on, Parent [N], a node of the level before; the value [1, 1, D]; Length [N], the tokens of each row in the last
// level; and the terms of an objective.
func (k Shared) Signature(c Config) Signature {
	s := Signature{Params: c.paramsOf(func(Param) bool { return true }), Outputs: k.Prediction.outputs()}
	for l := range k.Levels {
		s.Inputs = append(s.Inputs, OfLevel(IDs, l), OfLevel(Replaced.Weight(), l))
		if l > 0 {
			s.Inputs = append(s.Inputs, OfLevel(Parent, l))
		}
	}
	s.Inputs = append(append(s.Inputs, Replaced.Source(), Length), k.Prediction.inputs()...)
	return s
}

func (k Shared) graph(p *pass, in values) values {
	c, length := p.config, in[Length]
	var h *Node
	memory, before := make([]*Node, 2*c.Layers), 0 // what each node of the level before left
	for l := range k.Levels {
		ids, weight := in[OfLevel(IDs, l)], in[OfLevel(Replaced.Weight(), l)]
		q := *p
		q.edits = map[string][]edit{
			Replaced.Tap: {{keep: OneMinus(weight), weight: weight, add: Mul(weight, in[Replaced.Source()])}},
		}
		if l > 0 {
			for i := range memory {
				memory[i] = takeRows(memory[i], in[OfLevel(Parent, l)], 0)
			}
		}
		first, second := memory[:c.Layers:c.Layers], memory[c.Layers:]
		q.cache = &cache{before: before, keys: first, vals: second}
		q.state = &state{hidden: first, cell: second}
		if l == 0 {
			q.state = &state{}
		}
		if l == k.Levels-1 {
			q.last = AddScalar(length, -1)
		}
		h = forward(&q, p.weights.embed(ids)) // [N, T, D]
		if c.Recurrent() {
			memory = append(q.state.lastHidden, q.state.lastCell...)
		}
		before += ids.Shape().Dimensions[1]
	}
	if c.Recurrent() {
		h = ExpandAxes(pick(h, AddScalar(length, -1)), 1)
	}
	out := values{}
	terms, others := k.asked(h, in) // of [N, 1, D]
	k.answer(p, terms, others, p.output, in, out)
	return out
}
