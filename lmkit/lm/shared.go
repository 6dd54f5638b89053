package lm

import (
	"context"
	"slices"
	"time"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// What is removed from a text leaves the rows of a game many beginnings in common, which a causal model need read only
// once: of all coalitions of 12 tokens there are 4,096, but only 64 ways to begin with 6 tokens.
//
// The rows are sorted, so that those that begin alike stand together, and cut into chunks that run one after the
// other. A chunk's rows form a tree of pieces of text. A node of it is one way to go on from another one, its parent:
//
//	positions 0 to 5    positions 6 to 11
//	the cat sat ...  ┬─ on the mat ...    row 0
//	                 └─ on the rug ...    row 1
//	the dog sat ...  ── on the mat ...    row 2
//
// A Transformer reads all nodes at once (tree.go), an LSTM one level of them after the other (levels.go).

// worthSharing is the operations that must be saved before sharing is tried, for each program that it has to compile,
// and worthPart which part of all.
var worthSharing, worthPart = 20e9, 0.25

// sharing is a query whose rows begin alike.
type sharing struct {
	run *run

	symbols [][]uint64          // of each row, what stands at each position: rows with equal symbols read the same
	values  []*Array            // what replaces embeddings
	number  map[*float32]uint64 // of a value, by its first number: which one it is, counted from 1
	order   []int               // the rows, sorted by their symbols
	common  []int               // how many symbols order[k] has in common with order[k-1] at their beginnings
	by      reader

	operations float64 // what a token costs forward
}

// reader reads rows that begin alike, in chunks.
type reader interface {
	// cost is what reading all rows takes, in tokens of a batch.
	cost() float64
	chunks() []chunk
	// fill puts what the programs take for a chunk, but the values and the terms of objectives.
	fill(in *inputs, c chunk) error
	// place is where the programs have the token at a position of a row.
	place(row, position int) int
	// rows is how many rows a chunk has room for.
	rows() int
	// executor returns what runs the programs.
	executor() executor
}

// chunk is a range of places in the sorted order: rows that run together.
type chunk struct{ first, end int }

// share returns how the rows are read together, or nil if they do not begin alike, or if that saves too little.
func (r *run) share() *sharing {
	s := &sharing{run: r, number: map[*float32]uint64{}, operations: r.model.tokenOperations()}
	size, worth := r.batchRows(), worthSharing
	plain := float64((len(r.query.Rows)+size-1)/size*size) * float64(r.model.paddedLength(r.length))
	if r.chained {
		worth *= 4 // input, layer, last layer, end
	}
	if plain*s.operations < worth || !s.possible() {
		return nil
	}
	s.sort()
	if r.model.config.Attends() {
		s.by = s.plant()
	} else {
		s.by = s.stack()
	}
	if saved := plain - s.by.cost(); saved*s.operations < worth || saved < worthPart*plain {
		return nil
	}
	return s
}

// tokenOperations is about what a token costs forward: two operations for each weight, the embeddings not counted.
func (m *Model) tokenOperations() float64 {
	n := 0
	for _, p := range m.config.Params() {
		if len(p.Dims) == 2 && p.Dims[0] != m.config.Vocab {
			n += product(p.Dims)
		}
	}
	return 2 * float64(n)
}

// possible reads the rows as symbols. It reports false if anything but embeddings is replaced, or if more is asked for
// than logits after the last token of each row, or an objective: of an LSTM one about these tokens.
func (s *sharing) possible() bool {
	q := s.run.query
	asked := s.run.prediction.Unit != "" || q.Logits == LastLogits
	more := len(s.run.opening.Linear) > 0
	more = more || q.Rules != Ordinary || q.Final || q.States != nil || len(q.Taps) > 0 || q.Logits == AllLogits
	last := q.aboutLastTokens() || q.Logits == NoLogits && s.run.model.config.Attends()
	if more || !asked || !last {
		return false
	}
	for _, row := range q.Rows {
		if len(row) != s.run.length && s.run.model.config.Recurrent() {
			return false
		}
		symbols := make([]uint64, len(row))
		for t, id := range row {
			symbols[t] = uint64(id) << 32
		}
		s.symbols = append(s.symbols, symbols)
	}
	return !slices.ContainsFunc(q.Edits, func(e Edit) bool { return !s.replace(e) })
}

// replace makes the number of a value the symbol of the positions that an edit replaces. (Tokens are shifted: see
// possible.) It reports false if the edit is of another kind, or if a position is replaced twice, which is an error.
func (s *sharing) replace(e Edit) bool {
	v := e.With.values
	D := s.run.model.config.Embedding()
	if e.Tap != "embed" || v == nil || e.Keep != 0 || e.Add || len(v.Data) != D || v.Dims[len(v.Dims)-1] != D {
		return false
	}
	first := &v.Data[0]
	if s.number[first] == 0 {
		s.values = append(s.values, v)
		s.number[first] = uint64(len(s.values))
	}
	for _, row := range orAll(e.Rows, len(s.symbols)) {
		for _, t := range orAll(e.Positions, s.run.length) {
			if t >= len(s.symbols[row]) {
				continue
			}
			if isValue(s.symbols[row][t]) {
				return false
			}
			s.symbols[row][t] = s.number[first]
		}
	}
	return true
}

// isValue reports whether a symbol is the number of a value.
func isValue(symbol uint64) bool { return 0 < symbol && symbol < 1<<32 }

// sort puts rows that begin alike next to each other, and counts what each has in common with the one before it.
func (s *sharing) sort() {
	s.order = orAll(nil, len(s.symbols))
	slices.SortStableFunc(s.order, func(a, b int) int { return slices.Compare(s.symbols[a], s.symbols[b]) })
	s.common = make([]int, len(s.order))
	for k := 1; k < len(s.order); k++ {
		a, b := s.symbols[s.order[k-1]], s.symbols[s.order[k]]
		for n := min(len(a), len(b)); s.common[k] < n && a[s.common[k]] == b[s.common[k]]; {
			s.common[k]++
		}
	}
}

// read returns what stands at a position of a row: a token, and which value takes the place of its embedding, or -1.
func (s *sharing) read(row, t int) (id, which int32) {
	if x := s.symbols[row][t]; isValue(x) {
		which = int32(x)
	}
	return int32(s.run.query.Rows[row][t]), which - 1
}

// all runs the chunks.
func (s *sharing) all(ctx context.Context) error {
	execute := s.by.executor()
	for _, c := range s.by.chunks() {
		err := s.run.step(ctx, c.end-c.first, func() (time.Duration, error) {
			rows := s.order[c.first:c.end]
			in := newInputs(s.run, batch{rows: rows, own: len(rows)}, s.by.rows(), s.run.length)
			defer in.free()
			if err := s.inputs(in, c); err != nil {
				return 0, err
			}
			return execute(in)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inputs puts what the programs take for a chunk.
func (s *sharing) inputs(in *inputs, c chunk) error {
	if err := s.by.fill(in, c); err != nil {
		return err
	}
	D := s.run.model.config.Embedding()
	table := make([]float32, program.Bucket(len(s.values), 1)*D)
	for i, v := range s.values {
		copy(table[i*D:], v.Data)
	}
	if err := put(s.run.model, in.all(), net.Table, table, len(table)/D, D); err != nil {
		return err
	}
	if s.run.prediction.Unit == "" {
		return nil
	}
	return in.terms(s.by.place)
}
