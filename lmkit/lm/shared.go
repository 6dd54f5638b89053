package lm

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// What is removed from a text leaves the rows of a game many beginnings in common, which a causal model need read only
// once: of all coalitions of 12 tokens there are 4,096, but only 64 ways to begin with 6 tokens. Rows are sorted, cut into
// chunks, and a chunk runs as a tree of levels.

// worthSharing is the operations that must be saved before sharing is tried: its program takes longer to compile.
var worthSharing = 20e9

// levelCost is what a level costs besides its tokens, in tokens.
const levelCost = 32

// shared is a query whose rows begin alike.
type shared struct {
	*run
	symbols [][]uint64 // of each row: what stands at each position
	value   []int      // of each row: the edit whose value it has, or -1
	values  []*Array   // by number
	order   []int      // the rows, sorted
	begin   []int      // of each row in order: how many tokens are as in the row before it
	size    int        // rows of a chunk
	bounds  []int      // where levels end
	counts  []int      // nodes of each level
}

// share finds out whether the rows begin alike, and whether that saves enough.
func (r *run) share() *shared {
	s := &shared{run: r}
	if !s.possible() {
		return nil
	}
	s.sort()
	size := enoughRows
	bytes := r.rowBytes() + 8*int64(r.config.Layers)*int64(product(r.config.Memory(1, r.length)))
	if m := r.memory() / bytes; m < int64(size) {
		size = int(m)
	}
	s.size = min(program.Bucket(len(r.Rows), 8), max(8, size/8*8))
	cost := s.divide()
	plain := s.size * program.Bucket(r.length, 8)
	saved := float64(plain-cost) * float64(len(r.Rows)/s.size+1) * r.tokenOperations()
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

// possible reads the rows as symbols, if nothing but embeddings is replaced, nothing but the last token asked about, and
// the rows have one length.
func (s *shared) possible() bool {
	if s.Rules != Ordinary || s.Final || s.States != nil || len(s.Query.Taps) > 0 || s.Logits == AllLogits || s.key.Unit == "" && s.Logits == NoLogits {
		return false
	}
	for i, row := range s.Rows {
		symbols := make([]uint64, len(row))
		for t, id := range row {
			symbols[t] = uint64(id) << 32
		}
		s.symbols, s.value = append(s.symbols, symbols), append(s.value, -1)
		if len(row) != s.length {
			return false
		}
		for _, t := range s.objective(i).Terms {
			if t.at(row) != len(row)-1 {
				return false
			}
		}
	}
	for _, e := range s.Edits {
		v := e.With.values
		if e.Tap != "embed" || v == nil || e.Keep != 0 || len(v.Data) != s.config.Embedding() {
			return false
		}
		number := slices.IndexFunc(s.values, func(w *Array) bool { return &w.Data[0] == &v.Data[0] })
		if number < 0 {
			number = len(s.values)
			s.values = append(s.values, v)
		}
		for _, row := range orAll(e.Rows, len(s.Rows)) {
			if s.value[row] >= 0 { // two edits of a row: they might overlap
				return false
			}
			s.value[row] = number
			for _, t := range orAll(e.Positions, s.length) {
				s.symbols[row][t] = 1 // replaced: whatever was there
			}
		}
	}
	return true
}

// sort puts rows that begin alike next to each other.
func (s *shared) sort() {
	s.order = make([]int, len(s.Rows))
	for i := range s.order {
		s.order[i] = i
	}
	slices.SortStableFunc(s.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.value[a], s.value[b]), slices.Compare(s.symbols[a], s.symbols[b]))
	})
	s.begin = make([]int, len(s.order))
	for k := 1; k < len(s.order); k++ {
		a, b := s.order[k-1], s.order[k]
		if s.value[a] != s.value[b] {
			continue
		}
		for s.begin[k] < s.length && s.symbols[a][s.begin[k]] == s.symbols[b][s.begin[k]] {
			s.begin[k]++
		}
	}
}

// chunks cuts the sorted rows into pieces [from, to) of one value each.
func (s *shared) chunks() (all [][2]int) {
	for from := 0; from < len(s.order); {
		to := from + 1
		for to < len(s.order) && to-from < s.size && s.value[s.order[to]] == s.value[s.order[from]] {
			to++
		}
		all = append(all, [2]int{from, to})
		from = to
	}
	return all
}

