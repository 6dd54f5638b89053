package lm

import (
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
	"lmkit.internal/lmkit/token"
)

func (d *Decoder) push(ids []token.ID) error {
	for i, t := range d.texts {
		id := ids[i]
		if id == Chosen {
			id = d.choices[i].ID
		}
		d.texts[i] = append(t, id)
	}
	d.steps++
	switch {
	case d.texts != nil && d.at == d.size: // the cache is full, or there is none
		return d.start(d.texts, d.size)
	case slices.ContainsFunc(ids, func(id token.ID) bool { return id != Chosen }):
		next := make([][]token.ID, len(ids))
		for i := range ids {
			next[i] = ids[i : i+1]
		}
		return d.readTokens(next)
	}
	return d.readOn()
}

// readOn reads the tokens that were chosen.
func (d *Decoder) readOn() error {
	if err := d.putWeights(1); err != nil {
		return err
	}
	if err := d.read(d.on, 1); err != nil {
		return err
	}
	for i := range d.seen {
		d.seen[i]++
	}
	return nil
}

// prepare puts what stays the same for all steps.
func (d *Decoder) prepare() error {
	B := program.Bucket(d.rows, 1)
	d.on, d.last, d.settings = named{}, named{}, named{}
	ids, length := make([]int32, B), make([]int32, B)
	for i := range ids {
		ids[i], length[i] = int32(Chosen), 1
	}
	if err := put(d.model, d.on, net.IDs, ids, B, 1); err != nil {
		return err
	}
	if err := put(d.model, d.on, net.Length, length, B); err != nil {
		return err
	}
	if err := put(d.model, d.last, net.Chosen, make([]int32, B), B); err != nil {
		return err
	}
	for name, v := range d.sampling.numbers() {
		if err := put(d.model, d.settings, name, []float32{v}); err != nil {
			return err
		}
	}
	return nil
}

// start reads texts into an empty memory.
func (d *Decoder) start(texts [][]token.ID, room int) error {
	c, B := d.model.config, program.Bucket(d.rows, 1)
	d.at, d.size, d.seen = 0, 0, make([]int, d.rows)
	if c.Attends() {
		if !d.model.engine.Loops() {
			return d.readTokens(texts)
		}
		d.size = cached(c, longest(texts), room)
	}
	dims := c.Memory(B, d.size)
	d.forget()
	zero := make([]float32, product(dims))
	for l := range c.Layers {
		d.memory = append(d.memory, named{})
		for _, name := range []string{net.Keys, net.Vals} {
			if err := put(d.model, d.memory[l], name, zero, dims...); err != nil {
				return err
			}
		}
	}
	return d.readTokens(texts)
}

// readTokens reads more tokens of the rows. They may have different lengths where the memory is an LSTM's. What pads
// the tokens gets into a cache, but no token attends to what is after it, and the next one overwrites it.
func (d *Decoder) readTokens(next [][]token.ID) error {
	B, T := program.Bucket(len(next), 1), longest(next)
	n := T
	if T > 1 {
		T = program.Bucket(T, 8)
	}
	if d.texts != nil {
		T = min(T, d.model.config.Context)
	}
	if d.size > 0 {
		T = min(T, d.size)
	}
	ids, length := make([]int32, B*T), make([]int32, B)
	for k := range length {
		length[k] = 1
	}
	for k, row := range next {
		length[k] = int32(len(row))
		for t, id := range row {
			ids[k*T+t] = int32(id)
		}
	}
	in := named{}
	defer func() { in.free() }()
	if err := put(d.model, in, net.IDs, ids, B, T); err != nil {
		return err
	}
	if err := put(d.model, in, net.Length, length, B); err != nil {
		return err
	}
	if err := d.putWeights(T); err != nil {
		return err
	}
	if err := d.read(in, n); err != nil {
		return err
	}
	for k, row := range next {
		d.seen[k] += len(row)
	}
	return nil
}

// read runs a step on n more tokens a row, or fewer, as their lengths say.
func (d *Decoder) read(tokens named, n int) error {
	numbers := named{}
	defer numbers.free()
	if err := put(d.model, numbers, net.CacheAt, []int32{int32(d.at)}); err != nil {
		return err
	}
	if d.sampling.Temperature > 0 {
		draws := make([]float32, tokens[net.Length].Size())
		for i := range d.rows {
			draws[i] = float32(d.sampling.Draw(i, d.steps))
		}
		if err := put(d.model, numbers, net.Draws, draws, len(draws)); err != nil {
			return err
		}
	}
	run := d.runWhole
	if d.step == nil {
		run = d.runLinks
	}
	outs, err := run(tokens, numbers)
	if err != nil {
		return err
	}
	report := outs[net.Report]
	defer program.Free(report)
	d.last.set(net.Chosen, outs[net.Chosen])
	d.last.set(net.Logits, outs[net.Logits])
	if d.size > 0 {
		d.at += n
	}
	return d.take(report)
}

// runWhole runs a step as one program, which has a name for what each layer keeps.
func (d *Decoder) runWhole(tokens, numbers named) (outs named, err error) {
	outs, _, err = d.model.call(d.step, "", tokens, numbers, d.last, d.settings, recalled(d.memory), d.edits[""])
	if err != nil {
		return nil, err
	}
	remember(d.memory, outs)
	return outs, nil
}

// recalled is what layers know of earlier tokens, by the names of a program of all of them.
func recalled(layers []named) named {
	memory := named{}
	for l, x := range layers {
		first, second := net.MemoryOf(l)
		memory[first], memory[second] = x[net.Keys], x[net.Vals]
	}
	return memory
}

// remember puts what such a program returns in the place of what the layers knew.
func remember(layers []named, outs named) {
	for l, x := range layers {
		first, second := net.MemoryOf(l)
		x.set(net.Keys, outs[first])
		x.set(net.Vals, outs[second])
	}
}

// runLinks runs a step as a chain of programs.
func (d *Decoder) runLinks(tokens, numbers named) (outs named, err error) {
	call := func(part string, s *stage, from ...named) (named, error) {
		outs, _, err := d.model.link(part, s, append(from, numbers, d.last, d.settings, d.edits[part])...)
		return outs, err
	}
	memory := d.memory
	if d.size == 0 {
		memory = make([]named, d.model.config.Layers)
	}
	stream := named{}
	defer func() { stream.free() }()
	step := d.links.step
	if d.groups != nil && tokens[net.IDs].Shape().Dimensions[1] == 1 {
		step = d.stepGroups
	}
	if err := step(call, stream, tokens, memory); err != nil {
		return nil, err
	}
	return d.end.run(d.model, call, stream, tokens)
}

// take copies the choices from the engine.
func (d *Decoder) take(report *tensors.Tensor) error {
	bits, dims, err := program.Copy(d.model.engine, report) // [2, B]
	if err != nil {
		return err
	}
	d.choices = make([]Choice, d.rows)
	for i := range d.choices {
		d.choices[i] = Choice{ID: token.ID(math.Float32bits(bits[i])), LogProb: float64(bits[dims[1]+i])}
	}
	return nil
}

// forget frees what the layers keep.
func (d *Decoder) forget() {
	for _, x := range d.memory {
		x.free()
	}
	d.memory = nil
}
