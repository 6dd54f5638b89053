package net

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Weights are the parameters as graph nodes, as they are held, by their names.
type Weights map[string]*Node

// NewWeights names the nodes in the order of c.Params().
func NewWeights(c Config, nodes []*Node) Weights {
	w := Weights{}
	for i, p := range c.Params() {
		w[p.Name] = nodes[i]
	}
	return w
}

func (w Weights) get(name string) *Node {
	n := w[name]
	if n == nil {
		panic(fmt.Errorf("no weight %q", name))
	}
	return floats(n)
}

// embed is the embeddings of ids [...]: [..., D].
func (w Weights) embed(ids *Node) *Node { return rows(w["embed.weight"], ids) }

// rows is the given rows [...] of a matrix that is held somehow: [..., D].
func rows(matrix, ids *Node) *Node { return floats(Gather(matrix, ExpandAxes(ids, -1))) }

// head is the output matrix, as it is held, and its bias [V], or nil.
func (w Weights) head(c Config) (matrix, bias *Node) {
	if c.Tied {
		return w["embed.weight"], w["head.bias"]
	}
	return w["head.weight"], w["head.bias"]
}

// weight is a parameter of the part of the model where the pass stands, or nil: parameters are named as activations
// are.
func (p *pass) weight(name string) *Node {
	if w := p.weights[p.scope+name]; w != nil {
		return floats(w)
	}
	return nil
}

// dense is W·x + b for x [..., in], where W [out, in] is the parameter name.weight, and b [out] is name.bias, if
// there is one: [..., out].
func (p *pass) dense(name string, x *Node) *Node {
	d := x.Shape().Dimensions
	y := matmul(Reshape(x, -1, d[len(d)-1]), p.weights.get(p.scope+name+".weight"))
	if b := p.weight(name + ".bias"); b != nil {
		y = p.bias(y, b)
	}
	return Reshape(y, append(append([]int{}, d[:len(d)-1]...), y.Shape().Dimensions[1])...)
}

// matmul is x [N, K] times the transpose of w [M, K]: [N, M].
func matmul(x, w *Node) *Node { return Einsum("nk,mk->nm", x, w) }
