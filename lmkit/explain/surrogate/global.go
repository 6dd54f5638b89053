package surrogate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"

	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// GlobalTree fits one decision tree to what a model says of many inputs (Craven and Shavlik, Extracting tree-structured
// representations of trained networks, 1996). Its tests ask which tokens an input contains, and which one it ends in;
// how well it imitates the model is measured on inputs that it was not fitted to.
type GlobalTree struct {
	Depth    int     // tests on the way to a leaf; 0: 4
	MinRows  int     // inputs in a leaf, at least; 0: 5
	MinCount int     // inputs that must pass a test, and fail it, for it to be asked; 0: MinRows
	MaxTests int     // the most tests to choose from, the most frequent ones; 0: 500
	HeldOut  float64 // the share of the inputs that is held out; 0: 0.25
	Seed     uint64  // of which these are
}

// Global is a tree over many inputs, and how faithful it is. The three measures are over the inputs held out.
type Global struct {
	Tree *Tree `json:"tree"`
	// how often the tree chooses what the model chooses; of one output: on which side of 0 it is
	Agreement float64 `json:"agreement"`
	// how often a constant would: the most common choice of the inputs it was fitted to
	Commonest float64 `json:"commonest"`
	// the share of the variance of the outputs that the tree explains; below 0: worse than their mean
	R2       float64  `json:"r2"`
	Fitted   int      `json:"fitted"`   // inputs
	HeldOut  int      `json:"held_out"` // inputs
	Warnings []string `json:"warnings,omitempty"`
}

