package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"lmkit.internal/lmkit/internal/strict"
)

// MaxBytes bounds the JSON that Read accepts: thousands of long prompts, but not a file that fills the memory.
const MaxBytes = 64 << 20

// Write writes one attribution as a JSON object, or any other number of them as an array: indented, fields in the
// order of the struct, numbers with the fewest digits that read back to the same bits. What Write wrote, Read followed
// by Write reproduces byte for byte. It fails, and writes nothing, where Validate fails. A token's text that is not
// valid UTF-8 (a piece of a character) gets U+FFFD for each invalid byte; the token's ID still says which it was.
func Write(w io.Writer, as ...*Attribution) error {
	full := make([]*Attribution, len(as))
	for i, a := range as {
		if err := a.Validate(); err != nil {
			return fmt.Errorf("cannot write attribution %d of %d: %w", i+1, len(as), err)
		}
		full[i] = a.withoutNil()
	}
	if len(full) == 1 {
		return encode(w, full[0])
	}
	return encode(w, full)
}

// encode writes a value as JSON, whole or not at all.
func encode(w io.Writer, v any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot write as JSON: %w", err)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// Read reads what Write wrote: one object, or an array of them. It fails on a newer schema, on a missing, repeated or
// unknown field, on null, on a value of the wrong type, on text that is not UTF-8, on more than MaxBytes, on anything
// after the end, and where Validate fails: what it returns is all that the input said.
func Read(r io.Reader) ([]*Attribution, error) {
	data, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("no attributions: %w", err)
	}
	if bytes.TrimSpace(data)[0] != '[' {
		a, err := readOne(data)
		if err != nil {
			return nil, err
		}
		return []*Attribution{a}, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("not attributions: %w", err)
	}
	as := []*Attribution{}
	for dec.More() {
		var one json.RawMessage
		if err := dec.Decode(&one); err != nil {
			return nil, fmt.Errorf("attribution %d: %w", len(as)+1, err)
		}
		a, err := readOne(one)
		if err != nil {
			return nil, fmt.Errorf("attribution %d: %w", len(as)+1, err)
		}
		as = append(as, a)
	}
	return as, nil
}

// readJSON reads all of the input, and fails where it is not one JSON text of a sane size.
func readJSON(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read it: %w", err)
	case len(data) > MaxBytes:
		return nil, fmt.Errorf("larger than %d MiB", MaxBytes>>20)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("the input is empty")
	case !utf8.Valid(data):
		return nil, errors.New("the input is not UTF-8 text")
	}
	return data, strict.Syntax(data)
}

// readVersion fails where a JSON value, which is known to be well-formed, has no schema that this package reads: the
// schema comes first, since it decides what the rest means.
func readVersion(data []byte, what string) error {
	var head struct {
		Schema json.RawMessage `json:"schema"`
	}
	var schema int
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("not %s: expected an object with the field schema", what)
	}
	if head.Schema == nil {
		return fmt.Errorf("not %s: the field schema is missing", what)
	}
	if json.Unmarshal(head.Schema, &schema) != nil || schema < 1 {
		return fmt.Errorf("schema: expected a whole number from 1, found %q", strict.Cut(string(head.Schema)))
	}
	if schema > Schema {
		return fmt.Errorf("this file has schema %d; this lmkit reads up to %d: upgrade lmkit", schema, Schema)
	}
	return nil
}

// readOne reads an attribution from a JSON value that is known to be well-formed.
func readOne(data []byte) (*Attribution, error) {
	if err := readVersion(data, "an attribution"); err != nil {
		return nil, err
	}
	a := new(Attribution)
	if err := strict.Unmarshal(data, a); err != nil {
		return nil, err
	}
	if err := a.Validate(); err != nil {
		return nil, err
	}
	return a, nil
}

// withoutNil returns a copy whose lists are all there, since a reader in any language expects [] and not null.
func (a *Attribution) withoutNil() *Attribution {
	c := *a
	c.Tokens, c.Scores = orEmpty(a.Tokens), orEmpty(a.Scores)
	c.Features = make([]Feature, len(a.Features))
	for i, f := range a.Features {
		c.Features[i] = Feature{Text: f.Text, Tokens: orEmpty(f.Tokens)}
	}
	c.Evidence.Necessity = a.Evidence.Necessity.withoutNil()
	c.Evidence.Sufficiency = a.Evidence.Sufficiency.withoutNil()
	return &c
}

