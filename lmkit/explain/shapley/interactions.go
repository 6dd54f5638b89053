package shapley

import (
	"context"
	"math/bits"
	"math/rand/v2"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Interactions measures how much more two features i and j do together than each alone. With v the game, it is the
// mean of v(S+i+j) - v(S+i) - v(S+j) + v(S) over the coalitions S of the others, weighted as in Shapley values: the
// Shapley interaction index (Grabisch and Roubens, 1999). Where the budget holds all coalitions, the mean is exact.
// Otherwise it is estimated from random orders of arrival. These are drawn in sets in which any two features stand
// side by side exactly once, so that each pair is measured equally often.
type Interactions struct {
	Budget int `json:"budget"` // coalitions to ask for at most; 0: 4096 up to 12 features, otherwise 2M + 2048 or M² + 2
}

// Pairs holds the interactions of a game of M features.
type Pairs struct {
	Values   [][]float64 // [M][M], symmetric; on the diagonal, the Shapley values
	Spread   [][]float64 // standard errors; nil: exact, or too little to tell
	Estimate             // the Shapley values, found on the way
}

// Name implements explain.Method.
func (Interactions) Name() string { return "interactions" }

// Score implements explain.Method: the scores are the Shapley values, found on the way. Cost: 2^M rows forward a
// baseline, or Budget.
func (x Interactions) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	pairs, err := x.Play(ctx, p.Game(), p.Question.Seed)
	if err != nil {
		return explain.Scores{}, err
	}
	return scores(p, pairs.Estimate, x), nil
}

// Matrix implements explain.MatrixMethod: values are [M][M], symmetric, with the Shapley values on the diagonal,
// which add up to value - base. Cost: as Score.
func (x Interactions) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	pairs, err := x.Play(ctx, p.Game(), p.Question.Seed)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	s := scores(p, pairs.Estimate, x)
	s.Promise.Each = explain.Diagonal
	var names []string
	for _, f := range p.Features {
		names = append(names, f.Text)
	}
	return explain.MatrixScores{Axes: [2]string{"feature", "feature"}, Rows: names, Columns: names, Values: pairs.Values,
		Spread: pairs.Spread, Promise: s.Promise, Settings: x, Warnings: s.Warnings}, nil
}

// Play finds the interactions of any game. The seed decides which orders are walked where not all coalitions are.
func (x Interactions) Play(ctx context.Context, g explain.Game, seed uint64) (*Pairs, error) {
	M := g.Features()
	least := M*M + 2
	if x.Budget == 0 {
		x.Budget = max(defaultBudget(M), least)
	}
	budget, err := checkBudget(x.Name(), x.Budget, M, least)
	if err != nil {
		return nil, err
	}
	m := explain.Remember(g)
	if enumerable(M, budget) {
		return enumeratePairs(ctx, m)
	}
	return samplePairs(ctx, m, budget, seed)
}

// enumeratePairs computes the interactions exactly, from the values of all 2^M coalitions.
func enumeratePairs(ctx context.Context, m *explain.Memory) (*Pairs, error) {
	est, err := enumerate(ctx, m)
	if err != nil {
		return nil, err
	}
	v, err := table(ctx, m)
	if err != nil {
		return nil, err
	}
	M := len(est.Scores)
	p := &Pairs{Estimate: est}
	p.Values, _ = matrix(make([]float64, M*M), M)
	for i := range M {
		p.Values[i][i] = est.Scores[i]
		for j := range i {
			a, b := 1<<i, 1<<j
			for set := range v {
				if set&(a|b) == 0 {
					p.Values[i][j] += weight(M-2, bits.OnesCount(uint(set))) * (v[set|a|b] - v[set|a] - v[set|b] + v[set])
				}
			}
			p.Values[j][i] = p.Values[i][j]
		}
	}
	return p, nil
}

