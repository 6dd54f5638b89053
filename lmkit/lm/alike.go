package lm

import (
	"encoding/binary"

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
		ids := make([]int32, in.T)
		var key []byte
		for k, id := range in.run.query.Rows[row] {
			ids[k] = int32(id)
			key = binary.AppendUvarint(key, uint64(id))
		}
		at, ok := known[string(key)]
		if !ok {
			at = int32(t.n)
			known[string(key)] = at
			t.ids, t.n = append(t.ids, ids...), t.n+1
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

// begin computes the first layers, and returns the residual stream after them. Of those that are alike for all rows
// of one text it computes that once for each text, where this saves more than the programs for so few rows take to
// compile; else it computes none.
func (c *chain) begin(in *inputs) (stream *tensors.Tensor, layers int, err error) {
	m, all := c.run.model, in.texts()
	U, alike := program.Bucket(all.n, c.run.leastRows()), c.alike(in)
	saved := float64((in.B-U)*in.T) * m.tokenOperations() * float64(alike) / float64(m.config.Layers)
	if alike <= 0 || saved < worthSharing {
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
	run := func(part string, s net.Stage) error {
		outs, compile, err := m.link(part, m.stage(s), few)
		c.compile += compile
		if err == nil {
			few.set(net.Stream, outs[net.Stream])
		}
		return err
	}
	if err := run(net.EmbedPart, net.Embed{}); err != nil {
		return nil, 0, err
	}
	for l := range alike {
		if err := run(net.BlockPart(l), net.Layer{Kind: m.config.Pattern[l]}); err != nil {
			return nil, 0, err
		}
	}
	outs, compile, err := m.link("", m.stage(net.Spread{}), few)
	c.compile += compile
	return outs[net.Stream], alike, err
}
