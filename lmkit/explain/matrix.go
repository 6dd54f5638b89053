package explain

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/lm"
)

// MatrixMethod is a way to score pairs: a prediction and a token, two tokens, a layer and a token, a layer and a head.
type MatrixMethod interface {
	// Name is the method's stable name, as on the command line.
	Name() string
	// Matrix runs the method.
	Matrix(ctx context.Context, p *Problem) (MatrixScores, error)
}

// MatrixScores is what a method found out about pairs: a row and a column each.
type MatrixScores struct {
	Axes      [2]string // what rows and columns are: prediction, token, feature, layer, head ...
	Rows      []string  // a label each row
	Columns   []string  // a label each column
	Values    [][]float64
	Spread    [][]float64   // standard errors, as Values; nil: nothing was sampled
	RowValues []float64     // the number that each row explains, where every row has its own; nil: the problem's
	Unit      string        // "": that of the objective
	Promise   *Promise      // nil: the values need not add up to anything
	Base      *float64      // what the objective is without anything by the method's own account; nil: Problem.Base
	Settings  any           // a struct of what the method ran with, which becomes JSON
	Evidence  []RowEvidence // what was measured of each row; nil: nothing
	Warnings  []string

	// What a matrix of what happens inside a model has besides.
	About      string     // what the values say, where they do not say why a token was predicted
	Words      [][]string // a word in each cell, as Values; nil: there are none
	More       []Measure  // what else was measured of each cell
	Notes      []string   // what is to be read from the values, a sentence each
	Identities []Identity
}

// Measure is one more number of each cell of a matrix.
type Measure struct {
	Name   string      `json:"name"`
	Unit   string      `json:"unit"`
	Values [][]float64 `json:"values"`          // as those of the matrix
	Words  [][]string  `json:"words,omitempty"` // a word in each cell
}

// Identity is what must be so if a number from inside a model is what it is said to be, with what was measured: a
// patch of everything restores everything, the lens behind the last layer is the output. It is a fact about the
// computation, and not about the model: an identity that does not hold speaks of a fault, and not of a finding.
type Identity struct {
	Name      string  `json:"name"`      // what is compared, in words
	Want      float64 `json:"want"`      // what it must be
	Got       float64 `json:"got"`       // what it is
	Tolerance float64 `json:"tolerance"` // by how much the two may differ
	Holds     bool    `json:"holds"`
}

// NewIdentity compares what was got with what must be, up to a tolerance.
func NewIdentity(name string, want, got, tolerance float64) Identity {
	return Identity{Name: name, Want: want, Got: got, Tolerance: tolerance, Holds: math.Abs(got-want) <= tolerance}
}

// The parts of a matrix that a promise may be about, where it is not all values together.
const (
	EachRow  = "row"      // the values of each row add up to the total
	Diagonal = "diagonal" // the values on the diagonal add up to the total
)

// Matrix is the result of all methods that score pairs. Like an Attribution it carries its labels, its unit, and what
// was measured of its promise.
type Matrix struct {
	Schema     int            `json:"schema"`
	Method     MethodInfo     `json:"method"`
	Objective  string         `json:"objective"`
	Target     Token          `json:"target"`
	Foil       *Token         `json:"foil,omitempty"`
	Choice     *Token         `json:"choice,omitempty"` // this and the next three as of an Attribution
	Answer     []Token        `json:"answer,omitempty"`
	FoilAnswer []Token        `json:"foil_answer,omitempty"`
	Any        bool           `json:"any,omitempty"`
	Baseline   string         `json:"baseline"`
	Tokens     []InputToken   `json:"tokens"`               // the input, one entry a token
	About      string         `json:"about,omitempty"`      // what the values say; "": why the target was predicted
	Axes       []string       `json:"axes"`                 // what rows and columns are, in this order
	Rows       []string       `json:"rows"`                 // a label each row
	Columns    []string       `json:"columns"`              // a label each column
	Values     [][]float64    `json:"values"`               // [row][column], in Unit
	Words      [][]string     `json:"words,omitempty"`      // a word in each cell, as Values
	More       []Measure      `json:"more,omitempty"`       // what else was measured of each cell
	Notes      []string       `json:"notes,omitempty"`      // what is to be read from the values, a sentence each
	Spread     [][]float64    `json:"spread,omitempty"`     // standard errors, as Values
	RowValues  []float64      `json:"row_values,omitempty"` // the objective of each row, where every row has its own
	Unit       string         `json:"unit"`
	Value      float64        `json:"value"` // the objective on the input
	Base       float64        `json:"base"`  // the objective on the baseline
	Promise    *Promise       `json:"promise,omitempty"`
	Evidence   MatrixEvidence `json:"evidence"`
	Cost       Cost           `json:"cost"`
	Seed       uint64         `json:"seed"`
	ModelHash  string         `json:"model_hash"`
	InputHash  string         `json:"input_hash"`
	Warnings   []string       `json:"warnings,omitempty"`
}

