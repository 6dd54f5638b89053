package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// meeting is a position of the clean version and one of the corrupted version, between which patches go.
type meeting struct {
	*pair
	noising bool
	at      [2]int // the positions
}

// from and into are the positions that a patch comes from and goes to.
func (x meeting) from() int { return x.at[map[bool]int{false: 0, true: 1}[x.noising]] }
func (x meeting) into() int { return x.at[map[bool]int{false: 1, true: 0}[x.noising]] }

// between patches from a position of the one version into one of the other, in each layer.
func (s *sweep) between(ctx context.Context) error {
	if s.With != WithPrompt {
		return fmt.Errorf("positions are one of each prompt: with %s there is no second prompt", s.With)
	}
	ids, err := readOther(s.p, s.Corrupted, s.IDs)
	if err != nil {
		return err
	}
	if err := s.checkPositions(len(ids)); err != nil {
		return err
	}
	pairs, err := compare(ctx, s.p, version{ids: ids})
	if err != nil {
		return err
	}
	x := meeting{pairs[0], s.Noising, [2]int(s.Positions)}
	kinds := []string{s.At}
	if s.At == "" {
		kinds = kindsOf(s.p.Model)
	}
	var grids []*grid
	rows := 0
	for _, at := range kinds {
		g, err := s.at(at, x.into())
		if err != nil {
			return err
		}
		grids, rows = append(grids, g), rows+2+len(g.rows)*len(g.columns)
	}
	s.p.Expect(rows)
	s.grid = &grid{axes: grids[0].axes, rows: grids[0].rows, shared: grids[0].shared}
	effects := make([][]float64, len(s.grid.rows))
	for _, g := range grids {
		found, err := s.move(ctx, x, g)
		if err != nil {
			return err
		}
		s.grid.columns = append(s.grid.columns, g.columns...)
		for i, row := range found {
			effects[i] = append(effects[i], row...)
		}
	}
	s.of, s.corrupt = [][]float64{slices.Concat(effects...)}, &x.base
	s.notes = []string{x.told, fmt.Sprintf("the patches are between %q, at %d of the clean prompt, and %q, at %d of the "+
		"corrupted one", s.p.Tokens[x.at[0]].Text, x.at[0], s.p.Model.TokenText(ids[x.at[1]]), x.at[1])}
	s.nothing(x, effects)
	return s.ends(ctx, x)
}

// checkPositions finds what does not go with two positions, and what is none. n is how long the corrupted prompt is.
func (s *sweep) checkPositions(n int) error {
	switch {
	case s.Estimate:
		return errors.New("between two positions every cell is run: leave out estimate")
	case s.By == ByPosition:
		return errors.New("between two positions the cells of a layer are its activations or its heads: leave out by")
	case len(s.Positions) != 2:
		return fmt.Errorf("%d positions were given: one of the clean prompt and one of the corrupted one are needed",
			len(s.Positions))
	}
	for i, of := range []struct {
		name   string
		tokens int
	}{{"clean", len(s.p.IDs)}, {"corrupted", n}} {
		if at := s.Positions[i]; at < 0 || at >= of.tokens {
			return fmt.Errorf("the %s prompt has no position %d: it has %d tokens, counted from 0", of.name, at, of.tokens)
		}
	}
	return nil
}

// kindsOf are the activations between two positions that are looked at where none is named.
func kindsOf(m *lm.Model) []string {
	if m.Config().Recurrent() {
		return []string{"hidden", "cell"}
	}
	return []string{"resid.pre", "attn.out", "mlp.out"}
}

// at returns the places of one position in each layer: of an activation with heads one a head.
func (s *sweep) at(kind string, position int) (*grid, error) {
	g := &grid{}
	if err := g.find(s.p.Model, kind, s.Layers); err != nil {
		return nil, err
	}
	if axes := g.taps[0].Axes; strings.Contains(axes, "S") || axes[1] != 'T' {
		return nil, fmt.Errorf("%s is not of one token: choose another activation to patch between two positions", kind)
	}
	if heads := g.taps[0].Heads(); heads > 0 {
		g.byHead()
		g.shared = g.taps[0].Readers > 1
		for _, row := range g.cells {
			for h := range row {
				row[h].positions = []int{position}
			}
		}
		return g, nil
	}
	g.axes, g.columns = [2]string{"layer", "activation"}, []string{kind}
	for k, tap := range g.taps {
		g.rows = append(g.rows, strconv.Itoa(g.layers[k]))
		g.cells = append(g.cells, []place{{tap: tap.Name, layer: g.layers[k], positions: []int{position}}})
	}
	return g, nil
}

// move runs a row for each place, with what stands at the other position in it. It returns the effects.
func (s *sweep) move(ctx context.Context, x meeting, g *grid) (effects [][]float64, err error) {
	q, values := newPatches(x.pair, x.noising), map[lm.Tap]lm.Array{}
	if x.from() != x.into() {
		var taps []lm.Tap
		for _, tap := range g.taps {
			taps = append(taps, tap.Name)
		}
		a, err := s.p.Run(ctx, lm.Query{Rows: q.q.Rows[q.from() : q.from()+1], Taps: taps})
		if err != nil {
			return nil, err
		}
		for _, tap := range taps {
			values[tap] = a.At[tap].Index(0, x.from())
		}
	}
	for _, row := range g.cells {
		for _, at := range row {
			x.put(q, at, values)
		}
	}
	a, err := s.p.Run(ctx, q.q)
	if err != nil {
		return nil, err
	}
	next := 2
	for _, row := range g.cells {
		var of []float64
		for range row {
			of = append(of, q.effect(a, next))
			next++
		}
		effects = append(effects, of)
	}
	return effects, nil
}

// put appends a row with a place that has what stands at the other position: the same place of the other row, or the
// values that were recorded there.
func (x meeting) put(q *patches, at place, values map[lm.Tap]lm.Array) int {
	if x.from() == x.into() {
		return q.add(q.from(), at)
	}
	i := q.add(q.from())
	q.q.Edits = append(q.q.Edits, at.edit(i, lm.FromValues(values[at.tap])))
	return i
}

// nothing compares effects with 0 where the two positions cannot differ.
func (s *sweep) nothing(x meeting, effects [][]float64) {
	at := x.at[0]
	if at != x.at[1] {
		return
	}
	must := func(name string, effects ...float64) {
		largest := 0.0
		for _, v := range effects {
			largest = max(largest, math.Abs(v))
		}
		s.identities = append(s.identities, explain.NewIdentity(name, 0, largest, rounding))
	}
	switch {
	case at < x.first:
		must(fmt.Sprintf("the largest effect of a position before the versions differ, at %d", x.first),
			slices.Concat(effects...)...)
	case s.p.IDs[at] == x.corrupted.ids[at] && s.grid.columns[0] == "resid.pre" && s.grid.rows[0] == "0":
		must("the same token at the same position, before the first layer", effects[0][0])
	}
}

// ends adds what must be so of any two versions: a patch of what the output is computed from does everything.
func (s *sweep) ends(ctx context.Context, x meeting) error {
	x.at = [2]int{len(s.p.IDs) - 1, len(x.corrupted.ids) - 1}
	g := &grid{taps: []lm.TapInfo{{Name: "head.in"}}, cells: [][]place{{{tap: "head.in", positions: []int{x.into()}}}}}
	found, err := s.move(ctx, x, g)
	if err != nil {
		return err
	}
	s.identities = append(s.identities, explain.NewIdentity("a patch of what the output is computed from, at the last "+
		"token", 1, found[0][0], rounding))
	return nil
}
