package lm

import (
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// Rows of one text are alike up to the first layer in which one of them is edited. What comes before is computed once
// for each text of a batch, so that a sweep over all layers, whose batches are about a few layers each, takes half the
// time.

// texts are the different texts of a batch.
type texts struct {
	ids []int32 // [U, T], one after the other
	of  []int32 // of each row of the batch: its text
	n   int     // how many they are
}

// texts finds the different texts of the batch. Rows that fill it up count as the first text.
func (in *inputs) texts() texts {
	t, known := texts{of: make([]int32, in.B)}, map[string]int32{}
	for i, row := range in.batch.rows {
		ids := in.run.query.Rows[row]
		at, ok := known[key(ids)]
		if !ok {
			at = int32(t.n)
			known[key(ids)] = at
			t.n++
			for _, id := range ids {
				t.ids = append(t.ids, int32(id))
			}
			t.ids = append(t.ids, make([]int32, in.T-len(ids))...)
		}
		t.of[i] = at
	}
	return t
}

// alike returns how many layers compute the same for all rows of one text: nothing is edited, asked for or
// differentiated in them, or before them.
func (c *chain) alike(in *inputs) int {
	n := min(len(c.layers)-1, c.lowest) // the last one may return the last token of each row alone
	if c.run.opening.Within(net.EmbedPart).Asks() {
		return 0
	}
	parts := map[string]bool{}
	for _, r := range c.run.replacements {
		if len(r.touching(in.batch.rows)) > 0 {
			part, _ := net.PartOf(r.slot.Tap)
			parts[part] = true
		}
	}
	if parts[net.EmbedPart] {
		return 0
	}
	for l := range max(0, n) {
		part := net.BlockPart(l)
		if parts[part] || len(c.read[l]) > 0 || c.run.opening.Within(part).Asks() {
			return l
		}
	}
	return n
}

// once returns the texts of a batch, with room for U of them, and how many layers to compute once for each text: none
// where that saves less than the programs for so few rows take to compile.
func (c *chain) once(in *inputs) (all texts, U, layers int) {
	layers = c.alike(in)
	if layers <= 0 {
		return texts{}, 0, 0
	}
	all, m := in.texts(), c.run.model
	U = program.Bucket(all.n, c.run.leastRows())
	saved := float64((in.B-U)*in.T) * m.tokenOperations() * float64(layers) / float64(m.config.Layers)
	if saved < worthSharing {
		return texts{}, 0, 0
	}
	return all, U, layers
}

// begin computes the layers that are computed once for each text, and returns the residual stream after them.
func (c *chain) begin(in *inputs) (stream *tensors.Tensor, layers int, err error) {
	m := c.run.model
	all, U, layers := c.once(in)
	if layers == 0 {
		outs, err := c.call(in, net.EmbedPart, c.embed, nil)
		return outs[net.Stream], 0, err
	}
	few := named{}
	defer few.free()
	if err := put(m, few, net.IDs, append(all.ids, make([]int32, (U-all.n)*in.T)...), U, in.T); err != nil {
		return nil, 0, err
	}
	if err := put(m, few, net.Parent, all.of, in.B); err != nil {
		return nil, 0, err
	}
	call := c.caller(in)
	first := links{embed: c.plain.embed, layers: c.plain.layers[:layers]}
	if err := first.step(call, few, few, make([]named, layers)); err != nil {
		return nil, 0, err
	}
	outs, err := call("", m.stage(net.Spread{}), few)
	return outs[net.Stream], layers, err
}
