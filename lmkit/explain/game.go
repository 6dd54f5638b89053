package explain

import (
	"context"

	"lmkit.internal/lmkit/lm"
)

// Coalition says which features are present, one entry a feature.
type Coalition []bool

// Game is a number that depends on which features are present. Black-box methods and metrics know nothing else.
type Game interface {
	// Features is how many there are.
	Features() int
	// Values returns the number for each coalition.
	Values(ctx context.Context, of []Coalition) ([]float64, error)
}

// Replacement takes some features out of the input.
type Replacement struct {
	Features []int // the absent ones
	Baseline int   // what takes their place: an index into Problem.Baselines
}

// rows is the query's rows and edits for some replacements.
func (p *Problem) rows(sets []Replacement) lm.Query {
	var q lm.Query
	for i, s := range sets {
		q.Rows = append(q.Rows, p.IDs)
		at := p.Positions(s.Features)
		if at == nil { // an edit of nothing, so that all batches run the same program
			at = []int{}
		}
		q.Edits = append(q.Edits, lm.Edit{Tap: "embed", Rows: []int{i}, Positions: at, With: lm.FromValues(p.Baselines[s.Baseline].Vector)})
	}
	return q
}

// logits is the logits of the next token under each replacement.
func (p *Problem) logits(ctx context.Context, sets []Replacement) ([][]float32, error) {
	q := p.rows(sets)
	q.Logits = lm.LastLogits
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(a.Logits))
	for i, l := range a.Logits {
		out[i] = l.Data
	}
	return out, nil
}

// Values is the objective under each replacement.
func (p *Problem) Values(ctx context.Context, sets []Replacement) ([]float64, error) {
	q := p.rows(sets)
	q.Of = []lm.Objective{p.LM()}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.Values, nil
}

// Game is the problem as a game: absent features are replaced by the baseline (the mean of the values, if there are
// several).
func (p *Problem) Game() Game { return game{p, p.Values} }

// GameOf is the problem as a game about any number that the logits of the next token give, in place of its objective.
func (p *Problem) GameOf(number func(logits []float32) float64) Game {
	return game{p, func(ctx context.Context, sets []Replacement) ([]float64, error) {
		logits, err := p.logits(ctx, sets)
		if err != nil {
			return nil, err
		}
		out := make([]float64, len(logits))
		for i, l := range logits {
			out[i] = number(l)
		}
		return out, nil
	}}
}

type game struct {
	*Problem
	under func(context.Context, []Replacement) ([]float64, error)
}

func (g game) Features() int { return len(g.Problem.Features) }

func (g game) Values(ctx context.Context, of []Coalition) ([]float64, error) {
	var sets []Replacement
	at := map[string]int{} // the first place of a coalition in sets: equal ones are computed once
	place := make([]int, len(of))
	for i, c := range of {
		key := string(appendBits(nil, c))
		k, ok := at[key]
		if !ok {
			k = len(sets)
			at[key] = k
			for b := range g.Baselines {
				sets = append(sets, Replacement{Features: absent(c), Baseline: b})
			}
		}
		place[i] = k
	}
	vs, err := g.under(ctx, sets)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(of))
	for i, k := range place {
		for b := range g.Baselines {
			out[i] += vs[k+b] / float64(len(g.Baselines))
		}
	}
	return out, nil
}

func appendBits(b []byte, c Coalition) []byte {
	for i, in := range c {
		if i%8 == 0 {
			b = append(b, 0)
		}
		if in {
			b[len(b)-1] |= 1 << (i % 8)
		}
	}
	return b
}

func absent(c Coalition) []int {
	var out []int
	for i, in := range c {
		if !in {
			out = append(out, i)
		}
	}
	return out
}