// nodes is how many different beginnings of a length a chunk has.
func (s *shared) nodes(c [2]int, length int) int {
	n := 1
	for k := c[0] + 1; k < c[1]; k++ {
		if s.begin[k] < length {
			n++
		}
	}
	return n
}

// divide finds the levels that cost least, in tokens of a chunk. All chunks have the same levels, so that they run the
// same program.
func (s *shared) divide() (cost int) {
	T := program.Bucket(s.length, 8)
	if c := s.config.Context; c > 0 {
		T = min(T, c)
	}
	step := max(2, T/16)
	chunks := s.chunks()
	var bounds, counts []int // candidates
	for b := step; b < s.length; b += step {
		n := 0
		for _, c := range chunks {
			n = max(n, s.nodes(c, b))
		}
		bounds, counts = append(bounds, b), append(counts, min(s.size, program.Bucket(n, 1)))
	}
	bounds, counts = append(bounds, T), append(counts, s.size)
	least, from := make([]int, len(bounds)), make([]int, len(bounds))
	for i, b := range bounds {
		least[i], from[i] = b*counts[i]+levelCost, -1
		for j := range i {
			if c := least[j] + (b-bounds[j])*counts[i] + levelCost; c < least[i] {
				least[i], from[i] = c, j
			}
		}
	}
	last := len(bounds) - 1
	for i := last; i >= 0; i = from[i] {
		s.bounds, s.counts = append(s.bounds, bounds[i]), append(s.counts, counts[i])
	}
	slices.Reverse(s.bounds)
	slices.Reverse(s.counts)
	return least[last]
}

// all runs the chunks.
func (s *shared) all(ctx context.Context) error {
	key := net.Shared{Levels: len(s.bounds), Unit: s.key.Unit, Logits: s.Logits == LastLogits, Loops: s.engine.Loops()}
	build := func(in []*graph.Node) []*graph.Node { return net.BuildShared(s.config, key, in) }
	for _, chunk := range s.chunks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		compile, err := s.chunk(key.Key(), build, chunk)
		if err != nil {
			return err
		}
		s.answer.Cost.Add(Cost{ForwardRows: chunk[1] - chunk[0], CompileSeconds: compile.Seconds(), Seconds: (time.Since(start) - compile).Seconds()})
	}
	return nil
}

// chunk runs one, and puts what comes out where it belongs.
func (s *shared) chunk(key string, build buildFunc, c [2]int) (compile time.Duration, err error) {
	b := batch{rows: s.order[c[0]:c[1]], own: c[1] - c[0]}
	in := &inputs{run: s.run, batch: b, B: s.size, T: s.length}
	defer func() { program.Free(in.made...) }()
	if err := s.levels(in, c); err != nil {
		return 0, err
	}
	return s.execute(key, build, in)
}

// levels makes the inputs of a chunk.
func (s *shared) levels(in *inputs, c [2]int) error {
	of := make([]int32, c[1]-c[0]) // of each row: its node in the level before
	from := 0
	for l, to := range s.bounds {
		N, T := s.counts[l], to-from
		ids, weight, parent := make([]int32, N*T), make([]float32, N*T), make([]int32, N)
		node := int32(-1)
		for i := range of {
			if last := l == len(s.bounds)-1; !last && i > 0 && s.begin[c[0]+i] >= to {
				of[i] = node
				continue
			}
			node++
			parent[node], of[i] = of[i], node
			row := in.rows[i]
			for t := range min(to, s.length) - from {
				ids[int(node)*T+t] = int32(s.Rows[row][from+t])
				if s.symbols[row][from+t] == 1 {
					weight[int(node)*T+t] = 1
				}
			}
		}
		if err := put(in, ids, N, T); err != nil {
			return err
		}
		if err := put(in, weight, N, T, 1); err != nil {
			return err
		}
		if l > 0 {
			if err := put(in, parent, N); err != nil {
				return err
			}
		}
		from = to
	}
	value := make([]float32, s.config.Embedding())
	if v := s.value[in.rows[0]]; v >= 0 {
		value = s.values[v].Data
	}
	if err := put(in, value, 1, 1, len(value)); err != nil {
		return err
	}
	last, length := 0, make([]int32, s.size)
	if n := len(s.bounds); n > 1 {
		last = s.bounds[n-2]
	}
	for i := range length {
		length[i] = int32(s.length - last)
	}
	if err := put(in, length, s.size); err != nil {
		return err
	}
	if s.key.Unit == "" {
		return nil
	}
	return in.objectives(false)
}
