package lm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// The inputs that edits come to are those of the definition, written down number by number: what the weight and the
// source are at each place of the activation, for any edits, values that are broadcast along any axes, and any batch.
func TestReplacedEqualsTheDefinition(t *testing.T) {
	c := Config{Arch: Transformer, Vocab: 5, Width: 6, Layers: 1, Heads: 2, Context: 16}.WithDefaults()
	rapid.Check(t, func(t *rapid.T) {
		m := &Model{opened: &opened{config: c, taps: tapsOf(c)}}
		r := &run{model: m, length: rapid.IntRange(1, 5).Draw(t, "length")}
		r.query.Rows = make([][]token.ID, rapid.IntRange(1, 5).Draw(t, "rows"))
		tap := rapid.SampledFrom([]Tap{"embed", "block.0.attn.q", "block.0.attn.pattern", "final.scale"}).Draw(t, "tap")
		info, err := m.Tap(tap)
		if err != nil {
			t.Fatal(err)
		}
		edits := drawEdits(t, r, info)
		all, err := m.replacements(edits)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(orAll(nil, len(r.query.Rows))).Draw(t, "order")
		B, T := rapid.IntRange(len(r.query.Rows), 8).Draw(t, "B"), rapid.IntRange(r.length, 8).Draw(t, "T")
		in := newInputs(r, batch{rows: order[:rapid.IntRange(1, len(order)).Draw(t, "rows of the batch")]}, B, T)
		covered := map[net.Slot][]bool{}
		for _, g := range all {
			got, err := in.replace(g, covered)
			if twice := slices.IndexFunc(in.batch.rows,
				func(row int) bool { return coveredTwice(r, info, edits, row) }); twice >= 0 {
				if len(all) == 1 && err == nil {
					t.Fatalf("two edits of row %d overlap, and nothing was said", in.batch.rows[twice])
				}
				return
			}
			if donors := g.twoDonors(in.batch.rows); donors != nil {
				if err == nil && !slices.ContainsFunc(donors, func(d int) bool { return !slices.Contains(in.batch.rows, d) }) {
					t.Fatalf("a row copies from the rows %v, and nothing was said", donors)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkReplaced(t, in, info, g, got)
		}
	})
}

// The batches of a query look at each edit of some rows in as many batches as hold one of these, and at no other: what
// a query of many rows takes grows as their number, not as its square.
func TestEachBatchLooksAtItsEdits(t *testing.T) {
	c := Config{Arch: Transformer, Vocab: 5, Width: 6, Layers: 1, Heads: 2, Context: 16}.WithDefaults()
	m := &Model{opened: &opened{config: c, taps: tapsOf(c)}}
	rapid.Check(t, func(t *rapid.T) {
		n, size := rapid.IntRange(1, 60).Draw(t, "rows"), rapid.IntRange(1, 8).Draw(t, "rows of a batch")
		var edits []Edit
		want := 0
		for range rapid.IntRange(1, 20).Draw(t, "edits") {
			e := Edit{Tap: "embed", Rows: rapid.SliceOfN(rapid.IntRange(0, n-1), 1, 5).Draw(t, "rows of an edit")}
			edits = append(edits, e)
			in := map[int]bool{}
			for _, row := range e.Rows {
				in[row/size] = true
			}
			want += len(in)
		}
		all, err := m.replacements(edits)
		if err != nil {
			t.Fatal(err)
		}
		for rows := range slices.Chunk(orAll(nil, n), size) {
			want -= len(all[0].touching(rows))
		}
		if want != 0 {
			t.Fatalf("%d looks too few (or, below 0, too many)", want)
		}
	})
}

// drawEdits draws edits of one tap, which copy from rows or hold values broadcast in any way.
func drawEdits(t *rapid.T, r *run, info TapInfo) []Edit {
	some := func(n int, what string) []int {
		if n == 0 || rapid.Bool().Draw(t, "all "+what) {
			return nil
		}
		return rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, n, rapid.ID[int]).Draw(t, what)
	}
	sizes := info.Shape(len(r.query.Rows), r.length)
	var edits []Edit
	shared := FromValues(drawValues(t, sizes))
	for range rapid.IntRange(1, 3).Draw(t, "edits") {
		e := Edit{Tap: info.Name, Rows: some(len(r.query.Rows), "rows"), Keep: rapid.SampledFrom([]float64{0, 0.25}).Draw(t,
			"keep")}
		for k, c := range []byte(info.Axes) {
			switch c {
			case 'T':
				e.Positions = some(sizes[k], "positions")
			case 'H':
				e.Heads = some(sizes[k], "heads")
			}
		}
		switch rapid.IntRange(0, 3).Draw(t, "source") {
		case 0:
			e.With = FromRow(rapid.IntRange(0, len(r.query.Rows)-1).Draw(t, "donor"))
		case 1:
			e.With = shared
		case 2:
			e.With = FromValues(drawValues(t, sizes))
		}
		edits = append(edits, e)
	}
	return edits
}

// drawValues draws an array whose last axes are those of an activation, or 1.
func drawValues(t *rapid.T, sizes []int) Array {
	dims := slices.Clone(sizes[rapid.IntRange(0, len(sizes)-1).Draw(t, "axes left out"):])
	for k := range dims {
		if rapid.Bool().Draw(t, "broadcast") {
			dims[k] = 1
		}
	}
	a := zeros(dims)
	for i := range a.Data {
		a.Data[i] = float32(rapid.IntRange(1, 1000).Draw(t, "value"))
	}
	return a
}

// covers says whether an edit replaces an activation's number at an index: row of the query, token, head, as the axes
// say.
func (e Edit) covers(axes string, at []int) bool {
	for k, c := range []byte(axes) {
		among := map[byte][]int{'B': e.Rows, 'T': e.Positions, 'H': e.Heads}[c]
		if among != nil && !slices.Contains(among, at[k]) {
			return false
		}
	}
	return true
}

// twoDonors returns the rows that a row copies from where these are several: a row can copy from one alone.
func (r replacement) twoDonors(rows []int) []int {
	for _, row := range rows {
		var donors []int
		for _, e := range r.touching([]int{row}) {
			if e.With.row > 0 && !slices.Contains(donors, e.With.row-1) {
				donors = append(donors, e.With.row-1)
			}
		}
		if len(donors) > 1 {
			return donors
		}
	}
	return nil
}

func coveredTwice(r *run, info TapInfo, edits []Edit, row int) bool {
	sizes, double := info.Shape(len(r.query.Rows), r.length), false
	each := make([][]int, len(sizes))
	for k := range each {
		each[k] = orAll(nil, sizes[k])
	}
	each[0] = []int{row}
	eachIndex(append(sizes, 1), each, func(at []int, _ int) {
		n := 0
		for _, e := range edits {
			if e.covers(info.Axes, at) {
				n++
			}
		}
		double = double || n > 1
	})
	return double
}

// checkReplaced compares what a replacement came to with the definition, at each number of the rows in the batch.
func checkReplaced(t *rapid.T, in *inputs, info TapInfo, g replacement, got replaced) {
	sizes := info.Shape(len(in.batch.rows), in.run.length)
	each := make([][]int, len(sizes))
	for k := range each {
		each[k] = orAll(nil, sizes[k])
	}
	eachIndex(append(slices.Clone(sizes), 1), each, func(at []int, _ int) {
		of := slices.Clone(at)
		of[0] = in.batch.rows[at[0]]
		k := slices.IndexFunc(g.edits, func(e Edit) bool { return e.covers(info.Axes, of) })
		weight := element(got.weight, at)
		if k < 0 {
			if weight != 0 {
				t.Fatalf("%v is replaced, and no edit covers it", of)
			}
			return
		}
		e := g.edits[k]
		if weight != float32(1-e.Keep) {
			t.Fatalf("%v has weight %v, want %v", of, weight, 1-e.Keep)
		}
		if e.With.row > 0 {
			if donor := e.With.row - 1; slices.Contains(in.batch.rows, donor) && in.batch.rows[got.donors[at[0]]] != donor {
				t.Fatalf("row %d copies from row %d, want %d", of[0], in.batch.rows[got.donors[at[0]]], donor)
			}
			return
		}
		if v, want := element(got.values, at), element(*e.With.given(), of); v != want {
			t.Fatalf("%v is replaced by %v, want %v", of, v, want)
		}
	})
}

// number is what an array has at an index, broadcast along the axes that it lacks, or where it is 1.
func element(a Array, at []int) float32 {
	at = at[len(at)-len(a.Dims):]
	i := 0
	for k, d := range a.Dims {
		i *= d
		if d > 1 {
			i += at[k]
		}
	}
	return a.Data[i]
}
