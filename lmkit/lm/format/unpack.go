package format

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/printable"
)

// Unpacker finds a model's parameters in its files.
type Unpacker struct {
	tensors Tensors
	rules   map[string]Rule      // by parameter
	copies  map[string]Rule      // by parameter: other tensors that must hold the same numbers
	names   map[string]string    // of the tensors, by the rules' names
	uses    map[string]int       // of a tensor: how many parameters are still to be taken out of it
	held    map[string][]float32 // the tensors that some parameters were taken out of, and others not yet
}

// Unpack checks that the tensors are those of a model, without reading their numbers.
func Unpack(l Layout, c net.Config, ts Tensors) (*Unpacker, error) {
	u := &Unpacker{tensors: ts, copies: map[string]Rule{}, names: map[string]string{}, uses: map[string]int{},
		held: map[string][]float32{}}
	if err := u.name(l); err != nil {
		return nil, err
	}
	rules := l.Rules(c)
	u.rules = own(rules)
	for _, r := range rules {
		if !r.Copy || u.names[r.Tensor] == "" {
			continue
		}
		if u.names[u.rules[r.Param].Tensor] != "" {
			u.copies[r.Param] = r
		} else {
			u.rules[r.Param] = r
		}
	}
	for _, p := range c.Params() {
		u.uses[u.rules[p.Name].Tensor]++
		if err := u.check(p, u.rules[p.Name]); err != nil {
			return nil, err
		}
		if r, ok := u.copies[p.Name]; ok {
			if err := u.check(p, r); err != nil {
				return nil, err
			}
		}
	}
	return u, u.left(rules)
}

// name finds the tensors' names as the rules have them.
func (u *Unpacker) name(l Layout) error {
	names := u.tensors.Names()
	holder := shared(names)
	for _, n := range names {
		name := l.Name(strings.TrimPrefix(n, holder))
		if name == "" {
			continue
		}
		if other, ok := u.names[name]; ok {
			return fmt.Errorf("tensors %q and %q are the same part of the model: leave one of them out", cut(other), cut(n))
		}
		u.names[name] = n
	}
	return nil
}

// left fails when there are tensors of which no rule says anything.
func (u *Unpacker) left(rules []Rule) error {
	known := map[string]bool{}
	for _, r := range rules {
		known[r.Tensor] = true
	}
	var extra []string
	for name, n := range u.names {
		if !known[name] {
			extra = append(extra, n)
		}
	}
	if len(extra) == 0 {
		return nil
	}
	return fmt.Errorf("tensor %q belongs to no part of the model that the configuration describes (%d such tensors)",
		cut(slices.Min(extra)), len(extra))
}

// check compares the shape of a rule's tensor with that of the parameter.
func (u *Unpacker) check(p net.Param, r Rule) error {
	want := r.shape(p)
	dims, _, ok := u.tensors.Shape(u.names[r.Tensor])
	if !ok {
		return fmt.Errorf("tensor %q is missing; the configuration asks for it with shape %v%s", r.Tensor, want,
			u.instead(p, r.Tensor))
	}
	if !slices.Equal(dims, want) {
		return fmt.Errorf("tensor %q has shape %s, but the configuration asks for %v", cut(u.names[r.Tensor]),
			printable.Short(fmt.Sprint(dims), 80), want)
	}
	return nil
}

// instead says what may be there in place of a tensor that is missing.
func (u *Unpacker) instead(p net.Param, tensor string) string {
	for _, n := range slices.Sorted(maps.Values(u.names)) {
		if strings.HasSuffix(n, "."+tensor) {
			return fmt.Sprintf(". There is %q: if that is it, take off what stands before %s in all names", cut(n), tensor)
		}
	}
	if p.Name == "head.weight" {
		return ". If the output matrix is the embedding, tie_word_embeddings must be true in the configuration"
	}
	return ""
}

// cut is a tensor's name in a message: of one that is long, the beginning.
func cut(name string) string { return printable.Short(name, 100) }

// Param reads the numbers of a parameter, once. What is held in between is tensors of several parameters, until the
// last one is taken: in the order of c.Params(), those of one layer's attention.
func (u *Unpacker) Param(p net.Param) ([]float32, error) {
	r := u.rules[p.Name]
	data, ok := u.held[r.Tensor]
	if !ok {
		var err error
		if data, err = u.numbers(r); err != nil {
			return nil, err
		}
		u.held[r.Tensor] = data
	}
	if u.uses[r.Tensor]--; u.uses[r.Tensor] == 0 {
		delete(u.held, r.Tensor)
	}
	if other, ok := u.copies[p.Name]; ok {
		if err := u.same(r, other, data); err != nil {
			return nil, err
		}
	}
	if r.whole(p) {
		return data, nil
	}
	part := make([]float32, product(p.Dims))
	r.each(p, func(param, tensor int) { part[param] = data[tensor] + float32(r.Plus) })
	return part, nil
}

// numbers reads a rule's tensor.
func (u *Unpacker) numbers(r Rule) ([]float32, error) {
	data, err := floats(u.tensors, u.names[r.Tensor])
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", cut(u.names[r.Tensor]), err)
	}
	return data, nil
}

// same fails when a tensor does not hold the numbers of the one that it is a copy of.
func (u *Unpacker) same(r, other Rule, data []float32) error {
	copied, err := u.numbers(other)
	if err != nil {
		return err
	}
	for i, x := range data {
		if math.Float32bits(x) != math.Float32bits(copied[i]) && x != copied[i] {
			return fmt.Errorf("tensors %q and %q hold other numbers, but the configuration says that they are one matrix "+
				"(tie_word_embeddings): if the model has an output matrix of its own, tie_word_embeddings must be false; if "+
				"not, leave %q out", cut(u.names[r.Tensor]), cut(u.names[other.Tensor]), cut(u.names[other.Tensor]))
		}
	}
	return nil
}
