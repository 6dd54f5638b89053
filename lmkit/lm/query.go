package lm

import (
	"context"
	"errors"
	"fmt"
	"math"

	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// Query asks the model anything in one go: rows of tokens, replacements of activations, and what to return. The zero
// value of every field but Rows asks for nothing. Rows may have any lengths; they are padded and split into batches
// inside.
type Query struct {
	Rows   [][]token.ID
	States []State     // LSTM: the state that each row starts from; nil: zeros
	Edits  []Edit      // replacements
	Taps   []Tap       // activations to return
	Of     []Objective // what to compute, one for each row, or one for all of them
	Each   bool        // return the value of each term of the objectives, too
	Wrt    []Tap       // activations to differentiate the objective by; they are returned too
	Rules  Rules       // how gradients pass what is not linear
	Logits Scope       // which logits to return
	Final  bool        // LSTM: return the state after each row's last token
	Memory int64       // bytes of activations to hold at once, about; 0: an eighth of the machine's, at most 1 GiB
}

// Scope says which positions' logits to return.
type Scope int

const (
	NoLogits   Scope = iota
	LastLogits       // of each row's last token: what comes next
	AllLogits        // of every token
)

// Unit is what an objective adds up.
type Unit string

// The units.
const (
	Logit   Unit = net.Logit
	LogProb Unit = net.LogProb // nats
	Prob    Unit = net.Prob
)

// Objective is a number computed from the predictions of a row: the sum of weight * unit(ID as the token after
// position Pos). A contrast between two tokens has two terms with weights 1 and -1; a loss has weight -1.
type Objective struct {
	Unit  Unit
	Terms []Term
}

// Term is one summand of an objective. Pos counts from the row's end when it is negative: -1 is its last token.
type Term struct {
	Pos    int
	ID     token.ID
	Weight float64
}

// Edit replaces an activation: the model goes on with keep*x + (1-keep)*source, and gradients flow through the kept
// share. One formula is replacement (keep 0), ablation (zeros or a mean), patching (another row) and interpolation.
// Indices may be nil: all rows, positions, or heads. Edits of one tap must not overlap.
type Edit struct {
	Tap             Tap
	Rows, Positions []int
	Heads           []int   // only where there is an axis of heads; of k and v, what TapInfo.HeadName says shares one
	Keep            float64 // the share of its own value that stays
	With            Source
}

// Source is what an activation is replaced with. The zero Source is zeros.
type Source struct {
	values *Array
	row    int // 1 + the row to copy from
}

// Zero is a source of zeros.
func Zero() Source { return Source{} }

// FromValues is a source of given numbers, broadcast to the activation as numpy does: its last axes must match the
// activation's, or be 1 (the axis of rows has one entry a row of the query, that of tokens one for each token of the
// longest row).
func FromValues(a Array) Source { return Source{values: &a} }

// FromRow is the activation of another row of the same query, at the same position, before its own replacement there.
// No gradient flows back to that row.
func FromRow(i int) Source { return Source{row: i + 1} }

// State is an LSTM's memory between two tokens, [L, H] each.
type State struct {
	Hidden, Cell Array
}

// Answer is what a query returned. Arrays have the rows of the query along their first axis, and as many tokens as the
// longest row; entries past a shorter row's end mean nothing.
type Answer struct {
	Values []float64     // the objective of each row
	Each   [][]float64   // of each row, what its terms are before they are weighted and added
	Logits []Array       // [T, V] of each row ([1, V] for LastLogits)
	States []State       // the state after each row
	At     map[Tap]Array // activations, after their replacement
	Grad   map[Tap]Array // gradients of each row's objective by them
	// Constants is, under rules that conserve relevance, what bias terms, stabilisers and the constant part of softmax
	// took of each row's objective: what no token is to answer for.
	Constants []float64
	Cost      Cost
}

// Cost is what a query took. A row counts once forward, and once backward when gradients were asked for.
type Cost struct {
	ForwardRows, BackwardRows int
	Seconds, CompileSeconds   float64
}

// Add adds up costs.
func (c *Cost) Add(d Cost) {
	c.ForwardRows += d.ForwardRows
	c.BackwardRows += d.BackwardRows
	c.Seconds += d.Seconds
	c.CompileSeconds += d.CompileSeconds
}

// LogProbs returns the log-probabilities, in nats, of every possible next token after each token of each row: [T, V]
// of a row.
func (m *Model) LogProbs(ctx context.Context, rows [][]token.ID) ([]Array, error) {
	a, err := m.Run(ctx, Query{Rows: rows, Logits: AllLogits})
	if err != nil {
		return nil, err
	}
	for _, l := range a.Logits {
		for t := range l.Dims[0] {
			LogSoftmax(l.Index(t).Data)
		}
	}
	return a.Logits, nil
}

// LogSoftmax turns logits into log-probabilities, in place.
func LogSoftmax(x []float32) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, float64(v))
	}
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	lse := top + math.Log(sum)
	for i, v := range x {
		x[i] = float32(float64(v) - lse)
	}
}

