package lm

import (
	"cmp"
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
// other. A chunk's rows form a tree of common beginnings. The tree has levels, which are the same for all chunks: each
// is a range of positions, say tokens 0 to 5 and 6 to 11. A node of a level is one way to go on through these
// positions from a node of the level before, its parent. The model reads each node once, after what it keeps of its
// parent (keys and values, or state and cell), and each row of the chunk has a node of its own in the last level:
//
//	positions 0 to 5    positions 6 to 11
//	the cat sat ...  ┬─ on the mat ...    row 0
//	                 └─ on the rug ...    row 1
//	the dog sat ...  ── on the mat ...    row 2

// worthSharing is the operations that must be saved before sharing is tried: its program takes longer to compile.
var worthSharing = 20e9

// levelCost is what a level costs besides its tokens, in tokens.
const levelCost = 32

// sharing is a query whose rows begin alike.
type sharing struct {
	run *run

	// The rows as they are compared: rows with equal symbols read the same.
	symbols [][]uint64 // of each row, what stands at each position: a token, or replaced
	value   []int      // of each row, the number of the value that stands at its replaced positions, or -1
	values  []*Array   // by number

	// How they are cut.
	order  []int   // the rows, sorted by value and symbols
	common []int   // how many symbols order[k] has in common with order[k-1] at their beginnings
	size   int     // the most rows of a chunk
	levels []level // the same in all chunks
}

// replaced is the symbol of a position whose embedding is replaced. (Tokens are shifted: see possible.)
const replacedSymbol = 1

// level is a range of positions, and how many nodes it has room for.
type level struct{ from, to, nodes int }

// chunk is a range of places in the sorted order: rows of one value that run together.
type chunk struct{ first, end int }

// node is one way to go on through a level's positions.
type node struct {
	row    int // a row that goes this way
	parent int // the node of the level before that it goes on from
}

// share returns how the rows are read together, or nil if they do not begin alike, or if that saves too little.
func (r *run) share() *sharing {
	s := &sharing{run: r}
	if !s.possible() {
		return nil
	}
	s.sort()
	m, n := r.model, len(r.query.Rows)
	s.size = enoughRows
	bytes := r.rowBytes() + 8*int64(m.config.Layers)*int64(product(m.config.Memory(1, r.length)))
	if most := r.memory() / bytes; most < int64(s.size) {
		s.size = int(most)
	}
	s.size = min(program.Bucket(n, 8), max(8, s.size/8*8))
	cost := s.divide()
	plain := s.size * program.Bucket(r.length, 8)
	saved := float64(plain-cost) * float64(n/s.size+1) * m.tokenOperations()
	if saved < worthSharing || 4*cost > 3*plain {
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

// possible reads the rows as symbols. It reports false if anything but embeddings is replaced, anything but the last
// token is asked about, or the rows differ in length.
func (s *sharing) possible() bool {
	q := s.run.query
	asked := s.run.prediction.Unit != "" || q.Logits == LastLogits
	more := len(s.run.opening.Linear) > 0
	more = more || q.Rules != Ordinary || q.Final || q.States != nil || len(q.Taps) > 0 || q.Logits == AllLogits
	if more || !asked || !q.aboutLastTokens() {
		return false
	}
	for _, row := range q.Rows {
		if len(row) != s.run.length {
			return false
		}
		symbols := make([]uint64, len(row))
		for t, id := range row {
			symbols[t] = uint64(id) << 32
		}
		s.symbols, s.value = append(s.symbols, symbols), append(s.value, -1)
	}
	return !slices.ContainsFunc(q.Edits, func(e Edit) bool { return !s.replace(e) })
}

// replace marks the positions that an edit replaces. It reports false if the edit is of another kind, or if a row has
// another one already, which it might overlap with.
func (s *sharing) replace(e Edit) bool {
	v := e.With.values
	if e.Tap != net.Replaced.Tap || v == nil || e.Keep != 0 || e.Add || len(v.Data) != s.run.model.config.Embedding() {
		return false
	}
	number := slices.IndexFunc(s.values, func(w *Array) bool { return &w.Data[0] == &v.Data[0] })
	if number < 0 {
		number = len(s.values)
		s.values = append(s.values, v)
	}
	for _, row := range orAll(e.Rows, len(s.symbols)) {
		if s.value[row] >= 0 {
			return false
		}
		s.value[row] = number
		for _, t := range orAll(e.Positions, s.run.length) {
			s.symbols[row][t] = replacedSymbol
		}
	}
	return true
}

// sort puts rows that begin alike next to each other, and counts what each has in common with the one before it.
func (s *sharing) sort() {
	s.order = orAll(nil, len(s.symbols))
	slices.SortStableFunc(s.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.value[a], s.value[b]), slices.Compare(s.symbols[a], s.symbols[b]))
	})
	s.common = make([]int, len(s.order))
	for k := 1; k < len(s.order); k++ {
		a, b := s.order[k-1], s.order[k]
		if s.value[a] != s.value[b] {
			continue
		}
		for s.common[k] < s.run.length && s.symbols[a][s.common[k]] == s.symbols[b][s.common[k]] {
			s.common[k]++
		}
	}
}

