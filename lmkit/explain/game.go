package explain

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/lm"
)

// Coalition says which features are present, one entry a feature.
type Coalition []bool

// All returns the coalition of all of n features.
func All(n int) Coalition { return make(Coalition, n).Complement() }

// Only returns the coalition of some of n features, and nothing else.
func Only(n int, features ...int) Coalition {
	c := make(Coalition, n)
	for _, f := range features {
		c[f] = true
	}
	return c
}

// Without returns a copy of the coalition without some features.
func (c Coalition) Without(features ...int) Coalition {
	out := append(Coalition{}, c...)
	for _, f := range features {
		out[f] = false
	}
	return out
}

// Complement returns the coalition of those that are absent here.
func (c Coalition) Complement() Coalition {
	out := make(Coalition, len(c))
	for i, in := range c {
		out[i] = !in
	}
	return out
}

// Absent returns the indices of the features that are absent, ascending.
func (c Coalition) Absent() []int {
	var out []int
	for i, in := range c {
		if !in {
			out = append(out, i)
		}
	}
	return out
}

// Key names a coalition among those of as many features: equal ones, and only these, have equal keys.
func (c Coalition) Key() string {
	b := make([]byte, (len(c)+7)/8)
	for i, in := range c {
		if in {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return string(b)
}

// Game is a number that depends on which features are present. Black-box methods and metrics know nothing else.
type Game interface {
	// Features is how many there are.
	Features() int
	// Values returns the number for each coalition.
	Values(ctx context.Context, of []Coalition) ([]float64, error)
}

// Memory is a game that asks another game for the value of each coalition once.
type Memory struct {
	game  Game
	known map[string]float64 // by key
	asked int
}

// Remember returns a game with a memory of its own. It returns an error where the game gives another number of values
// than it was asked for, or one that is not finite.
func Remember(g Game) *Memory { return &Memory{game: g, known: map[string]float64{}} }

// Features implements Game.
func (m *Memory) Features() int { return m.game.Features() }

// Knows says whether the value of a coalition is known already, and so costs nothing.
func (m *Memory) Knows(c Coalition) bool {
	_, ok := m.known[c.Key()]
	return ok
}

// Asked returns how many coalitions the game was asked for so far.
func (m *Memory) Asked() int { return m.asked }

// Values implements Game. All that is not known yet is asked for in one call, each coalition once.
func (m *Memory) Values(ctx context.Context, of []Coalition) ([]float64, error) {
	keys := make([]string, len(of))
	var fresh []Coalition
	var names []string
	pending := map[string]bool{}
	for i, c := range of {
		k := c.Key()
		keys[i] = k
		if _, ok := m.known[k]; !ok && !pending[k] {
			pending[k] = true
			fresh, names = append(fresh, c), append(names, k)
		}
	}
	if err := m.learn(ctx, fresh, names); err != nil {
		return nil, err
	}
	out := make([]float64, len(of))
	for i, k := range keys {
		out[i] = m.known[k]
	}
	return out, nil
}

// learn asks the game for coalitions that are not known yet, whose keys are names.
func (m *Memory) learn(ctx context.Context, fresh []Coalition, names []string) error {
	if len(fresh) == 0 {
		return nil
	}
	values, err := m.game.Values(ctx, fresh)
	if err != nil {
		return err
	}
	if len(values) != len(fresh) {
		return fmt.Errorf("the game gave %d values for %d coalitions", len(values), len(fresh))
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the game's value is %v where %d of %d features are absent: "+
				"the model's weights or the baseline are too large to compute with", v, len(fresh[i].Absent()), m.Features())
		}
		m.known[names[i]] = v
	}
	m.asked += len(fresh)
	return nil
}

// Replacement takes some features out of the input.
type Replacement struct {
	Features []int // the absent ones
	Held     bool  // whether the tokens that are held are absent, too
	Baseline int   // what takes their place: an index into Problem.Baselines
}

