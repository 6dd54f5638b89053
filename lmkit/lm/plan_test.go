package lm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/token"
)

// Every row is answered once, units stay together at a place that a unit can have, and what a row copies from runs
// beside it.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.IntRange(1, 2).Draw(t, "unit")
		n := unit * rapid.IntRange(1, 20).Draw(t, "units")
		limit := 8 * rapid.IntRange(1, 3).Draw(t, "limit")
		var edits []Edit
		for range rapid.IntRange(0, 5).Draw(t, "edits") {
			e := Edit{With: FromRow(rapid.IntRange(0, n-1).Draw(t, "donor"))}
			if rapid.Bool().Draw(t, "some") {
				e.Rows = rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 3).Draw(t, "rows")
				if e.Rows == nil {
					e.Rows = []int{}
				}
			}
			edits = append(edits, e)
		}
		var answered []int
		for _, b := range plan(n, limit, unit, edits) {
			answered = append(answered, b.rows[:b.own]...)
			if len(edits) == 0 && len(b.rows) > limit {
				t.Fatalf("%d rows in a batch, where %d fit", len(b.rows), limit)
			}
			if sorted := slices.Sorted(slices.Values(b.rows)); len(slices.Compact(sorted)) != len(b.rows) {
				t.Fatalf("a batch holds a row twice: %v", b.rows)
			}
			for i, row := range b.rows {
				if row%unit != i%unit || b.rows[i-i%unit]/unit != row/unit {
					t.Fatalf("row %d stands at %d of %v: away from its unit", row, i, b.rows)
				}
				for _, e := range edits {
					if (e.Rows == nil || slices.Contains(e.Rows, row)) && !slices.Contains(b.rows, e.With.row-1) {
						t.Fatalf("row %d copies from row %d, which is not in %v", row, e.With.row-1, b.rows)
					}
				}
			}
		}
		for i, row := range answered {
			if row != i || len(answered) != n {
				t.Fatalf("%d rows are answered as %v", n, answered)
			}
		}
	})
}

// A batch holds whole units, is no larger than is fast, and is filled but for an eighth once there are more rows than
// the smallest batches hold.
func TestBatchRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Arch: Transformer, Vocab: 10, Width: 8, Layers: 1, Heads: 1, Inner: 32, Context: 512}
		r := &run{model: &Model{opened: &opened{config: c}}}
		if rapid.Bool().Draw(t, "LSTM") {
			r.model.config.Arch = LSTM
		}
		if rapid.Bool().Draw(t, "DeepLIFT") {
			r.query.Rules = DeepLIFT
		}
		r.length = rapid.IntRange(1, 512).Draw(t, "length")
		n := r.unit() * rapid.IntRange(1, 2000).Draw(t, "units")
		r.query.Rows = make([][]token.ID, n)
		if rapid.Bool().Draw(t, "gradient") {
			r.query.Wrt = []Tap{"embed"}
		}
		size := r.batchRows()
		if size%r.unit() != 0 || size < 1 || size > r.unit() && r.model.config.Arch == Transformer &&
			size*r.length > enoughTokens {
			t.Fatalf("batches of %d rows for %d of %d tokens", size, n, r.length)
		}
		batches := (n + size - 1) / size
		if waste := batches*size - n; size > r.leastRows() && batches > 1 && 8*waste > n+8*batches {
			t.Fatalf("%d batches of %d for %d rows of %d tokens", batches, size, n, r.length)
		}
		r.query.Memory = 1
		if got := r.batchRows(); got > r.leastRows() {
			t.Fatalf("batches of %d rows where there is no memory, where %d would do", got, r.leastRows())
		}
	})
}

// The smallest batch is about as many tokens as are needed to be fast: one row of a long text, eight of a short one.
// All short questions about a text take it, so that they share a program.
func TestLeastRows(t *testing.T) {
	patch := []Edit{{Tap: "embed", With: FromRow(0)}}
	for _, x := range []struct {
		arch   string
		rules  Rules
		edits  []Edit
		wrt    []Tap
		rows   int
		tokens int
		want   int
	}{
		{Transformer, Ordinary, nil, nil, 2, 12, 8},
		{Transformer, Ordinary, nil, nil, 8, 33, 4},
		{Transformer, Ordinary, nil, nil, 2, 64, 4},
		{Transformer, Ordinary, nil, nil, 8, 64, 4},
		{Transformer, Ordinary, nil, nil, 9, 64, 12},
		{Transformer, Ordinary, nil, []Tap{"embed"}, 1, 64, 4},
		{Transformer, Ordinary, nil, []Tap{"embed"}, 7, 64, 8},
		{Transformer, Ordinary, nil, nil, 8, 512, 1},
		{Transformer, DeepLIFT, nil, []Tap{"embed"}, 2, 512, 2},
		{Transformer, Ordinary, patch, nil, 3, 64, 8},
		{LSTM, Ordinary, nil, nil, 2, 512, 8},
	} {
		c := Config{Arch: x.arch, Vocab: 10, Width: 8, Layers: 1, Heads: 1, Inner: 32, Context: 512}
		r := &run{model: &Model{opened: &opened{config: c}}, length: x.tokens}
		r.query.Rows, r.query.Rules, r.query.Edits, r.query.Wrt = make([][]token.ID, x.rows), x.rules, x.edits, x.wrt
		if got := r.batchRows(); got != x.want {
			t.Errorf("%+v: batches of %d rows, want %d", x, got, x.want)
		}
	}
}
