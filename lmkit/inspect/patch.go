package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// What a patch puts in place of an activation.
const (
	WithPrompt   = "prompt"   // that of another prompt, of as many tokens
	WithNoise    = "noise"    // that of the prompt with noise on the embeddings of some of its words
	WithZero     = "zero"     // zeros
	WithMean     = "mean"     // the mean over other texts, position by position
	WithResample = "resample" // that of other texts, one after the other: the mean effect, with its standard error
)

// Corruptions lists them.
var Corruptions = []string{WithPrompt, WithNoise, WithZero, WithMean, WithResample}

// Patch is activation patching (Vig et al., 2020; Meng et al., 2022): it runs a prompt with one activation replaced by
// that of another version of the prompt, for each place in turn, and tells how far the objective m moves from the one
// version's towards the other's. With c the clean and k the corrupted version, the effect is
//
//	denoising: (m(patched) - m(k)) / (m(c) - m(k)), of k with a clean activation: was it enough?
//	noising:   (m(c) - m(patched)) / (m(c) - m(k)), of c with a corrupted activation: was it needed?
//
// 0 is nothing, 1 is everything. The two are not symmetric: of parts that each suffice, noising finds none, and of
// parts that are all needed, denoising finds none. Zeros, means and resampled texts are no version of the prompt: they
// are put into the clean run, and the value is m(c) - m(patched), in the unit of the objective.
//
// Settings that are zero have a default; a corrupted prompt must be given unless With says otherwise.
type Patch struct {
	// the activation, without its layer; "": resid.pre, or hidden of an LSTM
	At        string     `json:"at,omitempty"`
	By        string     `json:"by,omitempty"`        // of activations with heads: ByHead (default) or ByPosition
	Layers    []int      `json:"layers,omitempty"`    // nil: all
	Noising   bool       `json:"noising,omitempty"`   // put the corrupted activation into the clean run
	With      string     `json:"with,omitempty"`      // WithPrompt (default), WithNoise, WithZero, WithMean, WithResample
	Corrupted string     `json:"corrupted,omitempty"` // WithPrompt: the prompt, or
	IDs       []token.ID `json:"ids,omitempty"`       // its tokens
	Subject   string     `json:"subject,omitempty"`   // WithNoise: the part of the prompt that the noise is on
	Samples   int        `json:"samples,omitempty"`   // WithNoise: how often noise is drawn; 0: 5
	Donors    []string   `json:"donors,omitempty"`    // WithMean, WithResample: texts of at least as many tokens
	Estimate  bool       `json:"estimate,omitempty"`  // estimate all cells from gradients, and run the largest few
	Verify    int        `json:"verify,omitempty"`    // with Estimate: how many of the largest cells to run; 0: 10
	// Positions are one of the clean prompt and one of the corrupted one, from 0: a patch goes between these alone, in
	// each layer, and a column is an activation: resid.pre, attn.out and mlp.out, or hidden and cell of an LSTM, or At,
	// of which with heads a column is a head. The prompts need not have as many tokens.
	Positions []int `json:"positions,omitempty"`
}

// Name implements explain.MatrixMethod.
func (Patch) Name() string { return "patch" }

// withDefaults fills in what is not said.
func (x Patch) withDefaults(m *lm.Model) Patch {
	if x.At == "" && x.Positions == nil {
		x.At = "resid.pre"
		if m.Config().Recurrent() {
			x.At = "hidden"
		}
	}
	x.With = cmp.Or(x.With, WithPrompt)
	if x.With == WithNoise {
		x.Samples = cmp.Or(x.Samples, 5)
	}
	if x.Estimate {
		x.Verify = cmp.Or(x.Verify, 10)
	}
	return x
}

