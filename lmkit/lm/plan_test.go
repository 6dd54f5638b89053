package lm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
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
