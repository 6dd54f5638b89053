package plot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// Sum says how a number came about: Base and the Terms should add up to Value. What is missing is drawn, too.
// Waterfall and Force are two pictures of it.
type Sum struct {
	Title               string
	Unit                string
	BaseName, ValueName string // "": base and value
	Base, Value         float64
	Terms               []Term
}

// Term is a part of a sum.
type Term struct {
	Name  string
	Value float64
}

// Validate returns all that makes the sum impossible to draw.
func (s Sum) Validate() error {
	var errs []error
	if len(s.Terms) == 0 {
		errs = append(errs, errors.New("it has no terms"))
	}
	all := []float64{s.Base, s.Value}
	for _, t := range s.Terms {
		all = append(all, t.Value)
	}
	for _, v := range all {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			errs = append(errs, fmt.Errorf("it has the number %g", v))
			break
		}
	}
	return errors.Join(errs...)
}

const (
	mostTerms = 14
	leftOver  = "not explained"
)

// ranked returns the terms by size: at most n, then the rest as one; at last what is missing to Value, if that shows.
func (s Sum) ranked(n int) []Term {
	terms := slices.Clone(s.Terms)
	slices.SortStableFunc(terms, func(a, b Term) int { return cmp.Compare(math.Abs(b.Value), math.Abs(a.Value)) })
	missing := s.Value - s.Base
	for _, t := range s.Terms {
		missing -= t.Value
	}
	top := 0.0
	if len(terms) > 0 {
		top = math.Abs(terms[0].Value)
	}
	if len(terms) > n {
		rest := 0.0
		for _, t := range terms[n-1:] {
			rest += t.Value
		}
		terms = append(terms[:n-1], Term{fmt.Sprintf("%d more", len(terms)-n+1), rest})
	}
	if math.Abs(missing) > 0.005*max(math.Abs(s.Value-s.Base), top) {
		terms = append(terms, Term{leftOver, missing})
	}
	return terms
}

func (s Sum) ends() (base, value string) {
	base, value = s.BaseName, s.ValueName
	if base == "" {
		base = "base"
	}
	if value == "" {
		value = "value"
	}
	return printable.Line(base), printable.Line(value)
}

func (s Sum) text(w io.Writer, o Options) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("cannot draw the sum %q: %w", s.Title, err)
	}
	t := printable.NewLines(o.Color, o.Width)
	t.Title(s.Title)
	base, value := s.ends()
	terms := s.ranked(mostTerms)
	top, first := 0.0, max(printable.Columns(base), printable.Columns(value))
	for _, x := range terms {
		top, first = max(top, math.Abs(x.Value)), max(first, printable.Columns(barName(x.Name)))
	}
	format := printable.ScoreFormat(top)
	t.Line(sumLine(base, first, printable.Number(s.Base)))
	for _, x := range terms {
		bar := t.Bar(canvas.Ratio(x.Value, top), min(30, t.Width-first-20))
		t.Line(sumLine(barName(x.Name), first, format(x.Value)) + "  " + bar)
	}
	t.Line(sumLine(value, first, printable.Number(s.Value)) + "  " + printable.Line(s.Unit))
	return t.Flush(w)
}

// sumLine returns a name, filled up to a width, and a number.
func sumLine(name string, width int, number string) string {
	return "  " + printable.PadRight(name, width) + "  " + printable.PadLeft(number, 10)
}
