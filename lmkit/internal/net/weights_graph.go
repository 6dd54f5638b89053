package net

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Weights are the parameters as graph nodes, by their names in the file.
type Weights struct {
	prefix string
	nodes  map[string]*Node
}

// NewWeights names the nodes in the order of c.Params().
func NewWeights(c Config, nodes []*Node) Weights {
	w := Weights{nodes: map[string]*Node{}}
	for i, p := range c.Params() {
		w.nodes[p.Name] = nodes[i]
	}
	return w
}

func (w Weights) in(format string, args ...any) Weights {
	return Weights{w.prefix + fmt.Sprintf(format, args...) + ".", w.nodes}
}

func (w Weights) get(name string) *Node {
	n := w.nodes[w.prefix+name]
	if n == nil {
		panic(fmt.Errorf("no weight %q", w.prefix+name))
	}
	return n
}

// embedding is the table of token embeddings [V, D].
func embedding(c Config, w Weights) *Node {
	if c.Arch == LSTM {
		return w.get("embed.weight")
	}
	return w.get("wte.weight")
}

// head is the output matrix [V, D] and bias [V], or nil.
func head(c Config, w Weights) (matrix, bias *Node) {
	if c.Arch == LSTM {
		bias = w.get("linear.bias")
	}
	switch {
	case c.Tied:
		return embedding(c, w), bias
	case c.Arch == LSTM:
		return w.get("linear.weight"), bias
	}
	return w.get("lm_head.weight"), nil
}
