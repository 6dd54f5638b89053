package lm

import (
	"slices"

	"lmkit.internal/lmkit/internal/program"
)

// batch is rows of a query that run together. The first own of them are answered; the others only give activations.
type batch struct {
	rows []int
	own  int
}

// plan splits n rows into batches of at most limit, each with the rows that its edits copy from. (A batch may exceed
// the limit where one row needs more donors than that.) Rows stay together in units of so many (pairs, say),
// which n and limit are multiples of.
func plan(n, limit, unit int, edits []Edit) []batch {
	donors := copied(edits)
	var batches []batch
	for first := 0; first < n; {
		if donors == nil {
			batches = append(batches, withDonors(first, min(n, first+limit), unit, nil))
			first += limit
			continue
		}
		b := withDonors(first, first+unit, unit, donors)
		for last := first + 2*unit; last <= n; last += unit {
			more := withDonors(first, last, unit, donors)
			if len(more.rows) > limit {
				break
			}
			b = more
		}
		batches = append(batches, b)
		first += b.own
	}
	return batches
}

// everyRow is the key of copied for what all rows copy from.
const everyRow = -1

// copied returns, for each row, the rows that its edits copy from; nil where none copies from another row.
func copied(edits []Edit) map[int][]int {
	var donors map[int][]int
	for _, e := range edits {
		if e.With.row == 0 {
			continue
		}
		if donors == nil {
			donors = map[int][]int{}
		}
		rows := e.Rows
		if rows == nil {
			rows = []int{everyRow}
		}
		for _, row := range rows {
			donors[row] = append(donors[row], e.With.row-1)
		}
	}
	return donors
}

// withDonors is the rows [first, last) and, after them, the units of all that they copy from, however indirectly.
func withDonors(first, last, unit int, donors map[int][]int) batch {
	b := batch{own: last - first}
	for i := first; i < last; i++ {
		b.rows = append(b.rows, i)
	}
	take := func(from []int) {
		for _, i := range from {
			if i >= first && i < last || slices.Contains(b.rows[b.own:], i) {
				continue
			}
			for k := range unit {
				b.rows = append(b.rows, i/unit*unit+k)
			}
		}
	}
	take(donors[everyRow])
	for k := 0; k < len(b.rows); k++ { // take makes it longer
		take(donors[b.rows[k]])
	}
	return b
}

// unit is how many rows belong together.
func (r *run) unit() int {
	if r.query.Rules == DeepLIFT {
		return 2
	}
	return 1
}

// The numbers of tokens and rows from which more in a batch are no faster: matrix products are as fast as they get,
// and what is computed stays in the processor's caches.
const (
	enoughTokens = 1024
	enoughRows   = 256 // of an LSTM, which reads them a token at a time
)

// fewTokens is a size of batches: above about this many tokens a batch's time grows in proportion to its size, so that
// padding costs real time.
const fewTokens = 256

// leastRows is the smallest batch. Smaller ones would save little time, and be more shapes to compile; larger ones are
// padding where a question is about one row or two.
func (r *run) leastRows() int {
	least := 8
	if !r.model.config.Attends() || slices.ContainsFunc(r.query.Edits, func(e Edit) bool { return e.With.row != 0 }) {
		return least // and rows that copy from others take these with them into every batch
	}
	for least > r.unit() && least*program.Bucket(r.length, 8) > fewTokens {
		least /= 2
	}
	return least
}

// batchRows is how many rows a batch has room for: few shapes to compile, little padding, and no more than is fast and
// fits the memory that the query may take, about.
func (r *run) batchRows() int {
	most, least := enoughRows, r.leastRows()
	if r.model.config.Attends() {
		most = enoughTokens / program.Bucket(r.length, 8)
	}
	most = max(least, int(min(int64(most), r.memory()/max(1, r.rowBytes())))/least*least)
	switch n := len(r.query.Rows); {
	case n <= 8 && len(r.query.Wrt) == 0: // every explanation has two such questions: one program answers both
		return min(most, least)
	case n <= most:
		return min(most, program.Bucket(n, least))
	default:
		batches := (n + most - 1) / most
		step := max(1, most/16/r.unit()) * r.unit()
		return ((n+batches-1)/batches + step - 1) / step * step
	}
}

func (r *run) memory() int64 {
	if r.query.Memory > 0 {
		return r.query.Memory
	}
	return defaultMemory()
}

// rowBytes estimates what the activations of one row take.
func (r *run) rowBytes() int64 {
	c, T, V := r.model.config, int64(r.length), int64(r.model.config.Vocab)
	n := T * int64(c.Activations(r.length))
	if r.chained { // a layer at a time
		n /= int64(c.Layers)
	}
	if len(r.query.Wrt) > 0 {
		n = n * 5 / 2
	}
	if r.query.Rules != Ordinary {
		n *= 2
	}
	if r.chained && len(r.query.Wrt) > 0 {
		n += T * int64(c.Layers) * int64(c.Kept(false))
	}
	if r.query.Logits == AllLogits {
		n += T * V
	}
	if r.prediction.Unit != "" && r.prediction.Unit != string(Logit) {
		n += 3 * int64(r.terms) * V
	}
	for _, taps := range [][]Tap{r.query.Taps, r.query.Wrt} {
		for _, t := range taps {
			n += int64(product(r.returned(t, 1)))
		}
	}
	return 4 * n
}
