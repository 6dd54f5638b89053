package net

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
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
	return w[c.OutputMatrix()], w[outputBias]
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
	y := p.matmul(Reshape(x, -1, d[len(d)-1]), p.weights.get(p.scope+name+".weight"))
	if b := p.weight(name + ".bias"); b != nil {
		y = p.bias(y, b)
	}
	return Reshape(y, append(append([]int{}, d[:len(d)-1]...), y.Shape().Dimensions[1])...)
}

// matmul is x [N, K] times the transpose of w [M, K]: [N, M]. In bfloat16, so are the products of its gradient.
func (p *pass) matmul(x, w *Node) *Node {
	if !p.bfloat16 {
		return Einsum("nk,mk->nm", x, w)
	}
	return customVJP([]*Node{x, w}, narrow(x, 1, w, 1), func(v *Node) []*Node {
		return []*Node{narrow(v, 1, w, 0), narrow(v, 0, x, 0)}
	})
}

// narrow contracts an axis of each of two matrices: both are rounded to bfloat16, and what their products add up to is
// float32.
func narrow(a *Node, i int, b *Node, j int) *Node {
	a, b = ConvertDType(StopGradient(a), dtypes.BFloat16), ConvertDType(StopGradient(b), dtypes.BFloat16)
	return Dot(a, b).WithOutputDType(dtypes.Float32).General([]int{i}, nil, []int{j}, nil)
}