// Matrix implements explain.MatrixMethod. Cost: one row forward for each cell at which the versions can differ, for
// each sample, and a few for the identities.
func (x Patch) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	if err := cmp.Or(askedFor("samples", x.Samples), askedFor("verify", x.Verify)); err != nil {
		return explain.MatrixScores{}, err
	}
	x = x.withDefaults(p.Model)
	s := &sweep{Patch: x, p: p}
	if x.Positions != nil {
		if err := s.between(ctx); err != nil {
			return explain.MatrixScores{}, err
		}
		return s.scores(), nil
	}
	var err error
	if s.grid, err = newGrid(p, x.At, x.By, x.Layers); err != nil {
		return explain.MatrixScores{}, err
	}
	switch x.With {
	case WithPrompt, WithNoise:
		err = s.pairs(ctx)
	case WithZero, WithMean, WithResample:
		err = s.ablations(ctx)
	default:
		err = fmt.Errorf("there is nothing called %q to patch with; there are %s", x.With, strings.Join(Corruptions, ", "))
	}
	if err != nil {
		return explain.MatrixScores{}, err
	}
	return s.scores(), nil
}

// sweep is one run of Patch.
type sweep struct {
	Patch
	p    *explain.Problem
	grid *grid

	of         [][]float64 // of each sample: what each cell has, row by row
	corrupt    *float64    // the objective on the corrupted version
	identities []explain.Identity
	notes      []string
	more       []explain.Measure // what else was measured of each cell
}

// pairs patches between the prompt and each corrupted version of it.
func (s *sweep) pairs(ctx context.Context) error {
	versions, err := s.versions()
	if err != nil {
		return err
	}
	pairs, err := compare(ctx, s.p, versions...)
	if err != nil {
		return err
	}
	for i, x := range pairs {
		run := s.effects
		if s.Estimate {
			run = s.estimated
		}
		effects, err := run(ctx, x, i == 0, len(pairs))
		if err != nil {
			return err
		}
		s.of = append(s.of, effects)
	}
	s.notes = append(s.notes, pairs[0].told)
	base := s.p.Value - pairs[0].difference
	s.corrupt = &base
	return nil
}

