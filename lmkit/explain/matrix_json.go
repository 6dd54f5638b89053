package explain

import (
	"errors"
	"fmt"
	"io"

	"lmkit.internal/lmkit/internal/strict"
)

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
	errs = append(errs, m.checkWords("words", m.Words))
	for i, x := range m.More {
		name := fmt.Sprintf("more[%d]", i)
		if x.Name == "" {
			bad("%s.name is empty", name)
		}
		errs = append(errs, m.checkValues(name+".values", x.Values), m.checkWords(name+".words", x.Words))
	}
	for i, x := range m.Evidence.Identities {
		if x.Name == "" {
			bad("evidence.identities[%d].name is empty", i)
		}
		errs = append(errs, finite(fmt.Sprintf("evidence.identities[%d]", i), []float64{x.Want, x.Got, x.Tolerance}))
	}
	if n := len(m.Evidence.Rows); n != 0 && n != len(m.Rows) {
		bad("evidence of %d rows for %d: expected one each, or none", n, len(m.Rows))
	}
	for i, r := range m.Evidence.Rows {
		if r.Top < -1 || r.Top >= len(m.Columns) {
			bad("evidence.rows[%d] names column %d of %d", i, r.Top, len(m.Columns))
		}
		errs = append(errs, finite(fmt.Sprintf("evidence.rows[%d]", i), []float64{r.Drop, r.Random}), r.Completeness.check())
	}
	if n := len(m.RowValues); n != 0 && n != len(m.Rows) {
		bad("%d row_values for %d rows: expected one each, or none", n, len(m.Rows))
	}
	errs = append(errs, finite("row_values", m.RowValues), finite("value", []float64{m.Value}),
		finite("base", []float64{m.Base}))
	errs = append(errs, m.Asked().check(), m.Promise.check(), m.Evidence.Completeness.check(), m.Cost.check())
	if p := m.Promise; p != nil && p.Totals != nil && (p.Each != EachRow || len(p.Totals) != len(m.Rows)) {
		bad("a promise of %d totals for %d rows: expected one each row, or one for all", len(p.Totals), len(m.Rows))
	}
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

// checkWords says what is wrong with words that stand in the cells of the matrix, if there are any.
func (m *Matrix) checkWords(name string, words [][]string) error {
	if words == nil {
		return nil
	}
	if len(words) != len(m.Rows) {
		return fmt.Errorf("%d rows of %s for %d labels: expected one each", len(words), name, len(m.Rows))
	}
	for i, row := range words {
		if len(row) != len(m.Columns) {
			return fmt.Errorf("%s[%d] has %d words for %d columns: expected one each", name, i, len(row), len(m.Columns))
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
