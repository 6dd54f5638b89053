package explain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/strict"
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
	Spread    [][]float64 // standard errors, as Values; nil: nothing was sampled
	RowValues []float64   // the number that each row explains, where every row has its own; nil: the problem's
	Unit      string      // "": that of the objective
	Promise   *Promise    // nil: the values need not add up to anything
	Base      *float64    // what the objective is without anything by the method's own account; nil: Problem.Base
	Settings  any         // a struct of what the method ran with, which becomes JSON
	Warnings  []string
}

// The parts of a matrix that a promise may be about, where it is not all values together.
const (
	EachRow  = "row"      // the values of each row add up to the total
	Diagonal = "diagonal" // the values on the diagonal add up to the total
)

// Matrix is the result of all methods that score pairs. Like an Attribution it carries its labels, its unit, and what
// was measured of its promise.
type Matrix struct {
	Schema    int            `json:"schema"`
	Method    MethodInfo     `json:"method"`
	Objective string         `json:"objective"`
	Target    Token          `json:"target"`
	Foil      *Token         `json:"foil,omitempty"`
	Choice    *Token         `json:"choice,omitempty"` // as of an Attribution
	Baseline  string         `json:"baseline"`
	Tokens    []InputToken   `json:"tokens"`               // the input, one entry a token
	Axes      []string       `json:"axes"`                 // what rows and columns are, in this order
	Rows      []string       `json:"rows"`                 // a label each row
	Columns   []string       `json:"columns"`              // a label each column
	Values    [][]float64    `json:"values"`               // [row][column], in Unit
	Spread    [][]float64    `json:"spread,omitempty"`     // standard errors, as Values
	RowValues []float64      `json:"row_values,omitempty"` // the objective of each row, where every row has its own
	Unit      string         `json:"unit"`
	Value     float64        `json:"value"` // the objective on the input
	Base      float64        `json:"base"`  // the objective on the baseline
	Promise   *Promise       `json:"promise,omitempty"`
	Evidence  MatrixEvidence `json:"evidence"`
	Cost      Cost           `json:"cost"`
	Seed      uint64         `json:"seed"`
	ModelHash string         `json:"model_hash"`
	InputHash string         `json:"input_hash"`
	Warnings  []string       `json:"warnings,omitempty"`
}

// MatrixEvidence is what speaks for a matrix, measured on the model. A nil part was not measured, and means nothing.
type MatrixEvidence struct {
	// Completeness compares the sum of the values with the promise: of the row that is farthest off, where it is about
	// each.
	Completeness *Completeness `json:"completeness,omitempty"`
	Held         *Held         `json:"held,omitempty"` // the tokens that stay, and are no features
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
	p.begin(method.Name())
	s, err := method.Matrix(ctx, p)
	if err != nil {
		return nil, err
	}
	return p.matrix(method.Name(), s)
}

// matrix returns a method's values with all that they mean, and with what was measured of their promise.
func (p *Problem) matrix(name string, s MatrixScores) (*Matrix, error) {
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
		Schema: Schema, Method: MethodInfo{Name: name}, Objective: p.Question.Objective, Target: p.token(p.Target),
		Baseline: p.Question.Baseline, Tokens: p.Tokens, Axes: s.Axes[:], Rows: s.Rows, Columns: s.Columns,
		Values: s.Values, Spread: s.Spread, RowValues: s.RowValues, Unit: s.Unit, Value: p.Value, Base: p.Base(),
		Promise: s.Promise,
		Seed:    p.Question.Seed, ModelHash: p.Model.Hash(), InputHash: p.inputHash(), Warnings: s.Warnings,
	}
	var err error
	if out.Method.Settings, err = settings(s.Settings); err != nil {
		return nil, err
	}
	if s.Base != nil {
		out.Base = *s.Base
	}
	if out.Unit == "" {
		out.Unit = p.Unit
	}
	if p.Question.Objective == Contrast {
		foil := p.token(p.Foil)
		out.Foil = &foil
	}
	out.Evidence.Held = p.held
	choice := p.token(p.choice)
	out.Choice = &choice
	out.complete(p.Question.Tolerance)
	c := p.cost
	out.Cost = Cost{ForwardRows: c.ForwardRows, BackwardRows: c.BackwardRows, EstimatedRows: p.work.estimate(p.cost) +
		p.prepared.ForwardRows,
		Seconds: c.Seconds, CompileSeconds: c.CompileSeconds}
	return out, out.Validate()
}

