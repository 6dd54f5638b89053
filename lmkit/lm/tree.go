package lm

import (
	"slices"
	"time"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/internal/program"
)

// tree is how a Transformer reads rows that begin alike. The rows are cut into pieces of one length, and each way to go
// on from a piece is a node. A chunk's nodes are read as the rows of one batch: a token's keys and values in a layer
// depend on the layer before alone, so no node need wait for its parent. For its attention, a node gathers the keys and
// values of its path: the nodes that its text consists of.
type tree struct {
	*sharing
	piece int     // tokens of a node
	path  int     // the most nodes of a text
	nodes int     // how many nodes a chunk has room for
	most  int     // and how many rows
	asked [][]int // of each row of the query, the positions that are asked about, in their order
	few   int     // how many of them a row has room for
	cut   []chunk
}

// The most tokens and rows of a chunk: fewer would share less, more take memory and are no faster; and those of a node.
const (
	enoughNodes  = 2048
	enoughLeaves = 512
	longestPiece = 16
)

// gathered is how many operations of products take the time in which a byte of keys or values is gathered.
const gathered = 20

// plant returns the tree whose nodes have the length that costs least: short ones share more, long ones gather less.
func (s *sharing) plant() *tree {
	var best *tree
	asked, few := make([][]int, len(s.symbols)), 1
	for row := range asked {
		asked[row] = s.positions(row)
		few = max(few, len(asked[row]))
	}
	for piece := 1; piece <= longestPiece && (piece == 1 || piece < s.run.length); piece *= 2 {
		t := &tree{sharing: s, piece: piece, asked: asked, few: program.Bucket(few, 1)}
		t.path = (s.run.model.paddedLength(s.run.length) + piece - 1) / piece
		t.divide()
		if best == nil || t.cost() < best.cost() {
			best = t
		}
	}
	return best
}