// Explain asks a model which of some tokens comes after each input, and fits a tree to their probabilities, among each
// other. Held tokens of an input are read, and no test asks for them. Cost: one row forward an input.
func (g GlobalTree) Explain(
	ctx context.Context, m *lm.Model, inputs []token.Encoding, choices []token.ID,
) (*Global, error) {
	if len(choices) < 2 {
		return nil, errors.New("a global tree needs two tokens or more to choose from")
	}
	var names []string
	for _, id := range choices {
		if id < 0 || int(id) >= m.Config().Vocab {
			return nil, fmt.Errorf("token #%d is outside the vocabulary of %d", id, m.Config().Vocab)
		}
		names = append(names, m.TokenText(id))
	}
	for i, input := range inputs {
		if err := m.CheckRow(input.IDs); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	var values [][]float64
	var texts [][]string
	for some := range slices.Chunk(inputs, 256) { // all logits of these are in memory at once
		q := lm.Query{Logits: lm.LastLogits}
		for _, input := range some {
			q.Rows = append(q.Rows, input.IDs)
		}
		answer, err := m.Run(ctx, q)
		if err != nil {
			return nil, err
		}
		for i, input := range some {
			values = append(values, among(answer.Logits[i].Data, choices))
			var words []string
			for k, id := range input.IDs {
				if input.Held == nil || !input.Held[k] {
					words = append(words, m.TokenText(id))
				}
			}
			texts = append(texts, words)
		}
	}
	return g.Fit(texts, values, names)
}

// among returns the probabilities of some tokens, given that the next token is one of them: the softmax over their
// logits.
func among(logits []float32, choices []token.ID) []float64 {
	top := math.Inf(-1)
	for _, id := range choices {
		top = max(top, float64(logits[id]))
	}
	out, sum := make([]float64, len(choices)), 0.0
	for i, id := range choices {
		out[i] = math.Exp(float64(logits[id]) - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// Fit fits a tree to any function of texts: inputs as their tokens, and what the function says of each, a number for
// each output.
func (g GlobalTree) Fit(inputs [][]string, values [][]float64, outputs []string) (*Global, error) {
	g = g.defaults()
	if err := g.check(inputs, values, outputs); err != nil {
		return nil, err
	}
	order := rand.New(rand.NewPCG(g.Seed, 0)).Perm(len(inputs))
	held := min(max(1, int(math.Round(g.HeldOut*float64(len(inputs))))), len(inputs)-1)
	fitted := slices.Sorted(slices.Values(order[held:]))
	tests := g.tests(inputs, fitted)
	rows := func(of []int) (X, Y [][]float64) {
		for _, i := range of {
			x := make([]float64, len(tests))
			for k, t := range tests {
				if t.holds(inputs[i]) {
					x[k] = 1
				}
			}
			X, Y = append(X, x), append(Y, values[i])
		}
		return X, Y
	}
	X, Y := rows(fitted)
	root, err := numerics.Grow(X, Y, ones(len(X)), numerics.Growth{Depth: g.Depth, MinRows: g.MinRows})
	if err != nil {
		return nil, fmt.Errorf("global tree: %w", err)
	}
	var names []string
	for _, t := range tests {
		names = append(names, t.String())
	}
	out := &Global{Tree: &Tree{Outputs: outputs, Root: named(root, names, root.Weight)}, Fitted: len(fitted),
		HeldOut: held}
	common := commonest(Y)
	X, Y = rows(slices.Sorted(slices.Values(order[:held])))
	agree, usual := 0, 0
	for i, y := range Y {
		if decision(y) == decision(root.Leaf(X[i]).Mean) {
			agree++
		}
		if decision(y) == common {
			usual++
		}
	}
	out.Agreement, out.Commonest = float64(agree)/float64(held), float64(usual)/float64(held)
	out.R2 = r2(root, X, Y, ones(len(X)))
	if out.Agreement <= out.Commonest && out.Commonest < 1 {
		out.Warnings = append(out.Warnings, fmt.Sprintf("on inputs that it was not fitted to, the tree agrees with "+
			"the model in %.0f %%, and a constant in %.0f %%: it has found no rule; give more inputs, or a greater "+
			"depth", 100*out.Agreement, 100*out.Commonest))
	}
	return out, nil
}

func (g GlobalTree) defaults() GlobalTree {
	for _, d := range []struct {
		is *int
		or int
	}{{&g.Depth, 4}, {&g.MinRows, 5}, {&g.MaxTests, 500}} {
		if *d.is == 0 {
			*d.is = d.or
		}
	}
	if g.MinCount == 0 {
		g.MinCount = g.MinRows
	}
	if g.HeldOut == 0 {
		g.HeldOut = 0.25
	}
	return g
}

func (g GlobalTree) check(inputs [][]string, values [][]float64, outputs []string) error {
	if g.Depth < 1 || g.Depth > 20 || g.MinRows < 1 || g.MinCount < 1 || g.MaxTests < 1 ||
		!(g.HeldOut > 0 && g.HeldOut < 1) {
		return fmt.Errorf("a global tree of depth %d, of %d inputs a leaf and %d a test, with %d tests and a share of %g "+
			"held out cannot be: the depth is 1 to 20, the numbers are above 0, the share is between 0 and 1",
			g.Depth, g.MinRows, g.MinCount, g.MaxTests, g.HeldOut)
	}
	if len(inputs) < 2 || len(inputs) != len(values) || len(outputs) == 0 {
		return fmt.Errorf("a global tree of %d inputs, values for %d of them, and %d outputs: there must be at least "+
			"two inputs, values for each, and an output", len(inputs), len(values), len(outputs))
	}
	for i, v := range values {
		if len(v) != len(outputs) {
			return fmt.Errorf("input %d has %d values for %d outputs", i, len(v), len(outputs))
		}
		for _, x := range v {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("input %d has the value %v", i, x)
			}
		}
	}
	return nil
}

// commonest returns the decision that most rows have; of equals, the first.
func commonest(Y [][]float64) int {
	counts := make([]float64, max(2, len(Y[0])))
	for _, y := range Y {
		counts[decision(y)]++
	}
	return floats.MaxIdx(counts)
}

// decision returns the index of the largest of several outputs; of a single one 1 if it is positive, and else 0.
func decision(y []float64) int {
	if len(y) == 1 {
		if y[0] > 0 {
			return 1
		}
		return 0
	}
	return floats.MaxIdx(y)
}

// test asks whether an input contains a token.
type test struct {
	token string
	last  bool // asks whether the input ends in it
}

func (t test) holds(input []string) bool {
	if t.last {
		return len(input) > 0 && input[len(input)-1] == t.token
	}
	return slices.Contains(input, t.token)
}

func (t test) String() string {
	if t.last {
		return fmt.Sprintf("ends in %q", t.token)
	}
	return fmt.Sprintf("contains %q", t.token)
}

// tests returns the questions that tell some inputs from others, the most frequent first.
func (g GlobalTree) tests(inputs [][]string, fitted []int) []test {
	count := map[test]int{}
	for _, i := range fitted {
		seen := map[test]bool{}
		for k, word := range inputs[i] {
			seen[test{word, false}] = true
			if k == len(inputs[i])-1 {
				seen[test{word, true}] = true
			}
		}
		for t := range seen {
			count[t]++
		}
	}
	var out []test
	for t, n := range count {
		if n >= g.MinCount && len(fitted)-n >= g.MinCount {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b test) int {
		switch {
		case count[a] != count[b]:
			return count[b] - count[a]
		case a.token < b.token || a.token == b.token && !a.last && b.last:
			return -1
		}
		return 1
	})
	return out[:min(len(out), g.MaxTests)]
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}
