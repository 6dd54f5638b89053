package attention

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// causal draws a matrix of numbers from 0 to 1 whose entries above the diagonal are 0.
func causal(t *rapid.T, n int) [][]float64 {
	m := square(n)
	for i := range m {
		for j := range i + 1 {
			if rapid.IntRange(0, 3).Draw(t, "zero") > 0 {
				m[i][j] = rapid.Float64Range(0, 1).Draw(t, "entry")
			}
		}
	}
	return m
}

type fataler interface{ Fatalf(string, ...any) }

// isShare fails unless rows add up to 1, nothing is negative, and no row reads what comes after it.
func isShare(t fataler, m [][]float64) {
	for i, row := range m {
		sum := 0.0
		for j, v := range row {
			if v < 0 || v > 0 && j > i {
				t.Fatalf("row %d reads %v of token %d", i, v, j)
			}
			sum += v
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("row %d adds up to %v", i, sum)
		}
	}
}

func equal(t fataler, got, want [][]float64) {
	for i := range want {
		for j := range want[i] {
			if math.Abs(got[i][j]-want[i][j]) > 1e-9 {
				t.Fatalf("at %d, %d: %v, want %v", i, j, got[i][j], want[i][j])
			}
		}
	}
}

func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "tokens")
		var layers [][][]float64
		for range rapid.IntRange(1, 4).Draw(t, "layers") {
			m := causal(t, n)
			isShare(t, Normalise(m))
			isShare(t, Mixed(m))
			layers = append(layers, Mixed(m))
		}
		isShare(t, Product(layers))
		isShare(t, Mean(layers...))
		var flows [][]float64
		for i := range n {
			f, err := MaxFlow(context.Background(), layers, i)
			if err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
		}
		isShare(t, flows)
	})
}

func TestProduct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "tokens")
		a, b, c := causal(t, n), causal(t, n), causal(t, n)
		equal(t, Product([][][]float64{identity(n), a, identity(n)}), a)
		equal(t, Product([][][]float64{a, b, c}), Product([][][]float64{Product([][][]float64{a, b}), c}))
		equal(t, Accumulate([][][]float64{square(n)}), identity(n))
		plus := func(m [][]float64) [][]float64 {
			out := identity(n)
			for i := range m {
				for j, v := range m[i] {
					out[i][j] += v
				}
			}
			return out
		}
		equal(t, Accumulate([][][]float64{a, b}), Product([][][]float64{plus(a), plus(b)}))
	})
	// The last layer is multiplied from the left.
	last := Product([][][]float64{{{1, 0}, {0.25, 0.75}}, {{1, 0}, {0.5, 0.5}}})
	equal(t, last, [][]float64{{1, 0}, {0.5 + 0.125, 0.375}})
}

// A part that is all of the sum contributes its size, one that is nothing contributes nothing, and one that points the
// other way neither.
func TestContributions(t *testing.T) {
	got := Contributions([]float64{1, -2, 3}, [][]float64{{1, -2, 3}, {0, 0, 0}, {-1, 2, -3}, {1, 0, 0}, {2, 0, 0},
		{5, -2, 3}})
	equal(t, [][]float64{got}, [][]float64{{6, 0, 0, 1, 0, 2}})
}

// The flow network of the textbook (Cormen et al., Introduction to Algorithms, figure 26.1) carries 23.
func TestMaximumOfKnownNetworks(t *testing.T) {
	n := newNetwork(6)
	for _, e := range []struct {
		from, to int
		capacity float64
	}{{0, 1, 16}, {0, 2, 13}, {1, 3, 12}, {2, 1, 4}, {2, 4, 14}, {3, 2, 9}, {3, 5, 20}, {4, 3, 7}, {4, 5, 4}} {
		n.connect(e.from, e.to, e.capacity)
	}
	if got := n.maximum(0, 5); got != 23 {
		t.Errorf("the network carries %v, want 23", got)
	}
	apart := newNetwork(3)
	apart.connect(0, 1, 1)
	if got := apart.maximum(0, 2); got != 0 {
		t.Errorf("%v flows to where no way leads", got)
	}
}

// Any network carries as much as its narrowest cut lets through (Ford and Fulkerson), found here by trying all cuts.
// What flows into a node flows out of it, and no edge carries more than it can.
func TestMaximum(t *testing.T) {
	type link struct {
		from, to int
		capacity float64
	}
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(2, 8).Draw(t, "nodes")
		n := newNetwork(nodes)
		var links []link
		for i := range nodes {
			for j := range nodes {
				if i != j && rapid.Bool().Draw(t, "edge") {
					c := rapid.Float64Range(0, 1).Draw(t, "capacity")
					n.connect(i, j, c)
					links = append(links, link{i, j, c})
				}
			}
		}
		got := n.maximum(0, nodes-1)
		narrowest := math.Inf(1)
		for side := 1; side < 1<<(nodes-1); side += 2 { // node 0 is on this side, the last one is not
			cut := 0.0
			for _, l := range links {
				if side>>l.from&1 == 1 && side>>l.to&1 == 0 {
					cut += l.capacity
				}
			}
			narrowest = min(narrowest, cut)
		}
		if math.Abs(got-narrowest) > 1e-9 {
			t.Fatalf("the flow is %v, the narrowest cut %v", got, narrowest)
		}
		surplus := make([]float64, nodes)
		for k, l := range links {
			f := n.edges[2*k+1].left // the reverse edge can carry back what flows
			if f < 0 || f > l.capacity+1e-12 {
				t.Fatalf("an edge of %v carries %v", l.capacity, f)
			}
			surplus[l.from] -= f
			surplus[l.to] += f
		}
		for i := 1; i < nodes; i++ {
			want := 0.0
			if i == nodes-1 {
				want = got
			}
			if math.Abs(surplus[i]-want) > 1e-9 {
				t.Fatalf("node %d keeps %v, want %v", i, surplus[i], want)
			}
		}
	})
}

// One layer's flow is its row; straight layers let nothing through but straight.
func TestFlowOfSimpleLayers(t *testing.T) {
	m := Mixed([][]float64{{1, 0, 0}, {0.5, 0.5, 0}, {0.2, 0.3, 0.5}})
	for i := range m {
		f, err := MaxFlow(context.Background(), [][][]float64{m}, i)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, [][]float64{f}, [][]float64{m[i]})
		f, err = MaxFlow(context.Background(), [][][]float64{identity(3), identity(3)}, i)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, [][]float64{f}, [][]float64{identity(3)[i]})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := MaxFlow(ctx, [][][]float64{m}, 0); err == nil {
		t.Error("a cancelled flow went on")
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b []float32
		want float64
	}{{[]float32{1, 2}, []float32{2, 4}, 0}, {[]float32{1, 0}, []float32{0, 3}, 1}, {[]float32{1, 0}, []float32{-2, 0},
		2}, {[]float32{1, 0}, []float32{0, 0}, 0}} {
		if got := distance(tt.a, tt.b); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%v and %v are %v apart, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
