package format

import (
	"fmt"
	"strings"

	"lmkit.internal/lmkit/internal/net"
)

// Rule says where a parameter is in a model's files. Parameters are [out, in]; their rows are what a rule moves.
type Rule struct {
	Param      string          // its name; "": the tensor may be there, and changes nothing
	Tensor     string          // the tensor's name
	Transposed bool            // the tensor is [in, out]
	Rows       int             // how many rows the tensor has, where others are in it too; 0: the parameter's
	Row        func(i int) int // which of them is row i of the parameter; nil: row i
	Plus       float64         // what the tensor's numbers lack to be the parameter's
	Copy       bool            // the tensor may be there in place of another, or beside it with its numbers
}

// from is the rows of a tensor from the given one.
func from(first int) func(i int) int { return func(i int) int { return first + i } }

// shape is that of a rule's tensor for a parameter.
func (r Rule) shape(p net.Param) []int {
	rows := r.Rows
	if rows == 0 {
		rows = p.Dims[0]
	}
	switch {
	case len(p.Dims) == 1:
		return []int{rows}
	case r.Transposed:
		return []int{p.Dims[1], rows}
	}
	return []int{rows, p.Dims[1]}
}

// whole says whether the tensor's numbers are the parameter's as they stand.
func (r Rule) whole(p net.Param) bool {
	return r.Rows == 0 && r.Row == nil && r.Plus == 0 && (!r.Transposed || len(p.Dims) == 1)
}

// tile is how many rows and columns are transposed at once, so that both sides stay in the processor's cache.
const tile = 64

// each visits the parameter's numbers run by run, and says where they are in the tensor: n numbers from number param of
// the parameter on are every step-th one from number tensor of the tensor on.
func (r Rule) each(p net.Param, visit func(param, tensor, n, step int)) {
	row := func(i int) int {
		if r.Row != nil {
			return r.Row(i)
		}
		return i
	}
	out, in := p.Dims[0], 1
	if len(p.Dims) == 2 {
		in = p.Dims[1]
	}
	if !r.Transposed || in == 1 {
		for i := range out {
			visit(i*in, row(i)*in, in, 1)
		}
		return
	}
	step := r.shape(p)[1]
	for i0 := 0; i0 < out; i0 += tile {
		for k := 0; k < in; k += tile {
			for i := i0; i < min(i0+tile, out); i++ {
				visit(i*in+k, k*step+row(i), min(tile, in-k), step)
			}
		}
	}
}

// expand makes the rules of a model from a table whose names leave out what repeats: "*" stands for the number of a
// layer, and a name without ".weight" or ".bias" for both. A tied output matrix, which is no parameter, may be there in
// place of the embedding, or beside it.
func expand(c net.Config, table []Rule) (rules []Rule) {
	params := c.Params()
	if c.Tied {
		params = append(params, net.Param{Name: "head.weight", Part: "head"})
	}
	for i, p := range params {
		layer := p.Part[strings.IndexByte(p.Part, '.')+1:]
		name := p.Name
		if layer != p.Part {
			name = strings.Replace(name, "."+layer+".", ".*.", 1)
		}
		dot := strings.LastIndexByte(name, '.')
		for _, r := range table {
			switch r.Param {
			case name:
			case name[:dot]:
				r.Tensor += name[dot:]
			default:
				continue
			}
			r.Param, r.Tensor = p.Name, strings.Replace(r.Tensor, "*", layer, 1)
			if c.Tied && i == len(params)-1 {
				r.Param, r.Copy = "embed.weight", true
			}
			rules = append(rules, r)
		}
	}
	for _, r := range table {
		for l := range c.Layers {
			if r.Param == "" {
				rules = append(rules, Rule{Tensor: strings.Replace(r.Tensor, "*", fmt.Sprint(l), 1)})
			}
		}
	}
	return rules
}

// own is the rules of the parameters by their names, without those of copies.
func own(rules []Rule) map[string]Rule {
	all := map[string]Rule{}
	for _, r := range rules {
		if !r.Copy {
			all[r.Param] = r
		}
	}
	return all
}

// Pack gives what a model's files hold: it gets the numbers of each parameter, and puts each tensor.
func Pack(f Format, c net.Config, get func(param string) []float32,
	put func(tensor string, dims []int, data []float32)) {
	rules, uses := own(f.Rules(c)), map[string]int{}
	for _, r := range rules {
		uses[r.Tensor]++
	}
	type tensor struct {
		dims []int
		data []float32
	}
	packed := map[string]tensor{}
	for _, p := range c.Params() {
		r := rules[p.Name]
		dims, data := r.shape(p), get(p.Name)
		if r.whole(p) {
			put(r.Tensor, dims, data)
			continue
		}
		t, ok := packed[r.Tensor]
		if !ok {
			t = tensor{dims, make([]float32, product(dims))}
			packed[r.Tensor] = t
		}
		r.each(p, func(param, tensor, n, step int) {
			for j := range n {
				t.data[tensor+j*step] = data[param+j] - float32(r.Plus)
			}
		})
		if uses[r.Tensor]--; uses[r.Tensor] == 0 {
			delete(packed, r.Tensor)
			put(r.Tensor, t.dims, t.data)
		}
	}
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Fresh makes the numbers of a new model, by parameter. It draws tensor by tensor as the model's files hold them, so
// that a seed gives the same model whatever its parameters are cut into: draw returns the n numbers of tensor number i,
// which start as those of p do. A model that no family's files hold is drawn parameter by parameter.
func Fresh(c net.Config, draw func(i int, p net.Param, n int) []float32) map[string][]float32 {
	rules := map[string]Rule{}
	if f, _, err := Write(c); err == nil {
		rules = own(f.Rules(c))
	}
	tensors, numbers := map[string][]float32{}, map[string][]float32{}
	for _, p := range c.Params() {
		r, ok := rules[p.Name]
		if !ok {
			r = Rule{Param: p.Name, Tensor: p.Name}
		}
		data, ok := tensors[r.Tensor]
		if !ok {
			data = draw(len(tensors), p, product(r.shape(p)))
			tensors[r.Tensor] = data
		}
		if r.whole(p) {
			numbers[p.Name] = data
			continue
		}
		part := make([]float32, product(p.Dims))
		r.each(p, func(param, tensor, n, step int) {
			for j := range n {
				part[param+j] = data[tensor+j*step]
			}
		})
		numbers[p.Name] = part
	}
	return numbers
}
