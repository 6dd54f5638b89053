package lm

import (
	"slices"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// levels is how an LSTM reads rows of one length that begin alike. A tree's nodes stand in levels, which are the same
// for all chunks: each is a range of positions, say tokens 0 to 5 and 6 to 11. The model reads the nodes of a level
// after the state and cell that it keeps of their parents, and each row has a node of its own in the last level.
type levels struct {
	*sharing
	size  int // the most rows of a chunk
	all   []level
	spent int // what a chunk costs, in tokens
}

// levelCost is what a level costs besides its tokens, in tokens.
const levelCost = 32

// level is a range of positions, and how many nodes it has room for.
type level struct{ from, to, nodes int }

// node is one way to go on through a level's positions.
type node struct {
	row    int // a row that goes this way
	parent int // the node of the level before that it goes on from
}

func (s *levels) chunks() (cut []chunk) {
	for from := 0; from < len(s.order); from += s.size {
		cut = append(cut, chunk{from, min(len(s.order), from+s.size)})
	}
	return cut
}

func (s *levels) rows() int { return s.size }

func (s *levels) cost() float64 { return float64(len(s.chunks()) * s.spent) }

// beginnings counts the different beginnings of a length that the rows of a chunk have.
func (s *levels) beginnings(c chunk, length int) int {
	n := 1
	for k := c.first + 1; k < c.end; k++ {
		if s.common[k] < length {
			n++
		}
	}
	return n
}

// stack returns the levels that cost least, in tokens of a chunk. A level costs its positions times the room for its
// nodes, and levelCost. All chunks have the same levels, so that they run the same program.
//
// Let cost(b) be the least cost of levels that end at position b. The last of them begins at an earlier end a, or at
// 0: cost(b) = min over a of cost(a) + (b-a)*room(b) + levelCost.
func (s *sharing) stack() *levels {
	x := &levels{sharing: s, size: s.run.batchRows()}
	T := s.run.length // not padded: whatever the levels are, they are programs of their own
	chunks := x.chunks()
	var ends []level // from is not known yet
	for b := max(2, T/16); b < T; b += max(2, T/16) {
		n := 0
		for _, c := range chunks {
			n = max(n, x.beginnings(c, b))
		}
		ends = append(ends, level{to: b, nodes: min(x.size, program.Bucket(n, 1))})
	}
	ends = append(ends, level{to: T, nodes: x.size})
	least, before := make([]int, len(ends)), make([]int, len(ends)) // cost(b), and the a that gives it, or -1
	for i, b := range ends {
		least[i], before[i] = b.to*b.nodes+levelCost, -1
		for j, a := range ends[:i] {
			if c := least[j] + (b.to-a.to)*b.nodes + levelCost; c < least[i] {
				least[i], before[i] = c, j
			}
		}
	}
	for i := len(ends) - 1; i >= 0; i = before[i] {
		l := ends[i]
		if before[i] >= 0 {
			l.from = ends[before[i]].to
		}
		x.all = append(x.all, l)
	}
	slices.Reverse(x.all)
	x.spent = least[len(ends)-1]
	return x
}

// nodes returns those of a chunk, level by level. In the last level each row is a node, in their order.
func (s *levels) nodes(c chunk) [][]node {
	tree := make([][]node, len(s.all))
	owner := make([]int, c.end-c.first) // of each row: its node in the level before
	for l, level := range s.all {
		for i := range owner {
			k := c.first + i
			if i == 0 || l == len(s.all)-1 || s.common[k] < level.to {
				tree[l] = append(tree[l], node{row: s.order[k], parent: owner[i]})
			}
			owner[i] = len(tree[l]) - 1
		}
	}
	return tree
}

// fill puts what the nodes of each level read, and their parents.
func (s *levels) fill(in *inputs, c chunk) error {
	m, to := s.run.model, in.all()
	for l, nodes := range s.nodes(c) {
		at := s.all[l]
		N, T := at.nodes, at.to-at.from
		ids, which, parent := make([]int32, N*T), make([]int32, N*T), make([]int32, N)
		for n, x := range nodes {
			parent[n] = int32(x.parent)
			for t := range T {
				ids[n*T+t], which[n*T+t] = s.read(x.row, at.from+t)
			}
		}
		if err := put(m, to, net.OfLevel(net.IDs, l), ids, N, T); err != nil {
			return err
		}
		if err := put(m, to, net.OfLevel(net.Which, l), which, N, T); err != nil {
			return err
		}
		if err := put(m, to, net.OfLevel(net.Parent, l), parent, N); err != nil {
			return err
		}
	}
	length := make([]int32, s.size)
	for i := range length {
		length[i] = int32(s.run.length - s.all[len(s.all)-1].from)
	}
	return put(m, to, net.Length, length, s.size)
}

func (s *levels) executor() executor {
	p := s.run.prediction
	p.Last = true
	return s.run.one(net.Levels{Prediction: p, N: len(s.all)})
}

func (s *levels) place(int, int) int { return 0 }
