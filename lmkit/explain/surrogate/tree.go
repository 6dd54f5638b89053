package surrogate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/floats"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Tree is a decision tree that imitates a model.
type Tree struct {
	Outputs []string `json:"outputs"` // what a node's values are, such as the objective, or the tokens to choose from
	Root    *Node    `json:"root"`
}

// Node is a node of a tree.
type Node struct {
	Test  string    `json:"test,omitempty"` // what decides, such as: contains "not"; empty in a leaf
	Value []float64 `json:"value"`          // the mean of each output over the inputs that come here
	Share float64   `json:"share"`          // of the inputs (or of their weight) that come here
	Rows  int       `json:"rows"`           // how many these are
	Yes   *Node     `json:"yes,omitempty"`  // where the test holds; nil in a leaf
	No    *Node     `json:"no,omitempty"`
}

// Rules returns the tree as text, two lines a test. The share of the inputs that end there is in brackets.
func (t *Tree) Rules() string {
	var b strings.Builder
	var write func(n *Node, lead, indent string)
	write = func(n *Node, lead, indent string) {
		if n.Yes == nil {
			fmt.Fprintf(&b, "%s%s%s  (%s %%)\n", indent, lead, t.say(n), strconv.FormatFloat(100*n.Share, 'f', 1, 64))
			return
		}
		if lead != "" {
			fmt.Fprintf(&b, "%s%s\n", indent, strings.TrimSpace(lead))
			indent += "  "
		}
		write(n.Yes, "if "+n.Test+": ", indent)
		write(n.No, "otherwise: ", indent)
	}
	write(t.Root, "", "")
	return b.String()
}

// say returns what a node predicts, in words: the one output, or the most likely of several.
func (t *Tree) say(n *Node) string {
	if len(n.Value) == 1 {
		return fmt.Sprintf("%s %.3g", t.Outputs[0], n.Value[0])
	}
	best := floats.MaxIdx(n.Value)
	return fmt.Sprintf("%q with %.2f", t.Outputs[best], n.Value[best])
}

// named returns a fitted tree with words: tests[f] says what it means that number f of a row is 1. total is the
// weight of all rows.
func named(n *numerics.Node, tests []string, total float64) *Node {
	out := &Node{Value: n.Mean, Share: n.Weight / total, Rows: n.Rows}
	if n.Low != nil {
		out.Test, out.Yes, out.No = tests[n.Feature], named(n.High, tests, total), named(n.Low, tests, total)
	}
	return out
}

// LocalTree fits a decision tree to the objective on versions of the input in which some features are absent: the
// versions and weights of LIME. It shows which features count only together. The scores are the Shapley values of the
// tree, so they add up to what the tree says of the whole input minus what it says of nothing.
type LocalTree struct {
	Samples int // versions of the input, with the input itself; 0: 5000
	Depth   int // tests on the way to a leaf; 0: 4
}

// LocalFit is a tree near one input.
type LocalFit struct {
	Scores     []float64
	R2         float64 // the share of the weighted variance that the tree explains, on versions that it was not fitted to
	Prediction float64 // of the tree, for the input
	Value      float64 // the objective on the input
	Asked      int     // distinct coalitions
	Enumerated bool    // these were all; R2 is over all of them
	root       *numerics.Node
}

// treeSettings is what LocalTree ran with and what it found, as a result reports it.
type treeSettings struct {
	Samples    int     `json:"samples"`
	Depth      int     `json:"depth"`
	Enumerated bool    `json:"enumerated"`
	R2         float64 `json:"r2"`
	Prediction float64 `json:"prediction"`
	Rules      string  `json:"rules"`
}

// Name implements explain.Method.
func (LocalTree) Name() string { return "surrogate-tree" }

// Score implements explain.Method. Cost: Samples rows forward a baseline, or 2^M where that is less.
func (t LocalTree) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	s, _, err := t.Grow(ctx, p)
	return s, err
}

// Grow does what Score does, and returns the tree, too.
func (t LocalTree) Grow(ctx context.Context, p *explain.Problem) (explain.Scores, *Tree, error) {
	fit, err := t.Play(ctx, p.Game(), p.Question.Seed)
	if err != nil {
		return explain.Scores{}, nil, err
	}
	tests := make([]string, len(p.Features))
	for i, f := range p.Features {
		tests[i] = fmt.Sprintf("%q is present", strings.TrimSpace(f.Text))
		for k, other := range p.Features { // the same text twice: say which
			if k != i && other.Text == f.Text {
				tests[i] = fmt.Sprintf("%q (%d) is present", strings.TrimSpace(f.Text), f.Tokens[0])
			}
		}
	}
	tree := fit.Tree(tests, p.Question.Objective)
	t = t.defaults()
	s := explain.Scores{
		Values:   fit.Scores,
		Settings: treeSettings{t.Samples, t.Depth, fit.Enumerated, fit.R2, fit.Prediction, tree.Rules()},
	}
	if fit.R2 < poorFit {
		s.Warnings = append(s.Warnings, doubt("decision tree", fit.R2))
	}
	return s, tree, nil
}