// rows returns the query's rows and edits for some replacements.
func (p *Problem) rows(sets []Replacement) lm.Query {
	q := lm.Query{Rows: p.Rows(len(sets))}
	for i, s := range sets {
		if len(p.Baselines) == 0 {
			continue // nothing can be absent
		}
		at := p.Positions(s.Features)
		if s.Held {
			at = append(at, p.heldAt...)
			slices.Sort(at)
		}
		if at == nil { // an edit of nothing, so that all batches run the same program
			at = []int{}
		}
		with := lm.FromValues(p.Baselines[s.Baseline].Vector)
		q.Edits = append(q.Edits, lm.Edit{Tap: "embed", Rows: []int{i}, Positions: at, With: with})
	}
	return q
}

// look returns the objective, and the logits of what comes after the input, under each replacement: from one query
// where the objective is about that alone, and else from one about the answer and one about the input.
func (p *Problem) look(ctx context.Context, sets []Replacement) (values []float64, logits [][]float32, err error) {
	q := p.rows(sets)
	if p.aboutNext() {
		q.Of = []lm.Objective{p.Objective}
	} else {
		if values, err = p.Values(ctx, sets); err != nil {
			return nil, nil, err
		}
		for i := range q.Rows {
			q.Rows[i] = p.IDs[:p.Input]
		}
	}
	q.Logits = lm.LastLogits
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range a.Logits {
		logits = append(logits, l.Data)
	}
	if q.Of != nil {
		values = a.Values
	}
	return values, logits, nil
}

// aboutNext reports whether the objective is about the token after the input alone.
func (p *Problem) aboutNext() bool { return p.Input == len(p.IDs) && p.rather == nil }

// fewRows is up to how many rows the logits are asked for though nobody reads them: the program that answers is then
// that of Prepare and of the evidence, and none is compiled to leave them out.
const fewRows = 8

// Values returns the objective under each replacement.
func (p *Problem) Values(ctx context.Context, sets []Replacement) ([]float64, error) {
	q := p.rows(sets)
	if len(sets) <= fewRows && p.aboutNext() {
		q.Logits = lm.LastLogits
	}
	a, err := p.Evaluate(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.Values, nil
}

// Game returns the problem as a game: absent features are replaced by the baseline (the mean of the values, if there
// are several). The values of all features, and of none, are known from the start.
func (p *Problem) Game() Game {
	g := Remember(game{p, p.Values})
	n := len(p.Features)
	g.known[Only(n).Key()], g.known[All(n).Key()] = p.Base(), p.Value
	return g
}

// GameOf returns the problem as a game about another objective of its rows.
func (p *Problem) GameOf(of lm.Objective) Game {
	return Remember(game{p, func(ctx context.Context, sets []Replacement) ([]float64,
		error) {
		q := p.rows(sets)
		q.Of = []lm.Objective{of}
		a, err := p.Run(ctx, q)
		if err != nil {
			return nil, err
		}
		return a.Values, nil
	}})
}

// GameOfLogits returns the problem as a game about a number that no objective is, but the logits of the next token
// give.
func (p *Problem) GameOfLogits(number func(logits []float32) float64) Game {
	return Remember(game{p, func(ctx context.Context, sets []Replacement) ([]float64, error) {
		_, logits, err := p.look(ctx, sets)
		if err != nil {
			return nil, err
		}
		out := make([]float64, len(logits))
		for i, l := range logits {
			out[i] = number(l)
		}
		return out, nil
	}})
}

// game asks for the number of a problem under replacements.
type game struct {
	*Problem
	under func(context.Context, []Replacement) ([]float64, error)
}

func (g game) Features() int { return len(g.Problem.Features) }

func (g game) Values(ctx context.Context, of []Coalition) ([]float64, error) {
	var sets []Replacement
	for _, c := range of {
		for b := range g.Baselines {
			sets = append(sets, Replacement{Features: c.Absent(), Baseline: b})
		}
	}
	values, err := g.under(ctx, sets)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(of))
	for i := range out {
		for b := range g.Baselines {
			out[i] += values[i*len(g.Baselines)+b] / float64(len(g.Baselines))
		}
	}
	return out, nil
}