// chunks cuts the sorted rows into pieces of at most size rows, each of one value.
func (s *sharing) chunks() (all []chunk) {
	for from := 0; from < len(s.order); {
		to := from + 1
		for to < len(s.order) && to-from < s.size && s.value[s.order[to]] == s.value[s.order[from]] {
			to++
		}
		all = append(all, chunk{from, to})
		from = to
	}
	return all
}

// beginnings counts the different beginnings of a length that the rows of a chunk have.
func (s *sharing) beginnings(c chunk, length int) int {
	n := 1
	for k := c.first + 1; k < c.end; k++ {
		if s.common[k] < length {
			n++
		}
	}
	return n
}

// divide finds the levels that cost least, and returns what they cost, in tokens of a chunk. A level costs its
// positions times the room for its nodes, and levelCost. All chunks have the same levels, so that they run the same
// program.
//
// Let cost(b) be the least cost of levels that end at position b. The last of them begins at an earlier end a, or at
// 0: cost(b) = min over a of cost(a) + (b-a)*room(b) + levelCost.
func (s *sharing) divide() (cost int) {
	T := s.run.length // not padded: whatever the levels are, they are programs of their own
	chunks := s.chunks()
	var ends []level // from is not known yet
	for b := max(2, T/16); b < T; b += max(2, T/16) {
		n := 0
		for _, c := range chunks {
			n = max(n, s.beginnings(c, b))
		}
		ends = append(ends, level{to: b, nodes: min(s.size, program.Bucket(n, 1))})
	}
	ends = append(ends, level{to: T, nodes: s.size})
	least, before := make([]int, len(ends)), make([]int, len(ends)) // cost(b), and the a that gives it, or -1
	for i, b := range ends {
		least[i], before[i] = b.to*b.nodes+levelCost, -1
		for j, a := range ends[:i] {
			if c := least[j] + (b.to-a.to)*b.nodes + levelCost; c < least[i] {
				least[i], before[i] = c, j
			}
		}
	}
	s.levels = nil
	for i := len(ends) - 1; i >= 0; i = before[i] {
		l := ends[i]
		if before[i] >= 0 {
			l.from = ends[before[i]].to
		}
		s.levels = append(s.levels, l)
	}
	slices.Reverse(s.levels)
	return least[len(ends)-1]
}

// tree returns the nodes of a chunk, level by level. In the last level each row is a node, in their order.
func (s *sharing) tree(c chunk) [][]node {
	tree := make([][]node, len(s.levels))
	owner := make([]int, c.end-c.first) // of each row: its node in the level before
	for l, level := range s.levels {
		for i := range owner {
			k := c.first + i
			if i == 0 || l == len(s.levels)-1 || s.common[k] < level.to {
				tree[l] = append(tree[l], node{row: s.order[k], parent: owner[i]})
			}
			owner[i] = len(tree[l]) - 1
		}
	}
	return tree
}

