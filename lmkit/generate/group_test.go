package generate

import (
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Rows are grouped such that a group's lengths leave no gap above the number of new tokens, and its memory is bounded;
// neighbours could not be merged. An LSTM's need no grouping by length.
func TestAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := lm.Config{Arch: lm.Transformer, Vocab: 100, Width: 512, Layers: 12, Context: 1024} // 100 MB a row
		if rapid.Bool().Draw(t, "lstm") {
			c = lm.Config{Arch: lm.LSTM, Vocab: 1 << 26}
		}
		tokens := rapid.IntRange(1, 20).Draw(t, "tokens")
		var rows []*row
		for i, n := range rapid.SliceOfN(rapid.IntRange(1, 100), 1, 30).Draw(t, "lengths") {
			rows = append(rows, &row{number: i, ids: make([]token.ID, n)})
		}
		seen := map[*row]bool{}
		longest, size := 0, 0
		most := map[string]int{lm.Transformer: 10, lm.LSTM: 4}[c.Arch]
		for _, g := range alike(c, rows, tokens) {
			if len(g) == 0 || len(g) > most {
				t.Fatalf("a group has %d rows", len(g))
			}
			if gap := len(g[0].ids) - longest; size > 0 && size < most && (c.Arch == lm.LSTM || gap <= tokens) {
				t.Fatalf("a group of %d rows ends before one that is %d tokens longer", size, gap)
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
			longest, size = len(g[len(g)-1].ids), len(g)
		}
		if len(seen) != len(rows) {
			t.Fatalf("%d of %d rows", len(seen), len(rows))
		}
	})
}