// MatrixEvidence is what speaks for a matrix, measured on the model. A nil part was not measured, and means nothing.
type MatrixEvidence struct {
	// Completeness compares the sum of the values with the promise: of the row that is farthest off, where it is about
	// each.
	Completeness *Completeness `json:"completeness,omitempty"`
	Held         *Held         `json:"held,omitempty"`    // the tokens that stay, and are no features
	Float32      *float64      `json:"float32,omitempty"` // Value in float32; nil: that is what the model computes in
	// Rows is what speaks for each row of a matrix whose rows are explanations by themselves.
	Rows []RowEvidence `json:"rows,omitempty"`
	// Identities are what must be so if the values are what they are said to be. One that does not hold is a warning,
	// too.
	Identities []Identity `json:"identities,omitempty"`
}

// Broken returns the names of what the evidence refutes: identities that do not hold, and a promise that is not kept.
func (e MatrixEvidence) Broken() (names []string) {
	if c := e.Completeness; c != nil && !c.Holds {
		names = append(names, "the sum")
	}
	for _, i := range e.Identities {
		if !i.Holds {
			names = append(names, i.Name)
		}
	}
	return names
}

// grouping is a MatrixMethod that needs features of its own: it makes its question of any other.
type grouping interface {
	Group(m *lm.Model, q Question) (Question, error)
}

// ExplainMatrix answers a question by a method that scores pairs.
func ExplainMatrix(ctx context.Context, m *lm.Model, q Question, method MatrixMethod) (*Matrix, error) {
	if err := Suits(method, m, q); err != nil {
		return nil, err
	}
	if g, ok := method.(grouping); ok {
		var err error
		if q, err = g.Group(m, q); err != nil {
			return nil, err
		}
	}
	p, err := Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	return p.answer(ctx, method)
}

// Inside is ExplainMatrix for methods that look inside the model and compare with no baseline: nothing is absent, so
// that the problem has no Baselines and no Embeddings, and no token is held but those that nobody wrote.
func Inside(ctx context.Context, m *lm.Model, q Question, method MatrixMethod) (*Matrix, error) {
	if err := Suits(method, m, q); err != nil {
		return nil, err
	}
	if len(q.Target) > 1 || q.TwoTexts() || q.Any {
		return nil, fmt.Errorf("%s looks inside the prediction of one token: give a target, and a foil, of one",
			method.Name())
	}
	p, err := prepare(ctx, m, q, true)
	if err != nil {
		return nil, err
	}
	return p.answer(ctx, method)
}

// answer runs a method on the problem.
func (p *Problem) answer(ctx context.Context, method MatrixMethod) (*Matrix, error) {
	p.begin(method.Name())
	s, err := method.Matrix(ctx, p)
	if err != nil {
		return nil, err
	}
	return p.matrix(method.Name(), s)
}

// NewMatrix returns what was measured of a model that was asked about no one text: the result has neither objective nor
// target, and says of what it is about. estimated is how many rows the work was expected to take.
func NewMatrix(m *lm.Model, name string, s MatrixScores, cost lm.Cost, estimated int) (*Matrix, error) {
	out, err := newMatrix(m, name, s)
	if err != nil {
		return nil, err
	}
	out.spent(cost, estimated)
	return out, out.Validate()
}