// Trace returns activations, under replacements.
func (m *Model) Trace(ctx context.Context, rows [][]token.ID, taps []Tap, edits ...Edit) (map[Tap]Array, error) {
	a, err := m.Run(ctx, Query{Rows: rows, Taps: taps, Edits: edits})
	if err != nil {
		return nil, err
	}
	return a.At, nil
}

// Gradient returns objectives, activations, and the gradients of the former by the latter, from one program.
func (m *Model) Gradient(
	ctx context.Context, rows [][]token.ID, of []Objective, wrt []Tap, edits ...Edit,
) (*Answer, error) {
	return m.Run(ctx, Query{Rows: rows, Of: of, Wrt: wrt, Edits: edits})
}

var errNoState = errors.New("a transformer has no state to carry; only an LSTM has")

// validate reports the mistakes of a query before anything is compiled.
func (m *Model) validate(q Query) error {
	if len(q.Rows) == 0 {
		return errors.New("the query has no rows")
	}
	for i, r := range q.Rows {
		if err := m.CheckRow(r); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	if (q.States != nil || q.Final) && !m.config.Recurrent() {
		return errNoState
	}
	if q.States != nil && len(q.States) != len(q.Rows) {
		return fmt.Errorf("%d states were given for %d rows", len(q.States), len(q.Rows))
	}
	for i, s := range q.States {
		want := []int{m.config.Layers, m.config.Hidden}
		for _, a := range []Array{s.Hidden, s.Cell} {
			if len(a.Dims) != 2 || a.Dims[0] != want[0] || a.Dims[1] != want[1] || len(a.Data) != want[0]*want[1] {
				return fmt.Errorf("the state of row %d has shape %v, where the model has %v", i, a.Dims, want)
			}
		}
	}
	for _, t := range append(append([]Tap{}, q.Taps...), q.Wrt...) {
		if _, err := m.Tap(t); err != nil {
			return err
		}
	}
	if len(q.Wrt) > 0 && len(q.Of) == 0 {
		return errors.New("gradients need an objective")
	}
	if q.Each && len(q.Of) == 0 {
		return errors.New("values of terms need an objective")
	}
	if err := m.validateObjectives(q); err != nil {
		return err
	}
	if err := m.validateRules(q); err != nil {
		return err
	}
	for i, e := range q.Edits {
		if err := m.validateEdit(q, e); err != nil {
			return fmt.Errorf("edit %d, of %s: %w", i, e.Tap, err)
		}
	}
	return nil
}

// CheckRow says what is wrong with a row of tokens for this model, if anything.
func (m *Model) CheckRow(row []token.ID) error {
	if len(row) == 0 {
		return errors.New("there are no tokens")
	}
	if c := m.config.Context; c > 0 && len(row) > c {
		return fmt.Errorf("%d tokens are more than the %d that the model can read: "+
			"shorten the text, or train with a longer context",
			len(row), c)
	}
	for t, id := range row {
		if id < 0 || int(id) >= m.config.Vocab {
			return fmt.Errorf("token %d is #%d, outside the vocabulary of %d", t, id, m.config.Vocab)
		}
	}
	return nil
}

func (m *Model) validateObjectives(q Query) error {
	if n := len(q.Of); n > 1 && n != len(q.Rows) {
		return fmt.Errorf("%d objectives were given for %d rows; give one a row, or one for all", n, len(q.Rows))
	}
	for i, o := range q.Of {
		switch {
		case o.Unit != Logit && o.Unit != LogProb && o.Unit != Prob:
			return fmt.Errorf("there is no unit %q; there are %s, %s and %s", o.Unit, Logit, LogProb, Prob)
		case o.Unit != q.Of[0].Unit:
			return fmt.Errorf("objective %d is in %s, the first one in %s; one query has one unit", i, o.Unit, q.Of[0].Unit)
		}
	}
	for i, row := range q.Rows {
		for _, t := range q.objective(i).Terms {
			if p := t.at(row); p < 0 || p >= len(row) {
				return fmt.Errorf("the objective of row %d is at position %d, but the row has %d tokens", i, t.Pos, len(row))
			}
			if t.ID < 0 || int(t.ID) >= m.config.Vocab {
				return fmt.Errorf("the objective of row %d is about token #%d, outside the vocabulary of %d",
					i, t.ID, m.config.Vocab)
			}
		}
	}
	return nil
}

// objective is that of row i; it has no terms when there is none.
func (q Query) objective(i int) Objective {
	switch len(q.Of) {
	case 0:
		return Objective{}
	case 1:
		return q.Of[0]
	}
	return q.Of[i]
}

func (t Term) at(row []token.ID) int {
	if t.Pos < 0 {
		return len(row) + t.Pos
	}
	return t.Pos
}

func (m *Model) validateEdit(q Query, e Edit) error {
	info, err := m.Tap(e.Tap)
	if err != nil {
		return err
	}
	sizes := info.Shape(len(q.Rows), longest(q.Rows))
	for _, x := range []struct {
		axis byte
		what string
		at   []int
	}{{'B', "row", e.Rows}, {'T', "position", e.Positions}, {'H', "head", e.Heads}} {
		if x.at == nil {
			continue
		}
		n := 0
		for k, c := range []byte(info.Axes) {
			if c == x.axis || c == 'G' && x.axis == 'H' {
				n = sizes[k]
			}
		}
		if n == 0 {
			return fmt.Errorf("this activation has no axis of %ss", x.what)
		}
		for _, i := range x.at {
			if info.Readers > 1 && x.axis == 'H' && i >= n && i < n*info.Readers {
				own := i / info.Readers
				return fmt.Errorf("head %d has no keys and values of its own: number %d of %d is shared by heads %s; replace that",
					i, own, n, info.HeadName(own))
			}
			if i < 0 || i >= n {
				return fmt.Errorf("there is no %s %d; there are %d", x.what, i, n)
			}
		}
	}
	if e.With.row > len(q.Rows) || e.With.row < 0 {
		return fmt.Errorf("there is no row %d to copy from", e.With.row-1)
	}
	if v := e.With.values; v != nil {
		if n := product(v.Dims); n != len(v.Data) || n == 0 {
			return fmt.Errorf("the values have shape %v, but there are %d of them", v.Dims, len(v.Data))
		}
		dims, ok := alignDims(v.Dims, len(sizes))
		for k := range sizes {
			ok = ok && (dims[k] == 1 || dims[k] == sizes[k])
		}
		if !ok {
			return fmt.Errorf("values of shape %v do not fit the activation's shape %v", v.Dims, sizes)
		}
	}
	return nil
}

// alignDims puts 1s before dims, up to the rank.
func alignDims(dims []int, rank int) ([]int, bool) {
	if len(dims) > rank {
		return nil, false
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	copy(out[rank-len(dims):], dims)
	return out, true
}

func longest(rows [][]token.ID) int {
	n := 0
	for _, r := range rows {
		n = max(n, len(r))
	}
	return n
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