func (t LocalTree) defaults() LocalTree {
	if t.Samples == 0 {
		t.Samples = 5000
	}
	if t.Depth == 0 {
		t.Depth = 4
	}
	return t
}

// Play fits a tree to any game. Where not all coalitions are enumerated, a fifth of the sample is held out.
func (t LocalTree) Play(ctx context.Context, g explain.Game, seed uint64) (*LocalFit, error) {
	if t = t.defaults(); t.Samples < 10 || t.Depth < 1 || t.Depth > 20 {
		return nil, fmt.Errorf("surrogate-tree: %d samples, depth %d: there must be at least 10 samples, and 1 to 20 "+
			"tests on the way to a leaf", t.Samples, t.Depth)
	}
	M := g.Features()
	near := neighbourhood(M, t.Samples, seed)
	game := explain.Remember(g)
	y, err := game.Values(ctx, near.in)
	if err != nil {
		return nil, err
	}
	var X, Y [][]float64
	for i, c := range near.in {
		near.weight[i] *= kernel(c, 25)
		X, Y = append(X, zeroOne(c)), append(Y, []float64{y[i]})
	}
	fitted, held := len(X), 0 // rows [:fitted] are fitted to; rows [held:] measure the fit
	if !near.all {
		fitted = len(X) - len(X)/5
		held = fitted
	}
	root, err := numerics.Grow(X[:fitted], Y[:fitted], near.weight[:fitted], numerics.Growth{Depth: t.Depth})
	if err != nil {
		return nil, fmt.Errorf("surrogate-tree: %w", err)
	}
	fit := &LocalFit{Scores: shapley(root, M), Prediction: root.Leaf(X[0]).Mean[0], Value: y[0], Asked: game.Asked(),
		Enumerated: near.all, root: root}
	fit.R2 = r2(root, X[held:], Y[held:], near.weight[held:])
	return fit, nil
}

// Tree returns the tree in words: what each test is called, and the output.
func (f *LocalFit) Tree(tests []string, output string) *Tree {
	return &Tree{Outputs: []string{output}, Root: named(f.root, tests, f.root.Weight)}
}

// r2 returns the share of the weighted variance of the outputs that a tree explains; 1 where they are constant.
func r2(root *numerics.Node, X, Y [][]float64, w []float64) float64 {
	weight, mean := 0.0, make([]float64, len(Y[0]))
	for i, y := range Y {
		weight += w[i]
		for k, v := range y {
			mean[k] += w[i] * v
		}
	}
	rest, total, size := 0.0, 0.0, 0.0
	for i, y := range Y {
		at := root.Leaf(X[i]).Mean
		for k, v := range y {
			rest += w[i] * (v - at[k]) * (v - at[k])
			total += w[i] * (v - mean[k]/weight) * (v - mean[k]/weight)
			size += w[i] * v * v
		}
	}
	if total <= 1e-14*size {
		return 1
	}
	return 1 - rest/total
}

// shapley returns the Shapley values of a tree whose tests ask which of M features are present. The tree is a sum of
// games, one a leaf: the leaf's value where its way is taken, and 0 elsewhere. Shapley values of a sum are the sums of
// Shapley values, so each leaf is credited alone. Its way is taken when p given features are present and a given others
// are absent. Each of the former gets (p-1)! a! / (p+a)! of the leaf's value, each of the latter -p! (a-1)! / (p+a)!
// (Lundberg et al., From local explanations to global understanding with explainable AI for trees, 2020).
func shapley(root *numerics.Node, M int) []float64 {
	scores := make([]float64, M)
	var walk func(n *numerics.Node, present, absent []int)
	walk = func(n *numerics.Node, present, absent []int) {
		if n.Low != nil {
			walk(n.Low, present, append(slices.Clone(absent), n.Feature))
			walk(n.High, append(slices.Clone(present), n.Feature), absent)
			return
		}
		p, a := float64(len(present)), float64(len(absent))
		ways := math.Gamma(p+1) * math.Gamma(a+1) / math.Gamma(p+a+1)
		for _, f := range present {
			scores[f] += n.Mean[0] * ways / p
		}
		for _, f := range absent {
			scores[f] -= n.Mean[0] * ways / a
		}
	}
	walk(root, nil, nil)
	return scores
}