// positions lists those of a row that are asked about, in their order.
func (s *sharing) positions(row int) (at []int) {
	q := s.run.query
	for _, t := range q.objective(row).Terms {
		at = append(at, t.at(q.Rows[row]))
	}
	if len(at) == 0 {
		at = []int{len(q.Rows[row]) - 1}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// place is which one of the positions that are asked about a position is.
func (t *tree) place(row, position int) int {
	at, _ := slices.BinarySearch(t.asked[row], position)
	return at
}

// cost is that of the tokens of all nodes, and of what they gather.
func (t *tree) cost() float64 {
	c := t.run.model.config
	bytes := 8 * t.path * c.KVHeads * c.HeadWidth * c.Layers
	each := float64(t.piece) + gathered*float64(bytes)/t.operations
	return float64(len(t.cut)*t.nodes) * each
}

// pieces is how many nodes row order[k] consists of, and how many of them it has in common with the row before.
func (t *tree) pieces(k int) (all, common int) {
	n := len(t.symbols[t.order[k]])
	all = (n + t.piece - 1) / t.piece
	if t.common[k] == n && k > 0 && len(t.symbols[t.order[k-1]]) == n {
		return all, all
	}
	return all, t.common[k] / t.piece
}

// divide cuts the rows into chunks: all have the same room for nodes, the one of which least is taken together.
func (t *tree) divide() {
	step := max(1, enoughNodes/16/t.piece)
	most := max(t.path, min(enoughNodes/t.piece, int(t.run.memory()/t.nodeBytes())))
	leaves := int(max(1, min(enoughLeaves, t.run.memory()/t.leafBytes())))
	t.nodes = 0
	for room := (t.path + step - 1) / step * step; t.nodes == 0 || room <= most; room += step {
		if cut := t.chunksOf(room, leaves); t.nodes == 0 || len(cut)*(room+step/4) < len(t.cut)*(t.nodes+step/4) {
			t.nodes, t.cut = room, cut
		}
	}
	rows := 0
	for _, c := range t.cut {
		rows = max(rows, c.end-c.first)
	}
	t.most = program.Bucket(rows, 8)
}

// chunksOf cuts the rows into chunks of at most so many nodes and rows, or one row.
func (t *tree) chunksOf(room, leaves int) (cut []chunk) {
	nodes := 0
	for k := range t.order {
		all, common := t.pieces(k)
		full := len(cut) > 0 && cut[len(cut)-1].end-cut[len(cut)-1].first == leaves
		if len(cut) == 0 || full || nodes+all-common > room {
			cut, nodes, common = append(cut, chunk{first: k}), 0, 0
		}
		nodes += all - common
		cut[len(cut)-1].end = k + 1
	}
	return cut
}

// nodeBytes is about what a node takes.
func (t *tree) nodeBytes() int64 {
	c := t.run.model.config
	numbers := c.Activations(t.piece * t.path)
	if t.run.chained {
		numbers /= c.Layers
	}
	return 4 * int64(t.piece*numbers+2*t.piece*t.path*c.KVHeads*c.HeadWidth)
}

// leafBytes is about what the end takes for a row.
func (t *tree) leafBytes() int64 {
	V, n := int64(t.run.model.config.Vocab), int64(0)
	if t.run.prediction.Logits != "" {
		n = V
	}
	if t.run.prediction.Normalised() {
		n += 3 * int64(t.run.terms) * V
	}
	return 4 * max(1, n)
}

func (t *tree) chunks() []chunk { return t.cut }

func (t *tree) rows() int { return t.most }

// branches are the nodes of a chunk.
type branches struct {
	row, from []int   // of each: a row that goes this way, and how many tokens stand before it
	path      [][]int // and the nodes that its text consists of, itself the last of them
	leaf      []int   // of each row of the chunk, the last one
}

// branches returns the nodes of a chunk.
func (t *tree) branches(c chunk) (b branches) {
	var path []int // of the row at hand
	for k := c.first; k < c.end; k++ {
		all, common := t.pieces(k)
		if k == c.first {
			common = 0
		}
		for path = path[:common]; len(path) < all; {
			b.row, b.from = append(b.row, t.order[k]), append(b.from, len(path)*t.piece)
			path = append(path, len(b.path))
			b.path = append(b.path, slices.Clone(path))
		}
		b.leaf = append(b.leaf, path[all-1])
	}
	return b
}

// fill puts the nodes of a chunk, how they go on from each other, and where each row ends.
func (t *tree) fill(in *inputs, c chunk) error {
	P, b := t.piece, t.branches(c)
	ids, which := make([]int32, t.nodes*P), make([]int32, t.nodes*P)
	path, begin := make([]int32, t.nodes*t.path), make([]int32, t.nodes)
	for n, row := range b.row {
		begin[n] = int32(b.from[n])
		for i, node := range b.path[n] {
			path[n*t.path+i] = int32(node)
		}
		for at := b.from[n]; at < min(b.from[n]+P, len(t.symbols[row])); at++ {
			i := n*P + at - b.from[n]
			ids[i], which[i] = t.read(row, at)
		}
	}
	leaf, offset := make([]int32, t.most*t.few), make([]int32, t.most*t.few)
	for i, end := range b.leaf {
		for k, at := range t.asked[t.order[c.first+i]] {
			leaf[i*t.few+k], offset[i*t.few+k] = int32(b.path[end][at/P]), int32(at%P)
		}
	}
	m, to := t.run.model, in.all()
	if err := put(m, to, net.IDs, ids, t.nodes, P); err != nil {
		return err
	}
	if err := put(m, to, net.Which, which, t.nodes, P); err != nil {
		return err
	}
	if err := put(m, to, net.Path, path, t.nodes, t.path); err != nil {
		return err
	}
	if err := put(m, to, net.Begin, begin, t.nodes); err != nil {
		return err
	}
	if err := put(m, to, net.Leaf, leaf, t.most, t.few); err != nil {
		return err
	}
	return put(m, to, net.Offset, offset, t.most, t.few)
}

// executor runs chunks as one program, or as a chain of them.
func (t *tree) executor() executor {
	m, p := t.run.model, t.run.prediction
	p.Last = t.run.query.aboutLastTokens()
	if !t.run.chained {
		return t.run.one(net.Tree{Prediction: p})
	}
	L := m.config.Layers
	c := &chain{run: t.run, end: m.ending(net.Opening{}, p, false)}
	all := links{embed: m.stage(net.Embed{Tree: true})}
	for l := range L {
		layer := net.Layer{Kind: m.config.Pattern[l], Memory: net.InTree, Last: l == L-1}
		all.layers = append(all.layers, m.stage(layer))
	}
	return func(in *inputs) (time.Duration, error) {
		c.compile = 0
		stream := named{}
		defer func() { stream.free() }()
		call := c.caller(in)
		if err := all.step(call, stream, nil, make([]named, L)); err != nil {
			return c.compile, err
		}
		_, err := c.end.run(m, call, stream)
		return c.compile, err
	}
}
