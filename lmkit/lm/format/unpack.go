package format

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/printable"
)

// Unpacker finds a model's parameters in its files.
type Unpacker struct {
	tensors Tensors
	rules   map[string]Rule   // by parameter
	copies  map[string]Rule   // by parameter: other tensors that must hold the same numbers
	names   map[string]string // of the tensors, by the rules' names

	// The numbers of the last tensor that was not read row by row.
	scratch []float32
	holds   string
}

// Unpack checks that the tensors are those of a model, without reading their numbers.
func Unpack(l Layout, c net.Config, ts Tensors) (*Unpacker, error) {
	u := &Unpacker{tensors: ts, copies: map[string]Rule{}, names: map[string]string{}}
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

// check compares the shape of a rule's tensor with that of the parameter, and fails where its numbers cannot be read.
func (u *Unpacker) check(p net.Param, r Rule) error {
	want := r.shape(p)
	dims, kind, ok := u.tensors.Shape(u.names[r.Tensor])
	if !ok {
		return fmt.Errorf("tensor %q is missing; the configuration asks for it with shape %v%s", r.Tensor, want,
			u.instead(p, r.Tensor))
	}
	if !slices.Equal(dims, want) {
		return fmt.Errorf("tensor %q has shape %s, but the configuration asks for %v", cut(u.names[r.Tensor]),
			printable.Short(fmt.Sprint(dims), 80), want)
	}
	if _, err := kind.Size(0); err != nil {
		return fmt.Errorf("tensor %q: %w", cut(u.names[r.Tensor]), err)
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

// Fill reads the numbers of a parameter. Of what it needs in between, no more than one tensor is held: those that are
// stored as [in, out] are read as a whole, and then transposed.
func (u *Unpacker) Fill(p net.Param, to []float32) error {
	r := u.rules[p.Name]
	if err := u.fill(p, r, to); err != nil {
		return err
	}
	if other, ok := u.copies[p.Name]; ok {
		return u.same(p, other, to)
	}
	return nil
}

// Kind is how the numbers of a parameter are stored, if Raw can read them as they are; else F32, as which Fill reads
// them.
func (u *Unpacker) Kind(p net.Param) number.Kind {
	r := u.rules[p.Name]
	_, kind, _ := u.tensors.Shape(u.names[r.Tensor])
	block := kind.Block()
	if len(p.Dims) != 2 || r.Plus != 0 || block == 0 || p.Dims[1]%block != 0 || r.Transposed && block > 1 {
		return number.F32
	}
	return kind
}

// Raw reads a parameter as it is stored: to has the size that its numbers take as its Kind.
func (u *Unpacker) Raw(p net.Param, to []byte) error {
	if _, ok := u.copies[p.Name]; ok {
		if err := u.Fill(p, make([]float32, p.Size())); err != nil { // compares them
			return err
		}
	}
	r := u.rules[p.Name]
	run := p.Dims[1] // numbers that stand together in both
	if r.Transposed {
		run = 1
	}
	size, err := u.Kind(p).Size(run)
	if err != nil {
		return err
	}
	err = u.tensors.View(u.names[r.Tensor], func(raw []byte) error {
		if r.Row == nil && !r.Transposed {
			copy(to, raw)
			return nil
		}
		r.each(p, func(param, tensor, n, step int) {
			for j := 0; j < n; j += run {
				copy(to[(param+j)/run*size:][:size], raw[(tensor+j*step)/run*size:])
			}
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("tensor %q: %w", cut(u.names[r.Tensor]), err)
	}
	return nil
}

// fill reads the numbers of a parameter as a rule says.
func (u *Unpacker) fill(p net.Param, r Rule, to []float32) error {
	if err := u.convert(p, r, to); err != nil {
		return fmt.Errorf("tensor %q: %w", cut(u.names[r.Tensor]), err)
	}
	return nil
}

func (u *Unpacker) convert(p net.Param, r Rule, to []float32) error {
	dims, kind, _ := u.tensors.Shape(u.names[r.Tensor])
	if len(p.Dims) == 2 && !r.Transposed && r.Plus == 0 && kind.Block() > 0 && p.Dims[1]%kind.Block() == 0 {
		return u.rows(p, r, kind, to)
	}
	if u.holds != r.Tensor {
		n := product(dims)
		if u.holds = ""; n > cap(u.scratch) {
			u.scratch = nil // its memory may be taken for the new one
			u.scratch = make([]float32, n)
		}
		u.scratch = u.scratch[:n]
		if err := floats(u.tensors, u.names[r.Tensor], u.scratch); err != nil {
			return err
		}
		u.holds = r.Tensor
	}
	r.each(p, func(param, tensor, n, step int) {
		for j := range n {
			to[param+j] = u.scratch[tensor+j*step] + float32(r.Plus)
		}
	})
	return nil
}

// rows reads a parameter whose rows are rows of the tensor.
func (u *Unpacker) rows(p net.Param, r Rule, kind number.Kind, to []float32) error {
	in := p.Dims[1]
	size, err := kind.Size(in) // of a row
	if err != nil {
		return err
	}
	rows := max(1, atOnce/in)
	return inParts(u.tensors, u.names[r.Tensor], p.Dims[0], rows, func(raw []byte, from, end int) error {
		if r.Row == nil {
			return number.Floats(to[from*in:end*in], kind, raw[from*size:end*size])
		}
		for i := from; i < end; i++ {
			at := r.Row(i) * size
			if err := number.Floats(to[i*in:(i+1)*in], kind, raw[at:at+size]); err != nil {
				return err
			}
		}
		return nil
	})
}

// same fails when a tensor does not hold the numbers of the one that it is a copy of.
func (u *Unpacker) same(p net.Param, other Rule, data []float32) error {
	copied := make([]float32, len(data))
	if err := u.fill(p, other, copied); err != nil {
		return err
	}
	for i, x := range data {
		if math.Float32bits(x) != math.Float32bits(copied[i]) && x != copied[i] {
			return fmt.Errorf("tensors %q and %q hold other numbers, but the configuration says that they are one matrix "+
				"(tie_word_embeddings): if the model has an output matrix of its own, tie_word_embeddings must be false; if "+
				"not, leave %q out", cut(u.names[u.rules[p.Name].Tensor]), cut(u.names[other.Tensor]), cut(u.names[other.Tensor]))
		}
	}
	return nil
}
