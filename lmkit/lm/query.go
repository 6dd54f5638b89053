package lm

import (
	"context"
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
	// Places are the positions of each row whose activations and gradients are returned, from its end where negative;
	// nil: all. The rest is left on the engine: it is not copied.
	Places [][]int
	Final  bool  // LSTM: return the state after each row's last token
	Memory int64 // bytes of activations to hold at once, about; 0: an eighth of the machine's, at most 1 GiB
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
// position Pos). A contrast between two tokens has two terms with weights 1 and -1; a loss has weight -1. To that it
// adds numbers that are linear in activations. The Unit is needed by Terms alone.
type Objective struct {
	Unit  Unit
	Terms []Term
	Reads []Read
}

// Read is a summand of an objective that is linear in an activation: the sum of the activation's numbers, each times a
// coefficient, at some positions. With a direction as coefficients it is what a probe or a lens reads there.
type Read struct {
	Tap       Tap
	Positions []int // from the row's end where negative; nil: all of the row's tokens
	// Coefficients are those of one position, broadcast to the activation: [D], or [H, K] of one with heads.
	Coefficients Array
}

// Term is one summand of an objective. Pos counts from the row's end when it is negative: -1 is its last token.
type Term struct {
	Pos    int
	ID     token.ID
	Weight float64
}

// Edit replaces an activation: the model goes on with keep*x + (1-keep)*source, and gradients flow through the kept
// share. One formula is replacement (keep 0), ablation (zeros or a mean), patching (another row) and interpolation.
// With Add the model goes on with x + times*source. Indices may be nil: all rows, positions, or heads. Edits of one tap
// must not overlap, but what is added to it is added to replacements, too.
type Edit struct {
	Tap             Tap
	Rows, Positions []int
	Heads           []int   // only where there is an axis of heads; of k and v, what TapInfo.HeadName says shares one
	Keep            float64 // the share of its own value that stays
	Add             bool    // all of its own value stays, and the source is added,
	Times           float64 // so many times
	With            Source
}

// Source is what an activation is replaced with. The zero Source is zeros.
type Source struct {
	values *Array
	row    int    // 1 + the row to copy from
	along  *Array // a direction
}

// Zero is a source of zeros.
func Zero() Source { return Source{} }

// FromValues is a source of given numbers, broadcast to the activation as numpy does: its last axes must match the
// activation's, or be 1 (the axis of rows has one entry a row of the query, that of tokens one for each token of the
// longest row).
func FromValues(a Array) Source { return Source{values: &a} }

// FromRow is the activation of another row of the same query, at the same position, before its own replacement there.
// No gradient flows back to that row. What a row copies of one activation comes from one other row.
func FromRow(i int) Source { return Source{row: i + 1} }

// Along is the activation's own part along a direction [D]: (x.v) v / (v.v). Added minus once, it takes the direction
// out of the activation. One query has one direction a tap.
func Along(direction Array) Source { return Source{along: &direction} }

// State is an LSTM's memory between two tokens, [L, H] each.
type State struct {
	Hidden, Cell Array
}

// Answer is what a query returned. Arrays have the rows of the query along their first axis, and as many tokens as the
// longest row, or where the query has Places as many as the row with the most of them; entries past a shorter row's
// end mean nothing.
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
	Copied                    int64 // bytes of activations and gradients that came back from the engine
}

// Add adds up costs.
func (c *Cost) Add(d Cost) {
	c.ForwardRows += d.ForwardRows
	c.BackwardRows += d.BackwardRows
	c.Seconds += d.Seconds
	c.CompileSeconds += d.CompileSeconds
	c.Copied += d.Copied
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

// mostPlaces is how many places the row with the most of them has.
func (q Query) mostPlaces() int {
	n := 0
	for _, of := range q.Places {
		n = max(n, len(of))
	}
	return n
}

func (t Term) at(row []token.ID) int {
	if t.Pos < 0 {
		return len(row) + t.Pos
	}
	return t.Pos
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