// complete compares the values with what the method promises, and warns where it is not kept.
func (m *Matrix) complete(tolerance float64) {
	if m.Promise == nil {
		return
	}
	var worst *Completeness
	for _, values := range m.promised() {
		if c := m.Promise.kept(values, tolerance); worst == nil || c.Relative > worst.Relative {
			worst = c
		}
	}
	m.Evidence.Completeness = worst
	if w := m.Promise.broken(worst); w != "" {
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

// Validate returns all that makes a matrix impossible to read: no method, counts that differ, numbers that are not
// finite. It does not judge the evidence.
func (m *Matrix) Validate() error {
	if m == nil {
		return errors.New("no matrix: nil")
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Schema < 1 || m.Schema > Schema {
		bad("schema is %d: expected 1 to %d (explain.Schema)", m.Schema, Schema)
	}
	if m.Method.Name == "" {
		bad("method.name is empty")
	}
	if len(m.Axes) != 2 {
		bad("%d axes: expected what rows and what columns are", len(m.Axes))
	}
	if len(m.Rows) == 0 || len(m.Columns) == 0 {
		bad("the matrix has %d rows and %d columns: expected at least one each", len(m.Rows), len(m.Columns))
	}
	errs = append(errs, m.checkValues("values", m.Values))
	if m.Spread != nil {
		errs = append(errs, m.checkValues("spread", m.Spread))
	}
	if n := len(m.RowValues); n != 0 && n != len(m.Rows) {
		bad("%d row_values for %d rows: expected one each, or none", n, len(m.Rows))
	}
	errs = append(errs, finite("row_values", m.RowValues), finite("value", []float64{m.Value}),
		finite("base", []float64{m.Base}))
	errs = append(errs, m.Promise.check(), m.Evidence.Completeness.check(), m.Cost.check())
	if p := m.Promise; p != nil && p.Each == Diagonal && len(m.Rows) != len(m.Columns) {
		bad("a promise about the diagonal of %d x %d values", len(m.Rows), len(m.Columns))
	}
	return errors.Join(errs...)
}

// checkValues says what is wrong with values that stand in the rows and columns of the matrix.
func (m *Matrix) checkValues(name string, values [][]float64) error {
	if len(values) != len(m.Rows) {
		return fmt.Errorf("%d rows of %s for %d labels: expected one each", len(values), name, len(m.Rows))
	}
	for i, row := range values {
		if len(row) != len(m.Columns) {
			return fmt.Errorf("%s[%d] has %d numbers for %d columns: expected one each", name, i, len(row), len(m.Columns))
		}
		if err := finite(fmt.Sprintf("%s[%d]", name, i), row); err != nil {
			return err
		}
	}
	return nil
}

// WriteMatrix writes a matrix as a JSON object, as Write does an attribution.
func WriteMatrix(w io.Writer, m *Matrix) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("cannot write the matrix: %w", err)
	}
	full := *m
	full.Tokens = orEmpty(m.Tokens)
	return encode(w, &full)
}

// ReadMatrix reads what WriteMatrix wrote, and is as strict as Read.
func ReadMatrix(r io.Reader) (*Matrix, error) {
	data, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("no matrix: %w", err)
	}
	m := new(Matrix)
	if err := readVersion(data, "a matrix"); err != nil {
		return nil, err
	}
	if err := strict.Unmarshal(data, m); err != nil {
		return nil, err
	}
	return m, m.Validate()
}
