package attention

import (
	"context"
	"math"
)

// MaxFlow is, for each token of the input, the largest flow that reaches it from a token of the last layer when an edge
// from token i of a layer to token j of the layer below carries at most layers[l][i][j]; normalised to add up to 1.
// Each token's flow is found by itself, as if it were alone.
func MaxFlow(ctx context.Context, layers [][][]float64, from int) ([]float64, error) {
	T, L := len(layers[0]), len(layers)
	flows := make([]float64, T)
	sum := 0.0
	for to := range flows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := newNetwork((L + 1) * T)
		for l, layer := range layers { // node l*T+i: token i between layers l-1 and l
			for i := to; i <= from; i++ {
				for j := to; j <= i; j++ {
					if layer[i][j] > 0 && (l > 0 || j == to) && (l < L-1 || i == from) {
						n.connect((l+1)*T+i, l*T+j, layer[i][j])
					}
				}
			}
		}
		flows[to] = n.maximum(L*T+from, to)
		sum += flows[to]
	}
	if sum > 0 {
		for j := range flows {
			flows[j] /= sum
		}
	}
	return flows, nil
}

// network is a directed graph whose edges carry a bounded flow. Edge e and its reverse e^1 are neighbours in edges.
type network struct {
	from  [][]int // the edges that leave each node
	edges []edge
	level []int // of each node, in steps from the source
	next  []int // of each node, the first edge that may still lead on
}

type edge struct {
	to   int
	left float64 // what it can still carry
}

func newNetwork(nodes int) *network { return &network{from: make([][]int, nodes)} }

func (n *network) connect(from, to int, capacity float64) {
	n.from[from] = append(n.from[from], len(n.edges))
	n.from[to] = append(n.from[to], len(n.edges)+1)
	n.edges = append(n.edges, edge{to, capacity}, edge{from, 0})
}

// negligible is what counts as full: far below what a float32 pattern can tell apart.
const negligible = 1e-12

// maximum returns the largest flow between two nodes, by Dinic's algorithm: as long as there are ways of unsaturated
// edges, fill all of the shortest ones.
func (n *network) maximum(source, sink int) float64 {
	flow := 0.0
	for n.levels(source, sink) {
		n.next = make([]int, len(n.from))
		for {
			f := n.push(source, sink, math.Inf(1))
			if f == 0 {
				break
			}
			flow += f
		}
	}
	return flow
}

// levels counts the steps from the source, and says whether the sink can be reached.
func (n *network) levels(source, sink int) bool {
	n.level = make([]int, len(n.from))
	for i := range n.level {
		n.level[i] = -1
	}
	n.level[source] = 0
	queue := []int{source}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for _, e := range n.from[v] {
			if x := n.edges[e]; x.left > negligible && n.level[x.to] < 0 {
				n.level[x.to] = n.level[v] + 1
				queue = append(queue, x.to)
			}
		}
	}
	return n.level[sink] >= 0
}

// push sends up to limit from v to the sink along one shortest way, and says how much.
func (n *network) push(v, sink int, limit float64) float64 {
	if v == sink {
		return limit
	}
	for ; n.next[v] < len(n.from[v]); n.next[v]++ {
		e := n.from[v][n.next[v]]
		x := n.edges[e]
		if x.left <= negligible || n.level[x.to] != n.level[v]+1 {
			continue
		}
		if f := n.push(x.to, sink, min(limit, x.left)); f > 0 {
			n.edges[e].left -= f
			n.edges[e^1].left += f
			return f
		}
	}
	return 0
}