func (d *Deletion) withoutNil() *Deletion {
	if d == nil {
		return nil
	}
	c := *d
	c.Features = orEmpty(d.Features)
	return &c
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Validate returns all that makes an attribution impossible to read, one line a mistake: no method or objective, a
// contrast without a foil, counts that differ, positions outside the input, numbers that are not finite. It does not
// judge the evidence: an attribution that fails its own promises is valid, and says so.
func (a *Attribution) Validate() error {
	if a == nil {
		return errors.New("no attribution: nil")
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if a.Schema < 1 || a.Schema > Schema {
		bad("schema is %d: expected 1 to %d (explain.Schema)", a.Schema, Schema)
	}
	if a.Method.Name == "" {
		bad("method.name is empty")
	}
	if s := a.Method.Settings; s != nil && (!json.Valid(s) || !utf8.Valid(s) || bytes.TrimSpace(s)[0] != '{') {
		bad("method.settings is not a JSON object")
	}
	if a.Objective == "" {
		bad("objective is empty")
	}
	if a.Objective == "contrast" && a.Foil == nil {
		bad("the objective is a contrast, and there is no foil")
	}
	if n := len(a.Features); len(a.Scores) != n {
		bad("%d scores for %d features: expected one each", len(a.Scores), n)
	}
	if n := len(a.Features); len(a.Spread) != 0 && len(a.Spread) != n {
		bad("%d values of spread for %d features: expected one each, or none", len(a.Spread), n)
	}
	errs = append(errs, a.checkTokens(), a.checkFeatures(), a.Promise.check(), a.checkEvidence(), a.Cost.check())
	errs = append(errs, finite("scores", a.Scores), finite("spread", a.Spread))
	errs = append(errs, finite("value", []float64{a.Value}), finite("base", []float64{a.Base}))
	return errors.Join(errs...)
}

func (a *Attribution) checkTokens() error {
	if err := a.Asked().check(); err != nil {
		return err
	}
	for i, t := range a.Tokens {
		if t.ID < 0 {
			return fmt.Errorf("tokens[%d].id is %d: expected 0 or more", i, t.ID)
		}
		if t.Start < 0 || t.End < t.Start {
			return fmt.Errorf("tokens[%d] covers the bytes %d to %d: expected 0 <= start <= end", i, t.Start, t.End)
		}
	}
	return nil
}

func (a *Attribution) checkFeatures() error {
	for i, f := range a.Features {
		for j, t := range f.Tokens {
			if t < 0 || t >= len(a.Tokens) {
				return fmt.Errorf("features[%d] points to token %d of %d", i, t, len(a.Tokens))
			}
			if j > 0 && t <= f.Tokens[j-1] {
				return fmt.Errorf("features[%d].tokens is not ascending: %d after %d", i, t, f.Tokens[j-1])
			}
		}
	}
	for i, s := range a.Spread {
		if s < 0 {
			return fmt.Errorf("spread[%d] is %g: expected 0 or more", i, s)
		}
	}
	return nil
}

func (a *Attribution) checkEvidence() error {
	var errs []error
	errs = append(errs, a.Evidence.Completeness.check())
	for _, e := range []struct {
		name string
		*Deletion
	}{{"evidence.necessity", a.Evidence.Necessity}, {"evidence.sufficiency", a.Evidence.Sufficiency}} {
		if e.Deletion == nil {
			continue
		}
		errs = append(errs, finite(e.name, append([]float64{e.Value, e.Drop}, orNone(e.Share)...)))
		if e.Random != nil {
			errs = append(errs, finite(e.name+".random", []float64{*e.Random}))
		}
		for _, f := range e.Features {
			if f < 0 || f >= len(a.Features) {
				errs = append(errs, fmt.Errorf("%s points to feature %d of %d", e.name, f, len(a.Features)))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (p *Promise) check() error {
	switch {
	case p == nil:
		return nil
	case p.Of == "":
		return errors.New("promise.of is empty")
	case p.Each != "" && p.Each != EachRow && p.Each != Diagonal:
		return fmt.Errorf("promise.each is %q: expected %s or %s, or nothing", strict.Cut(p.Each), EachRow, Diagonal)
	}
	return errors.Join(finite("promise.total", []float64{p.Total}), finite("promise.totals", p.Totals))
}

func (c *Completeness) check() error {
	if c == nil {
		return nil
	}
	return finite("evidence.completeness", []float64{c.Error, c.Relative, c.Tolerance})
}

func (c Cost) check() error {
	if c.ForwardRows < 0 || c.BackwardRows < 0 || c.EstimatedRows < 0 || c.Seconds < 0 || c.CompileSeconds < 0 {
		return errors.New("cost holds a negative number")
	}
	return finite("cost", []float64{c.Seconds, c.CompileSeconds})
}

// finite names the first number that JSON has no word for.
func finite(name string, xs []float64) error {
	for i, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			if len(xs) > 1 {
				name = fmt.Sprintf("%s[%d]", name, i)
			}
			return fmt.Errorf("%s is %g: expected a finite number", name, x)
		}
	}
	return nil
}

// orNone is the number, if there is one.
func orNone(x *float64) []float64 {
	if x == nil {
		return nil
	}
	return []float64{*x}
}
