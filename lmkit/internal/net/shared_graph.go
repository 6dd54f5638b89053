package net

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Tree is a forward pass of a Transformer over texts that begin alike, as one program: what they have in common is read
// once. The texts are cut into pieces of T tokens, which form a tree: a node is one way to go on from another. All
// nodes are read at once, as rows of a batch, since what a token reads of another one in a layer depends on the layer
// before alone. Embeddings may be replaced, and what is asked for is about Q tokens of each text.
type Tree struct {
	Prediction // with Last, Q is 1; else there is an objective alone, and Position counts among the Q tokens
}

// Key names the program.
func (k Tree) Key() string { return fmt.Sprintf("tree %+v", k) }

// Signature lists all parameters; IDs [B, T] of the nodes and what takes the place of their embeddings (Which, Table);
// how they stand in the tree (Path, Begin); which tokens of each text are asked for (Leaf, Offset); and the terms of an
// objective.
func (k Tree) Signature(c Config) Signature {
	s := Signature{Params: c.paramsOf(func(Param) bool { return true }), Outputs: k.Prediction.outputs()}
	s.Inputs = append([]string{IDs, Which, Table, Path, Begin, Leaf, Offset}, k.Prediction.inputs()...)
	return s
}

func (k Tree) graph(p *pass, in values) values {
	p.replace(in)
	p.grow(in)
	return k.predict(p, p.perText(forward(p, p.weights.embed(in[IDs])), in), in)
}

// grow says how the rows of the pass stand in a tree, and where the tokens stand that are asked for, if any are.
func (p *pass) grow(in values) {
	p.cache = &cache{path: in[Path], start: in[Begin]}
	if in[Leaf] != nil {
		p.cache.leaf, p.last = Reshape(in[Leaf], -1), Reshape(in[Offset], -1)
	}
}

// perText returns what comes of the tokens that are asked for [R*Q, 1, D] as [R, Q, D].
func (p *pass) perText(x *Node, in values) *Node {
	d := in[Leaf].Shape().Dimensions
	return Reshape(x, d[0], d[1], -1)
}

// replace replaces embeddings by rows of a table.
func (p *pass) replace(in values) {
	which := in[Which]
	weight := ExpandAxes(ConvertDType(GreaterOrEqual(which, scalar(which, 0)), in[Table].DType()), -1) // [B, T, 1]
	p.edits = map[string][]edit{
		"embed": {{keep: OneMinus(weight), weight: weight, add: Mul(weight, rows(in[Table], MaxScalar(which, 0)))}},
	}
}

// Levels is the same pass of an LSTM. Its nodes are longer pieces, which stand in levels: all of a level have one
// length, and begin in the state in which a node of the level before ended. A node of the last level is a text's.
type Levels struct {
	Prediction // Last is set
	N          int
}

// Key names the program.
func (k Levels) Key() string { return fmt.Sprintf("levels %+v", k) }

// OfLevel returns the name of an input of one level.
func OfLevel(name string, level int) string { return fmt.Sprintf("%s %d", name, level) }

// Signature lists all parameters; of every level IDs and Which [B, T] and, from the second on, Parent [B], a node of
// the level before; the Table; Length [B], the tokens of each row in the last level; and the terms of an objective.
func (k Levels) Signature(c Config) Signature {
	s := Signature{Params: c.paramsOf(func(Param) bool { return true }), Outputs: k.Prediction.outputs()}
	for l := range k.N {
		s.Inputs = append(s.Inputs, OfLevel(IDs, l), OfLevel(Which, l))
		if l > 0 {
			s.Inputs = append(s.Inputs, OfLevel(Parent, l))
		}
	}
	s.Inputs = append(append(s.Inputs, Table, Length), k.Prediction.inputs()...)
	return s
}

func (k Levels) graph(p *pass, in values) values {
	var h *Node
	before := &state{} // what each node of the level before left
	for l := range k.N {
		q := *p
		q.replace(values{Which: in[OfLevel(Which, l)], Table: in[Table]})
		q.state = &state{}
		for i := range before.lastHidden {
			from := in[OfLevel(Parent, l)]
			q.state.hidden = append(q.state.hidden, takeRows(before.lastHidden[i], from, 0))
			q.state.cell = append(q.state.cell, takeRows(before.lastCell[i], from, 0))
		}
		h = forward(&q, p.weights.embed(in[OfLevel(IDs, l)])) // [B, T, D]
		before = q.state
	}
	return k.predict(p, ExpandAxes(pick(h, AddScalar(in[Length], -1)), 1), in)
}