// samplePairs estimates the interactions from as many sets of orders as the budget of distinct coalitions holds. The
// estimate is the mean over the sets, and the sets' scatter gives its standard error.
func samplePairs(ctx context.Context, m *explain.Memory, budget int, seed uint64) (*Pairs, error) {
	M := m.Features()
	var of []explain.Coalition
	var walks [][][]int // [set][order]
	distinct := map[string]bool{}
	for set := 0; set < budget; set++ {
		orders := neighbours(M, rand.New(rand.NewPCG(seed, uint64(set))))
		var steps []explain.Coalition
		for _, o := range orders {
			steps = append(steps, walk(o, M)...)
		}
		for _, c := range steps {
			distinct[c.Key()] = true
		}
		if len(distinct) > budget {
			break
		}
		walks, of = append(walks, orders), append(of, steps...)
	}
	values, err := m.Values(ctx, of)
	if err != nil {
		return nil, err
	}
	var sets [][]float64 // [set][M*M]
	for _, orders := range walks {
		sum := make([]float64, M*M)
		for _, o := range orders {
			credit(sum, o, values[:2*len(o)], M, len(orders))
			values = values[2*len(o):]
		}
		sets = append(sets, sum)
	}
	p := &Pairs{Estimate: Estimate{Asked: m.Asked()}}
	if p.Full, p.Empty, err = ends(ctx, m); err != nil {
		return nil, err
	}
	mean, spread := numerics.MeanAndError(sets)
	p.Values, p.Scores = matrix(mean, M)
	p.Spread, p.Estimate.Spread = matrix(spread, M)
	if spread == nil {
		p.Warnings = append(p.Warnings, "the budget allows for one set of orders only, which cannot tell how far it "+
			"is off: raise the budget")
	}
	return p, nil
}

// neighbours returns n/2 orders of n features in which any two features stand side by side exactly once. They are
// Walecki's zigzags over n points on a circle: r, r+1, r-1, r+2, ..., for r = 0 to n/2 - 1. Features get the points at
// random. n must be even: if M is odd, n is M + 1, and the feature with number M is a dummy, which does nothing.
func neighbours(M int, rng *rand.Rand) [][]int {
	n := M + M%2
	names := rng.Perm(n)
	orders := make([][]int, n/2)
	for r := range orders {
		at := r
		for step := 1; step <= n; step++ {
			orders[r] = append(orders[r], names[at])
			if step%2 == 1 {
				at = (at + step) % n
			} else {
				at = (at - step + n) % n
			}
		}
	}
	return orders
}

// walk returns the coalitions that are needed to measure each two neighbours of an order of n features: first the n+1
// coalitions that form as the features arrive, from none to all; then, for each k from 0 to n-2, the coalition in which
// order[k+1] has arrived after the first k features, and order[k] has not.
func walk(order []int, M int) []explain.Coalition {
	n := len(order)
	out := make([]explain.Coalition, 2*n)
	c := make(explain.Coalition, max(M, n))
	for k, f := range order {
		out[k] = append(explain.Coalition{}, c[:M]...)
		if k+1 < n {
			out[n+1+k] = append(explain.Coalition{}, c[:M]...)
			if next := order[k+1]; next < M {
				out[n+1+k][next] = true
			}
		}
		c[f] = true
	}
	out[n] = append(explain.Coalition{}, c[:M]...)
	return out
}

// credit adds to sum [M*M] what the values of a walk say. With S the first k features of the order, i the next one and
// j the one after it, the diagonal gets v(S+i) - v(S), as a mean over the orders of a set, and the places (i, j) and
// (j, i) get v(S+i+j) - v(S+i) - v(S+j) + v(S), which a set has once for each pair.
func credit(sum []float64, order []int, values []float64, M, orders int) {
	n := len(order)
	along, swapped := values[:n+1], values[n+1:]
	for k, f := range order {
		if f == M {
			continue
		}
		sum[f*M+f] += (along[k+1] - along[k]) / float64(orders)
		if k+1 < n && order[k+1] != M {
			d := along[k+2] - along[k+1] - swapped[k] + along[k]
			sum[f*M+order[k+1]] += d
			sum[order[k+1]*M+f] += d
		}
	}
}

// matrix returns a list of M*M numbers as M rows, and the diagonal. Both are nil for an empty list.
func matrix(of []float64, M int) (rows [][]float64, diagonal []float64) {
	for i := 0; i*M < len(of); i++ {
		rows = append(rows, of[i*M:(i+1)*M])
		diagonal = append(diagonal, of[i*M+i])
	}
	return rows, diagonal
}
