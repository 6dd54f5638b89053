package generate

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Rows are grouped such that a group's lengths leave no gap above the number of new tokens, and the memory that the
// decoder takes for it is bounded; neighbours could not be merged. An LSTM's need no grouping by length.
func TestAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Up to 200 MB a row.
		c := lm.Config{Arch: lm.Transformer, Vocab: 100, Width: 512, Heads: 8, Layers: 12, Context: 1024}
		longest, sizes := 1000, []int{64, 96, 128, 192, 256, 384, 512, 768, 1024}
		if rapid.Bool().Draw(t, "lstm") {
			c = lm.Config{Arch: lm.LSTM, Vocab: 1 << 26}
		}
		tokens := rapid.IntRange(1, 20).Draw(t, "tokens")
		var rows []*row
		for i, n := range rapid.SliceOfN(rapid.IntRange(1, longest), 1, 60).Draw(t, "lengths") {
			rows = append(rows, &row{number: i, ids: make([]token.ID, n)})
		}
		seen := map[*row]bool{}
		bytes := func(g []*row) int { // keys and values, before and after a step, of the next size of programs
			size := 0
			for _, r := range g {
				size = max(size, len(r.ids))
			}
			if c.Arch == lm.LSTM {
				return len(g) * 4 << 26
			}
			i := slices.IndexFunc(sizes, func(n int) bool { return n >= min(size+tokens, 1024) })
			return len(g) * (400 + 2*2*4*12*512*sizes[i])
		}
		var before []*row
		for _, g := range alike(c, rows, tokens) {
			if len(g) == 0 || len(g) > 1 && bytes(g) > maxMemory {
				t.Fatalf("a group has %d rows, %d bytes", len(g), bytes(g))
			}
			if before != nil {
				gap := len(g[0].ids) - len(before[len(before)-1].ids)
				if bytes(append(before[:len(before):len(before)], g[0])) <= maxMemory && (c.Arch == lm.LSTM || gap <= tokens) {
					t.Fatalf("a group of %d rows ends before one that is %d tokens longer", len(before), gap)
				}
			}
			for i, r := range g {
				if seen[r] {
					t.Fatalf("row %d is there twice", r.number)
				}
				seen[r] = true
				if c.Arch == lm.Transformer && i > 0 && len(r.ids)-len(g[i-1].ids) > tokens {
					t.Fatalf("%d tokens after %d", len(r.ids), len(g[i-1].ids))
				}
			}
			before = g
		}
		if len(seen) != len(rows) {
			t.Fatalf("%d of %d rows", len(seen), len(rows))
		}
	})
}
