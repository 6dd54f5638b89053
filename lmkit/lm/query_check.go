package lm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"lmkit.internal/lmkit/token"
)

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
	if err := q.validatePlaces(); err != nil {
		return err
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
	most := longest(q.Rows)
	for i, e := range q.Edits {
		if err := m.validateEdit(e, len(q.Rows), most); err != nil {
			return fmt.Errorf("edit %d, of %s: %w", i, e.Tap, err)
		}
	}
	return nil
}

func (q Query) validatePlaces() error {
	if q.Places != nil && len(q.Places) != len(q.Rows) {
		return fmt.Errorf("places were given for %d rows of %d", len(q.Places), len(q.Rows))
	}
	for i, of := range q.Places {
		if len(of) == 0 {
			return fmt.Errorf("row %d has no place whose activations are returned", i)
		}
		for _, t := range of {
			if n := len(q.Rows[i]); t < -n || t >= n {
				return fmt.Errorf("activations of row %d are asked for at position %d, but the row has %d tokens", i, t, n)
			}
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
			name := ""
			if text := m.TokenText(id); m.tokenizer != nil && int(id) < m.tokenizer.Size() && id >= 0 {
				name = fmt.Sprintf(" (%q, of which the model has no embedding)", text)
			}
			return fmt.Errorf("token %d is #%d%s, outside the vocabulary of %d", t, id, name, m.config.Vocab)
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
		case o.Unit == "" && len(o.Terms) == 0 && len(o.Reads) > 0:
		case o.Unit != Logit && o.Unit != LogProb && o.Unit != Prob:
			return fmt.Errorf("there is no unit %q; there are %s, %s and %s", o.Unit, Logit, LogProb, Prob)
		case o.Unit != q.Of[0].Unit:
			return fmt.Errorf("objective %d is in %s, the first one in %s; one query has one unit", i, o.Unit, q.Of[0].Unit)
		}
	}
	for i, row := range q.Rows {
		for _, r := range q.objective(i).Reads {
			if err := m.validateRead(q, r, len(row)); err != nil {
				return fmt.Errorf("the objective of row %d: %w", i, err)
			}
		}
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

// validateRead says what is wrong with what an objective reads of an activation in a row of n tokens.
func (m *Model) validateRead(q Query, r Read, n int) error {
	info, err := m.Tap(r.Tap)
	if err != nil {
		return err
	}
	if q.Rules == DeepLIFT {
		return fmt.Errorf("%s has multipliers of predictions alone, and this one reads %s", DeepLIFT, r.Tap)
	}
	if strings.Contains(info.Axes, "S") {
		return fmt.Errorf("%s is a number for each two tokens, which cannot be read at one position", r.Tap)
	}
	size := product(info.Shape(1, 1))
	if len(r.Coefficients.Data) != product(r.Coefficients.Dims) || len(r.Coefficients.Data) != size {
		return fmt.Errorf("coefficients of shape %v do not fit %s, which has %d numbers a position", r.Coefficients.Dims,
			r.Tap, size)
	}
	for _, t := range r.Positions {
		if t < -n || t >= n {
			return fmt.Errorf("%s is read at position %d, but the row has %d tokens", r.Tap, t, n)
		}
	}
	return nil
}

// validateEdit reports the mistakes of an edit of a query of so many rows, the longest of so many tokens.
func (m *Model) validateEdit(e Edit, rows, tokens int) error {
	info, err := m.Tap(e.Tap)
	if err != nil {
		return err
	}
	sizes := info.Shape(rows, tokens)
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
	if e.With.row > rows || e.With.row < 0 {
		return fmt.Errorf("there is no row %d to copy from", e.With.row-1)
	}
	if e.Add && e.Keep != 0 || !e.Add && e.Times != 0 {
		return errors.New("keep is for what replaces an activation, and times for what is added to it")
	}
	if v := e.With.along; v != nil {
		D := sizes[len(sizes)-1]
		isZero := !slices.ContainsFunc(v.Data, func(x float32) bool { return x != 0 })
		if isZero || len(v.Data) != D || !slices.Equal(v.Dims, []int{D}) {
			return fmt.Errorf("a direction of shape %v does not fit the activation's last axis, which has %d numbers, or is 0",
				v.Dims, D)
		}
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