// versions returns what the prompt is compared with.
func (s *sweep) versions() ([]version, error) {
	if s.With == WithPrompt {
		ids, err := readCorrupted(s.p, s.Corrupted, s.IDs)
		return []version{{ids: ids}}, err
	}
	if s.Corrupted != "" || s.IDs != nil {
		return nil, errors.New("noise corrupts the prompt itself: give no corrupted one")
	}
	at, err := findSubject(s.p, s.Subject)
	if err != nil {
		return nil, err
	}
	var all []version
	for i := range s.Samples {
		v, err := noisy(s.p.Model, s.p.IDs, at, s.p.Question.Seed+uint64(i))
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// patches is the rows of one query: the clean and the corrupted version, and one of them with patches from the other.
type patches struct {
	*pair
	noising bool
	q       lm.Query
}

// newPatches begins a query with the two versions, as rows 0 and 1.
func newPatches(x *pair, noising bool) *patches {
	return &patches{pair: x, noising: noising, q: lm.Query{Rows: [][]token.ID{x.clean.ids, x.corrupted.ids},
		Edits: x.corrupted.in(1), Of: []lm.Objective{x.p.Objective}}}
}

// into and from are the rows that patches go into and come from.
func (x *patches) into() int { return map[bool]int{false: 1, true: 0}[x.noising] }
func (x *patches) from() int { return 1 - x.into() }

// add appends a row of the base version with some places replaced by those of another row, and returns its number.
func (x *patches) add(from int, places ...place) int {
	i, v := len(x.q.Rows), x.corrupted
	if x.noising {
		v = x.clean
	}
	x.q.Rows = append(x.q.Rows, v.ids)
	x.q.Edits = append(x.q.Edits, v.in(i)...)
	for _, at := range places {
		x.q.Edits = append(x.q.Edits, at.edit(i, lm.FromRow(from)))
	}
	return i
}

// effect returns how far a row's objective has moved from the base version's, as a share of the difference.
func (x *patches) effect(a *lm.Answer, row int) float64 {
	moved := (a.Values[row] - a.Values[x.into()]) / x.difference
	if x.noising {
		return -moved
	}
	return moved
}

// own returns the effect as a share of the difference between these two versions, whatever that of others is.
func (x *patches) own(a *lm.Answer, row int) float64 {
	return x.effect(a, row) * x.difference / (x.value - x.base)
}

// effects runs one row for each cell, beside the rows that show that the numbers are what they are said to be. first
// says that it is the first of several pairs: identities are those of this one.
func (s *sweep) effects(ctx context.Context, x *pair, first bool, pairs int) ([]float64, error) {
	q := newPatches(x, s.Noising)
	rows := map[[2]int]int{} // of each cell that the versions can differ at
	for i, row := range s.grid.cells {
		for j, at := range row {
			if !at.before(x.first) {
				rows[[2]int{i, j}] = q.add(q.from(), at)
			}
		}
	}
	var checks []check
	if first {
		checks = s.checks(q)
	}
	s.p.Expect(pairs * (2 + len(q.q.Rows)))
	if pairs == 1 && len(q.q.Rows)*s.p.Model.Config().Vocab <= mostLogits {
		q.q.Logits = lm.LastLogits
	}
	a, err := s.p.Run(ctx, q.q)
	if err != nil {
		return nil, err
	}
	for _, c := range checks {
		s.identities = append(s.identities, c(a))
	}
	var effects []float64
	var of []int // of each cell: its row
	for i, row := range s.grid.cells {
		for j := range row {
			r, ok := rows[[2]int{i, j}]
			if !ok { // before the first difference there is nothing to patch
				r = q.into()
			}
			effects, of = append(effects, q.effect(a, r)), append(of, r)
		}
	}
	if a.Logits != nil {
		s.beside(a, of)
	}
	if first {
		s.identities = append(s.identities, s.whole(x, effects)...)
	}
	return effects, nil
}

// mostLogits is how many logits a sweep keeps, about, to say what becomes of the target besides the objective.
const mostLogits = 32 << 20

// beside notes the target's log-probability and rank in each cell, whose rows of the answer are given.
func (s *sweep) beside(a *lm.Answer, rows []int) {
	var logprob, rank []float64
	for _, r := range rows {
		l, n := standing(a.Logits[r].Data, s.p.Target[0])
		logprob, rank = append(logprob, l), append(rank, float64(n))
	}
	s.more = append(s.more, explain.Measure{Name: "log-probability of the target", Unit: "nat", Values: s.square(logprob)},
		explain.Measure{Name: "rank of the target", Unit: "rank", Values: s.square(rank)})
}

// standing returns a token's log-probability, and how many tokens are at least as likely, itself among them.
func standing(logits []float32, id token.ID) (logprob float64, rank int) {
	for _, v := range logits {
		if v >= logits[id] {
			rank++
		}
	}
	x := slices.Clone(logits)
	lm.LogSoftmax(x)
	return float64(x[id]), rank
}

// check compares a number that was measured with what it must be.
type check func(a *lm.Answer) explain.Identity

// rounding is by how much two ways to compute the same effect may differ.
const rounding = 1e-3

// checks adds the rows of what must be so of any sweep: a patch of everything does everything, one of nothing nothing.
func (s *sweep) checks(q *patches) (all []check) {
	must := func(name string, want float64, row int) {
		all = append(all, func(a *lm.Answer) explain.Identity {
			return explain.NewIdentity(name, want, q.own(a, row), rounding)
		})
	}
	must("a patch of everything that the first layer reads", 1, q.add(q.from(), place{tap: entrance(s.p.Model)}))
	must("a patch of nothing", 0, q.add(q.into()))
	must("a patch of every cell from the same version", 0, q.add(q.into(), s.grid.everything(nil)...))
	if q.first > 0 && q.first < len(q.clean.ids) {
		must(fmt.Sprintf("a patch of every cell before the versions differ, at %d", q.first), 0,
			q.add(q.from(), s.grid.everything(upTo(q.first))...))
	}
	if k := len(s.grid.taps) - 1; s.grid.taps[k].Name == fmt.Sprintf("block.%d.attn.z", s.grid.layers[k]) {
		l := s.grid.layers[k]
		heads := q.add(q.from(), place{tap: s.grid.taps[k].Name})
		out := q.add(q.from(), place{tap: fmt.Sprintf("block.%d.attn.out", l)})
		all = append(all, func(a *lm.Answer) explain.Identity {
			return explain.NewIdentity(fmt.Sprintf("all heads of layer %d together are its attn.out", l),
				q.own(a, out), q.own(a, heads), rounding)
		})
	}
	return all
}

// whole returns the identities that cells of the matrix itself must meet.
func (s *sweep) whole(x *pair, effects []float64) (all []explain.Identity) {
	L, T := s.p.Model.Config().Layers, len(s.p.IDs)
	if k := len(s.grid.taps) - 1; s.grid.taps[k].Name == fmt.Sprintf("block.%d.resid.post", L-1) {
		all = append(all, explain.NewIdentity("the last layer's resid.post at the last token is everything", 1,
			effects[k*T+T-1]*x.difference/(x.value-x.base), rounding))
	}
	return all
}

// entrance is the activation that all of a model's layers stand on.
func entrance(m *lm.Model) lm.Tap {
	if m.Config().Recurrent() {
		return "lstm.0.pre"
	}
	return "block.0.resid.pre"
}

// upTo returns the numbers from 0 to n-1.
func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// scores returns the effects as a matrix, with what is to be read from them.
func (s *sweep) scores() explain.MatrixScores {
	out := explain.MatrixScores{Axes: s.grid.axes, Rows: s.grid.rows, Columns: s.grid.columns, Base: s.corrupt,
		Unit: s.unit(), About: s.about(), Settings: s.Patch, Identities: s.identities}
	values, spread := numerics.MeanAndError(s.of)
	out.Values = s.square(values)
	if len(s.of) > 1 {
		out.Spread = s.square(spread)
	}
	out.More, out.Notes = s.more, s.notes
	if !s.Estimate {
		out.Notes = append(out.Notes, s.largest(out.Values))
	}
	if s.grid.shared {
		out.Notes = append(out.Notes, "a head of keys and values is shared by the heads of queries that its number names: "+
			"a patch of it is a patch of what all of them read")
	}
	return out
}

// square lays the numbers of all cells out as rows and columns.
func (s *sweep) square(cells []float64) (out [][]float64) {
	n := len(s.grid.columns)
	for i := range s.grid.rows {
		out = append(out, cells[i*n:(i+1)*n])
	}
	return out
}

// about says what the values are.
func (s *sweep) about() string {
	switch {
	case s.Positions != nil && s.Noising:
		return fmt.Sprintf("share of the difference that position %d of the corrupted run destroys at %d of the clean one",
			s.Positions[1], s.Positions[0])
	case s.Positions != nil:
		return fmt.Sprintf("share of the difference that position %d of the clean run restores at %d of the corrupted one",
			s.Positions[0], s.Positions[1])
	case s.corrupt == nil:
		return fmt.Sprintf("what the objective loses when %s is replaced (%s)", s.At, s.With)
	case s.Noising:
		return fmt.Sprintf("share of the difference that the corrupted %s destroys in the clean run", s.At)
	}
	return fmt.Sprintf("share of the difference that the clean %s restores in the corrupted run", s.At)
}

func (s *sweep) unit() string {
	if s.corrupt == nil {
		return s.p.Unit
	}
	return "share of the difference"
}

// mostNamed is how many cells a note names.
const mostNamed = 6

// largest names the cells with the largest effects, in size.
func (s *sweep) largest(values [][]float64) string {
	type cell struct{ i, j int }
	var cells []cell
	for i, row := range values {
		for j, v := range row {
			if v != 0 {
				cells = append(cells, cell{i, j})
			}
		}
	}
	slices.SortStableFunc(cells, func(a, b cell) int {
		return cmp.Compare(math.Abs(values[b.i][b.j]), math.Abs(values[a.i][a.j]))
	})
	note := "largest:"
	for n, c := range cells[:min(len(cells), mostNamed)] {
		if n > 0 {
			note += ";"
		}
		note += fmt.Sprintf(" %s %+.3g", s.grid.name(c.i, c.j), values[c.i][c.j])
	}
	return note
}