// newMatrix returns a method's values with what they mean, and the identities that were measured.
func newMatrix(m *lm.Model, name string, s MatrixScores) (*Matrix, error) {
	for i, row := range slices.Concat(s.Values, s.Spread) {
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("%s: the score at %d, %d is %v: the model's weights or the baseline are too large "+
					"to compute with",
					name, i%len(s.Values), j, v)
			}
		}
	}
	out := &Matrix{
		Schema: Schema, Method: MethodInfo{Name: name}, About: s.About, Axes: s.Axes[:], Rows: s.Rows, Columns: s.Columns,
		Values: s.Values, Words: s.Words, More: s.More, Notes: s.Notes, Spread: s.Spread, RowValues: s.RowValues,
		Unit: s.Unit, Promise: s.Promise, ModelHash: m.Hash(), Warnings: s.Warnings,
		Evidence: MatrixEvidence{Rows: s.Evidence, Identities: s.Identities},
	}
	for _, i := range s.Identities {
		if !i.Holds {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%s: it must be %.4g, and is %.4g, where %.2g is allowed: "+
				"do not rely on these values", i.Name, i.Want, i.Got, i.Tolerance))
		}
	}
	var err error
	out.Method.Settings, err = settings(s.Settings)
	return out, err
}

// spent says what the matrix cost.
func (m *Matrix) spent(c lm.Cost, estimated int) {
	m.Cost = Cost{ForwardRows: c.ForwardRows, BackwardRows: c.BackwardRows, EstimatedRows: estimated,
		Seconds: c.Seconds, CompileSeconds: c.CompileSeconds}
}

// matrix returns a method's values with all that they mean, and with what was measured of their promise.
func (p *Problem) matrix(name string, s MatrixScores) (*Matrix, error) {
	out, err := newMatrix(p.Model, name, s)
	if err != nil {
		return nil, err
	}
	asked := p.asked()
	out.Objective, out.Baseline = p.Question.Objective, p.Question.Baseline
	out.Target, out.Foil, out.Choice, out.Any = asked.Target, asked.Foil, asked.Choice, asked.Any
	out.Answer, out.FoilAnswer = asked.Answer, asked.FoilAnswer
	out.Tokens, out.Value, out.Base = p.Tokens, p.Value, p.Base()
	out.Seed, out.InputHash = p.Question.Seed, p.inputHash()
	if s.Base != nil {
		out.Base = *s.Base
	}
	if out.Unit == "" {
		out.Unit = p.Unit
	}
	out.Evidence.Held, out.Evidence.Float32 = p.held, p.float32
	out.Warnings = slices.Concat(out.Warnings, p.unknowns())
	out.complete(p.Question.Tolerance)
	out.spent(p.cost, p.work.estimate(p.cost)+p.prepared.ForwardRows)
	return out, out.Validate()
}

// complete compares the values with what the method promises, and warns where it is not kept.
func (m *Matrix) complete(tolerance float64) {
	if m.Promise == nil {
		return
	}
	var worst *Completeness
	var of Promise // that of the worst
	for i, values := range m.promised() {
		promise := m.Promise.of(i)
		c := promise.kept(values, tolerance)
		if worst == nil || c.Relative > worst.Relative {
			worst, of = c, promise
		}
		if m.Promise.Each == EachRow && i < len(m.Evidence.Rows) {
			m.Evidence.Rows[i].Completeness = c
		}
	}
	m.Evidence.Completeness = worst
	if w := of.broken(worst); w != "" {
		m.Warnings = append(m.Warnings, w)
	}
}

// promised returns the lists of values each of which must add up to the promised total.
func (m *Matrix) promised() [][]float64 {
	switch m.Promise.Each {
	case EachRow:
		return m.Values
	case Diagonal:
		var values []float64
		for i, row := range m.Values {
			values = append(values, row[i])
		}
		return [][]float64{values}
	}
	return [][]float64{slices.Concat(m.Values...)}
}

// ColumnSums returns the sum of each column: what a head has in all layers, say.
func (m *Matrix) ColumnSums() []float64 {
	out := make([]float64, len(m.Columns))
	for _, row := range m.Values {
		for j, v := range row {
			out[j] += v
		}
	}
	return out
}