// all runs the chunks.
func (s *sharing) all(ctx context.Context) error {
	prediction := s.run.prediction
	prediction.Last = true
	execute := s.whole(prediction)
	if s.run.chained {
		execute = s.chain(prediction)
	}
	for _, c := range s.chunks() {
		err := s.run.step(ctx, c.end-c.first, func() (time.Duration, error) { return s.chunk(c, execute) })
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk runs one, and puts what comes out where it belongs.
func (s *sharing) chunk(c chunk, execute executor) (compile time.Duration, err error) {
	rows := s.order[c.first:c.end]
	in := newInputs(s.run, batch{rows: rows, own: len(rows)}, s.size, s.run.length)
	defer in.free()
	for l, nodes := range s.tree(c) {
		if err := s.level(in, l, nodes); err != nil {
			return 0, err
		}
	}
	if err := s.rest(in); err != nil {
		return 0, err
	}
	return execute(in)
}

// level puts the inputs of a level: what its nodes read, and their parents.
func (s *sharing) level(in *inputs, l int, nodes []node) error {
	at := s.levels[l]
	N, T := at.nodes, at.to-at.from
	ids, weight, parent := make([]int32, N*T), make([]float32, N*T), make([]int32, N)
	for n, x := range nodes {
		parent[n] = int32(x.parent)
		for t := range T {
			ids[n*T+t] = int32(s.run.query.Rows[x.row][at.from+t])
			if s.symbols[x.row][at.from+t] == replacedSymbol {
				weight[n*T+t] = 1
			}
		}
	}
	m := s.run.model
	if err := put(m, in.all(), net.OfLevel(net.IDs, l), ids, N, T); err != nil {
		return err
	}
	if err := put(m, in.all(), net.OfLevel(net.Replaced.Weight(), l), weight, N, T, 1); err != nil {
		return err
	}
	return put(m, in.all(), net.OfLevel(net.Parent, l), parent, N)
}

// rest puts the inputs that do not belong to a level.
func (s *sharing) rest(in *inputs) error {
	m := s.run.model
	value := make([]float32, m.config.Embedding())
	if v := s.value[in.batch.rows[0]]; v >= 0 {
		value = s.values[v].Data
	}
	if err := put(m, in.all(), net.Replaced.Source(), value, 1, 1, len(value)); err != nil {
		return err
	}
	length := make([]int32, s.size)
	for i := range length {
		length[i] = int32(s.run.length - s.levels[len(s.levels)-1].from)
	}
	if err := put(m, in.all(), net.Length, length, s.size); err != nil {
		return err
	}
	if s.run.prediction.Unit == "" {
		return nil
	}
	return in.terms()
}

// whole runs chunks as one program.
func (s *sharing) whole(p net.Prediction) executor {
	m := s.run.model
	program := m.stage(net.Shared{Prediction: p, Levels: len(s.levels)})
	return func(in *inputs) (time.Duration, error) {
		outs, compile, err := m.call(program, "", in.all())
		if err != nil {
			return compile, err
		}
		defer outs.free()
		return compile, s.run.collect(in.batch, "", outs)
	}
}

// chain runs chunks as a chain of programs for each level.
func (s *sharing) chain(p net.Prediction) executor {
	m := s.run.model
	L := m.config.Layers
	c := &chain{run: s.run, end: m.ending(net.Opening{}, p, false)}
	levels := make([]links, len(s.levels))
	for i, at := range s.levels {
		replace := net.Opening{Edits: []net.Slot{net.Replaced}}
		levels[i] = links{embed: m.stage(net.Embed{Opening: replace, Before: at.from})}
		for l := range L {
			levels[i].layers = append(levels[i].layers, m.stage(net.Layer{
				Kind: m.config.Pattern[l], Memory: levelMemory(i, len(s.levels)), Last: i == len(s.levels)-1 && l == L-1,
			}))
		}
	}
	return func(in *inputs) (time.Duration, error) {
		c.compile = 0
		memory := make([]named, L) // what the nodes of the level before left, a layer
		defer func() {
			for _, n := range memory {
				n.free()
			}
		}()
		stream := named{}
		defer func() { stream.free() }()
		call := func(part string, s *stage, from ...named) (named, error) { return c.call(in, part, s, from...) }
		for i, at := range levels {
			level := named{net.IDs: in.all()[net.OfLevel(net.IDs, i)],
				net.Replaced.Weight(): in.all()[net.OfLevel(net.Replaced.Weight(), i)],
				net.Parent:            in.all()[net.OfLevel(net.Parent, i)]}
			if err := at.step(call, stream, level, memory); err != nil {
				return c.compile, err
			}
		}
		_, err := c.end.run(m, call, stream)
		return c.compile, err
	}
}

// levelMemory says what the layers know of earlier tokens in level i of n.
func levelMemory(i, n int) net.Memory {
	switch {
	case n == 1:
		return net.NoMemory
	case i == 0:
		return net.First
	case i < n-1:
		return net.GoesOn
	}
	return net.Ends
}
