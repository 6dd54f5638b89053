package render

import (
	"errors"
	"fmt"
	"io"
	"math"

	"lmkit.internal/lmkit/explain"
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

// SumOf is an attribution as a sum: from the objective on the baseline, feature by feature, to that on the input;
// or from 0 to what the method promises, where that is something else.
func SumOf(a *explain.Attribution) (Sum, error) {
	if err := a.Validate(); err != nil {
		return Sum{}, fmt.Errorf("cannot draw the attribution: %w", err)
	}
	s := Sum{Title: heading(a), Unit: line(a.Unit), BaseName: "baseline", ValueName: "input", Base: a.Base, Value: a.Value}
	if p := a.Promised(); p != nil && p.Of != explain.Difference {
		s.BaseName, s.ValueName, s.Base, s.Value = "nothing", "promised", 0, p.Total
	}
	for f, score := range a.Scores {
		s.Terms = append(s.Terms, Term{featureName(a, f, 28), score})
	}
	return s, nil
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
	values := make([]float64, len(s.Terms))
	missing := s.Value - s.Base
	for i, t := range s.Terms {
		values[i] = t.Value
		missing -= t.Value
	}
	order := explain.Ranked(values)
	if len(order) > n {
		n--
	}
	var out []Term
	rest := 0.0
	for i, f := range order {
		if i < n {
			out = append(out, s.Terms[f])
		} else {
			rest += values[f]
		}
	}
	if more := len(order) - n; more > 0 {
		out = append(out, Term{fmt.Sprintf("%d more", more), rest})
	}
	if math.Abs(missing) > 0.005*max(math.Abs(s.Value-s.Base), largest(values)) {
		out = append(out, Term{leftOver, missing})
	}
	return out
}

func (s Sum) ends() (base, value string) {
	base, value = s.BaseName, s.ValueName
	if base == "" {
		base = "base"
	}
	if value == "" {
		value = "value"
	}
	return line(base), line(value)
}

// Waterfall draws a sum term by term, each starting where the one before ended.
type Waterfall struct{ Sum }

// SVG draws the terms from the largest to the smallest, from the base at the top to the value at the bottom.
func (f Waterfall) SVG(w io.Writer) error { return writeSVG(w, f) }

// PNG draws what SVG does, as pixels, two for each of the SVG's.
func (f Waterfall) PNG(w io.Writer) error { return writePNG(w, f) }

// Text writes the sum as a column of numbers.
func (f Waterfall) Text(w io.Writer, o Options) error { return f.Sum.text(w, o) }

func (f Waterfall) draw() (*canvas, error) {
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("cannot draw the waterfall %q: %w", f.Title, err)
	}
	c := newCanvas(pictureWidth)
	c.heading(f.Title)
	terms := f.ranked(mostTerms)
	x := axis{}
	x.include(f.Base)
	x.include(f.Value)
	at, top, first := f.Base, 0.0, 0.0
	baseName, valueName := f.ends()
	for _, n := range []string{baseName, valueName} {
		first = max(first, monoWidth(n, 12))
	}
	for _, t := range terms {
		at += t.Value
		x.include(at)
		top = max(top, math.Abs(t.Value))
		first = max(first, monoWidth(barName(t.Name), 12))
	}
	x.open()
	format := scoreFormat(top)
	room := monoWidth(format(top), 11) + 8
	x.from, x.to = margin+first+16+room, c.width-margin-room
	const row = 24.0
	c.y += 4
	end := func(name string, v float64) {
		c.text(margin, c.y+row/2+4, label{size: 12, mono: true, bold: true}, name)
		c.circle(x.at(v), c.y+row/2, 4, style{fill: inkDark}, name+": "+number(v))
		c.text(x.at(v)+9, c.y+row/2+4, label{size: 11, mono: true, bold: true}, number(v))
		c.y += row
	}
	end(baseName, f.Base)
	at = f.Base
	for _, t := range terms {
		c.line(x.at(at), c.y-row/2+7, x.at(at), c.y+3, "#b9bec7")
		c.step(t, x, at, format, row)
		at += t.Value
		c.y += row
	}
	c.line(x.at(at), c.y-3, x.at(at), c.y+row/2-4, "#b9bec7")
	end(valueName, f.Value)
	if f.Unit != "" {
		c.y += 12
		c.text(margin, c.y, label{size: 11, fill: inkSoft}, "in "+line(f.Unit))
	}
	return c.done("waterfall: " + line(f.Title))
}

// step draws one term of a waterfall, with its number on the side to which it goes.
func (c *canvas) step(t Term, x axis, at float64, format func(float64) string, row float64) {
	c.text(margin, c.y+row/2+4, label{size: 12, mono: true}, barName(t.Name))
	from, to := x.at(at), x.at(at+t.Value)
	s := style{fill: signColor(t.Value), radius: 1.5}
	if t.Name == leftOver {
		s = style{fill: "#ffffff", stroke: inkSoft, dash: "3 2", radius: 1.5}
	}
	c.rect(min(from, to), c.y+3, max(1, math.Abs(to-from)), row-6, s, barName(t.Name)+": "+format(t.Value))
	l := label{size: 11, mono: true, fill: inkSoft}
	if t.Value < 0 {
		l.anchor = "end"
		c.text(to-6, c.y+row/2+4, l, format(t.Value))
		return
	}
	c.text(to+6, c.y+row/2+4, l, format(t.Value))
}

func (s Sum) text(w io.Writer, o Options) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("cannot draw the sum %q: %w", s.Title, err)
	}
	t := &text{Options: o}
	t.title(s.Title)
	base, value := s.ends()
	terms := s.ranked(mostTerms)
	top, first := 0.0, max(columns(base), columns(value))
	for _, x := range terms {
		top, first = max(top, math.Abs(x.Value)), max(first, columns(barName(x.Name)))
	}
	format := scoreFormat(top)
	t.line("  " + padRight(base, first) + "  " + padLeft(number(s.Base), 10))
	for _, x := range terms {
		t.line("  " + padRight(barName(x.Name), first) + "  " + padLeft(format(x.Value), 10) + "  " + t.bar(ratio(x.Value, top), min(30, t.width()-first-20)))
	}
	t.line("  " + padRight(value, first) + "  " + padLeft(number(s.Value), 10) + "  " + line(s.Unit))
	_, err := io.WriteString(w, t.b.String())
	return err
}
