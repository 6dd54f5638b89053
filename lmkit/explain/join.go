package explain

import (
	"errors"
	"fmt"
	"slices"
)

// JoinTokens makes the matrix of an answer of the matrices of its tokens: the one that [PerToken] makes where it is
// asked for the whole. Each is by PerToken of one token, after the input and the tokens before it, as they are where
// an answer is explained while it is written. What the tokens' evidence says stays with their rows.
func JoinTokens(tokens ...*Matrix) (*Matrix, error) {
	if len(tokens) == 0 {
		return nil, errors.New("there is no token whose matrix could be joined")
	}
	first, last := tokens[0], tokens[len(tokens)-1]
	for k, m := range tokens {
		before := tokens[max(0, k-1)]
		if len(m.Rows) != 1 || m.Unit != first.Unit || len(m.Columns) != len(first.Columns)+k ||
			!slices.Equal(m.Columns[:len(before.Columns)], before.Columns) || m.Method.Name != first.Method.Name {
			return nil, fmt.Errorf("the matrix of token %d is not that of the next one by the same method: its columns must "+
				"be those of the one before, and its token", k+1)
		}
	}
	out := *last
	out.Target, out.Choice, out.InputHash = first.Target, first.Choice, first.InputHash
	out.Rows, out.Values, out.Spread, out.RowValues, out.Answer, out.Warnings = nil, nil, nil, nil, nil, nil
	out.Value, out.Base, out.Cost, out.Evidence = 0, 0, Cost{}, MatrixEvidence{Held: last.Evidence.Held}
	out.Promise = nil
	for _, m := range tokens {
		out.Rows = append(out.Rows, m.Rows[0])
		out.Values = append(out.Values, padded(m.Values[0], len(last.Columns)))
		if m.Spread != nil {
			out.Spread = append(out.Spread, padded(m.Spread[0], len(last.Columns)))
		}
		out.RowValues = append(out.RowValues, m.Value)
		out.Value, out.Base = out.Value+m.Value, out.Base+m.Base
		if len(tokens) > 1 {
			out.Answer = append(out.Answer, Token{ID: m.Target.ID, Text: m.Rows[0]})
		}
		out.Evidence.Rows = append(out.Evidence.Rows, m.Evidence.Rows...)
		for _, w := range m.Warnings {
			out.Warnings = append(out.Warnings, fmt.Sprintf("%q: %s", m.Rows[0], w))
		}
		out.Cost.Add(m.Cost)
		if m.Promise == nil {
			continue
		}
		if out.Promise == nil {
			out.Promise = &Promise{Of: m.Promise.Of, Each: EachRow, Cure: m.Promise.Cure}
		}
		out.Promise.Total += m.Promise.Total
		out.Promise.Totals = append(out.Promise.Totals, m.Promise.Total)
		if c := m.Evidence.Completeness; out.Evidence.Completeness == nil ||
			c.Relative > out.Evidence.Completeness.Relative {
			out.Evidence.Completeness = c
		}
	}
	return &out, out.Validate()
}

// padded is a row with zeros up to n columns.
func padded(row []float64, n int) []float64 {
	return append(slices.Clone(row), make([]float64, n-len(row))...)
}
