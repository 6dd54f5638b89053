package numerics

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Node is a node of a decision tree over rows of numbers (Breiman, Friedman, Olshen and Stone, Classification and
// regression trees, 1984).
type Node struct {
	Mean      []float64 // the weighted mean of the outputs of the rows that come here
	Weight    float64   // of these rows
	Rows      int
	Feature   int     // the number that decides; meaningless in a leaf
	Threshold float64 // at most this: Low; above: High
	Low, High *Node   // nil in a leaf
}

// Growth says when a tree stops to grow.
type Growth struct {
	Depth   int // tests on the way to a leaf, at most
	MinRows int // rows in a leaf, at least; 0: 1
}

// Grow fits a tree to weighted rows X with outputs Y. Each split is the one that takes most off the weighted squares
// around the means, summed over the outputs. With one output that is regression; with an output for each class that is
// 1 for the row's class and 0 for others, it is classification by the Gini index. Of equally good splits it takes the
// first feature, and the lowest threshold.
func Grow(X, Y [][]float64, w []float64, g Growth) (*Node, error) {
	if len(X) == 0 || len(X) != len(Y) || len(X) != len(w) {
		return nil, fmt.Errorf("a tree of %d rows, %d outputs and %d weights: there must be as many of each, and "+
			"at least one", len(X), len(Y), len(w))
	}
	rows := make([]int, 0, len(X))
	for i := range X {
		if len(X[i]) != len(X[0]) || len(Y[i]) != len(Y[0]) {
			return nil, fmt.Errorf("row %d is not as long as row 0", i)
		}
		if w[i] < 0 || math.IsNaN(w[i]) || slices.ContainsFunc(append(slices.Clone(X[i]), Y[i]...), math.IsNaN) {
			return nil, fmt.Errorf("row %d holds NaN, or weighs less than nothing", i)
		}
		if w[i] > 0 {
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("a tree of rows that weigh nothing")
	}
	g.MinRows = max(1, g.MinRows)
	s := &splitter{X: X, Y: Y, w: w, least: g.MinRows}
	root := s.node(rows)
	s.enough = 1e-10 * s.squares(rows, root.Mean)
	s.grow(root, rows, g.Depth)
	return root, nil
}

// Leaf is where a row ends.
func (n *Node) Leaf(x []float64) *Node {
	for n.Low != nil {
		if x[n.Feature] <= n.Threshold {
			n = n.Low
		} else {
			n = n.High
		}
	}
	return n
}

type splitter struct {
	X, Y   [][]float64
	w      []float64
	least  int
	enough float64 // a split must take more than this off the squares
}

func (s *splitter) node(rows []int) *Node {
	n := &Node{Mean: make([]float64, len(s.Y[rows[0]])), Rows: len(rows)}
	for _, r := range rows {
		n.Weight += s.w[r]
		for k, y := range s.Y[r] {
			n.Mean[k] += s.w[r] * y
		}
	}
	for k := range n.Mean {
		n.Mean[k] /= n.Weight
	}
	return n
}

func (s *splitter) squares(rows []int, mean []float64) float64 {
	sum := 0.0
	for _, r := range rows {
		for k, y := range s.Y[r] {
			sum += s.w[r] * (y - mean[k]) * (y - mean[k])
		}
	}
	return sum
}

func (s *splitter) grow(n *Node, rows []int, depth int) {
	if depth < 1 || len(rows) < 2*s.least {
		return
	}
	best := s.enough
	found := false
	for f := range s.X[rows[0]] {
		// A gain that is larger by rounding alone is none.
		if gain, at := s.split(rows, f, n); gain > best*(1+1e-9) {
			best, n.Feature, n.Threshold, found = gain, f, at, true
		}
	}
	if !found {
		return
	}
	var low, high []int
	for _, r := range rows {
		if s.X[r][n.Feature] <= n.Threshold {
			low = append(low, r)
		} else {
			high = append(high, r)
		}
	}
	n.Low, n.High = s.node(low), s.node(high)
	s.grow(n.Low, low, depth-1)
	s.grow(n.High, high, depth-1)
}

// split finds the best threshold of a feature, and what it takes off the squares.
func (s *splitter) split(rows []int, f int, n *Node) (gain, threshold float64) {
	order := slices.Clone(rows)
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case s.X[a][f] < s.X[b][f]:
			return -1
		case s.X[a][f] > s.X[b][f]:
			return 1
		}
		return 0
	})
	if s.X[order[0]][f] == s.X[order[len(order)-1]][f] {
		return 0, 0
	}
	sum, weight := make([]float64, len(n.Mean)), 0.0 // of the lower part, around the mean
	for i, r := range order[:len(order)-1] {
		weight += s.w[r]
		for k, y := range s.Y[r] {
			sum[k] += s.w[r] * (y - n.Mean[k])
		}
		low, high := s.X[r][f], s.X[order[i+1]][f]
		if low == high || i+1 < s.least || len(order)-i-1 < s.least {
			continue
		}
		g := 0.0
		for _, v := range sum {
			g += v * v
		}
		g *= 1/weight + 1/(n.Weight-weight)
		if g > gain*(1+1e-9) {
			gain, threshold = g, low+(high-low)/2
			if threshold >= high { // neighbours among the floats
				threshold = low
			}
		}
	}
	return gain, threshold
}
