package grade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"lmkit.internal/lmkit/progress"
)

// Example is one item with how wrong the model was about it.
type Example struct {
	Line    int               // of the file
	Text    string            // whose words and length are looked at
	Columns map[string]string // the label, metadata: what else is known of it
	Loss    float64           // 1 for wrong and 0 for right, or any loss that is 0 or more
}

// Slicing says how slices are looked for. The zero value is the usual choice.
type Slicing struct {
	Literals int    // conditions of a slice, at most; 0: 2
	Least    int    // examples of a slice in the half that it is found on, at least; 0: 32, or a hundredth of the half
	Top      int    // how many slices are reported, at most; 0: 5
	Seed     uint64 // of the halves
}

// Slices are the parts of a set of examples where a model is worse than elsewhere. They are found on one half of the
// examples, drawn at random, and all numbers of them are measured on the other, where nothing was chosen.
type Slices struct {
	Examples int     `json:"examples"`
	Halves   [2]int  `json:"halves"`   // examples that slices are found on, and that they are measured on
	Loss     float64 `json:"loss"`     // the mean of the half that is measured on
	Errors   bool    `json:"errors"`   // whether losses are 1 for wrong and 0 for right
	Literals int     `json:"literals"` // conditions that were looked at
	Tried    int     `json:"tried"`    // slices that were looked at
	Least    int     `json:"least"`    // examples of a slice in the half that it is found on
	Slices   []Slice `json:"slices"`   // the worst first
}

// Slice is the examples for which some conditions hold.
type Slice struct {
	Where []string `json:"where"` // the conditions
	// Found is the slice in the half that it was found on: it was chosen for these numbers, so that they flatter it.
	Found Part `json:"found"`
	Held  Part `json:"held"` // in the other half
	// P is how likely a slice of this size has so large a loss by chance: of errors by Fisher's exact test, else by
	// Welch's; 1 where the other half has fewer than five such examples. Adjusted is corrected for how many slices are
	// reported, by Holm's method: those alone were tested on the other half.
	P        float64 `json:"p"`
	Adjusted float64 `json:"adjusted"`
	Lines    []int   `json:"lines"` // of examples of the other half, those with the largest losses first: five at most
}

// Part is the examples of a slice in one half, against the rest of the half.
type Part struct {
	Examples int     `json:"examples"`
	Loss     float64 `json:"loss"`   // mean
	Rest     float64 `json:"rest"`   // the mean of all others
	Effect   float64 `json:"effect"` // (Loss - Rest) / sqrt((var + var of the rest) / 2); 0 where nothing varies
}

// leastHeld is how many examples of a slice the other half must have for it to be tested.
const leastHeld = 5

// sizeMatters weighs how bad a slice is against how small it is, as SliceLine does (Sagadeeva and Boehm 2021).
const sizeMatters = 0.95

// FindSlices looks for slices of one condition or several: a word is in the text, the text has so many words or more or
// fewer, a column has a value, or one above or below a number. The slices with the largest score
//
//	0.95 (loss of the slice / loss of all - 1) - 0.05 (all examples / examples of the slice - 1)
//
// on one half are reported, but for those that share more than half of their examples with a worse one. Every pair of
// conditions is tried; of more, those whose bound can still reach the report.
func FindSlices(ctx context.Context, examples []Example, c Slicing) (*Slices, error) {
	if c.Literals < 0 || c.Least < 0 || c.Top < 0 {
		return nil, errors.New("slices: conditions, examples and slices are counted from 0")
	}
	if len(examples) < 20 {
		return nil, fmt.Errorf("%d examples are too few to find slices on one half and measure them on the other: give 20 "+
			"or more", len(examples))
	}
	total := 0.0
	out := &Slices{Examples: len(examples), Errors: true, Slices: []Slice{}}
	for _, e := range examples {
		if !(e.Loss >= 0) || math.IsInf(e.Loss, 1) {
			return nil, fmt.Errorf("line %d has the loss %v; a loss is 0 or more", e.Line, e.Loss)
		}
		total += e.Loss
		out.Errors = out.Errors && (e.Loss == 0 || e.Loss == 1)
	}
	if total == 0 {
		return nil, errors.New("no example has a loss: the model is right about all of them")
	}
	s := &search{Slicing: c, out: out}
	s.split(examples)
	out.Halves = [2]int{len(s.found), len(s.held)}
	s.Literals, s.Top = cmp.Or(c.Literals, 2), cmp.Or(c.Top, 5)
	s.Least = cmp.Or(c.Least, max(32, len(s.found)/100))
	out.Least = s.Least
	if err := s.all(ctx); err != nil {
		return nil, err
	}
	s.measure()
	return out, nil
}

// search is a search for slices.
type search struct {
	Slicing
	out         *Slices
	found, held []Example
	literals    []literal
	sum, top    float64 // of the losses of the half that is searched: their sum, and the largest
	best        []candidate
}

// candidate is a slice in the half that is searched.
type candidate struct {
	of    []int // literals, ascending
	in    set
	n     int
	sum   float64 // of its losses
	top   float64 // the largest of them
	score float64
}

// split draws the halves.
func (s *search) split(examples []Example) {
	for k, i := range rand.New(rand.NewPCG(s.Seed, 0)).Perm(len(examples)) {
		if k < (len(examples)+1)/2 {
			s.found = append(s.found, examples[i])
		} else {
			s.held = append(s.held, examples[i])
		}
	}
}

// all tries slices of one condition, then of two, and so on.
func (s *search) all(ctx context.Context) error {
	for _, e := range s.found {
		s.sum, s.top = s.sum+e.Loss, max(s.top, e.Loss)
	}
	s.literals = literalsOf(s.found, s.Least)
	s.out.Literals = len(s.literals)
	if s.sum == 0 {
		return errors.New("the half that slices are found on has no mistake: give more examples")
	}
	var level []candidate
	for i, l := range s.literals {
		if x, ok := s.try([]int{i}, l.in); ok {
			level = append(level, x)
		}
	}
	hears := progress.From(ctx)
	for size := 2; size <= s.Literals; size++ {
		var next []candidate
		for k, x := range level {
			if err := ctx.Err(); err != nil {
				return err
			}
			hears.At(fmt.Sprintf("looking for slices of %d conditions", size), int64(k), int64(len(level)), "slices")
			if size > 2 && s.bound(x) <= s.worst() {
				continue
			}
			for i := x.of[len(x.of)-1] + 1; i < len(s.literals); i++ {
				if y, ok := s.try(append(slices.Clone(x.of), i), x.in.and(s.literals[i].in)); ok && y.n < x.n && size < s.Literals {
					next = append(next, y)
				}
			}
		}
		level = next
	}
	return nil
}

// try scores a slice, and keeps it if it is among the worst so far. ok says whether it has examples enough.
func (s *search) try(of []int, in set) (x candidate, ok bool) {
	x = candidate{of: of, in: in, n: in.size()}
	if x.n < s.Least || x.n == len(s.found) {
		return x, false
	}
	s.out.Tried++
	for i := range in.each {
		x.sum, x.top = x.sum+s.found[i].Loss, max(x.top, s.found[i].Loss)
	}
	if x.score = s.score(x.sum, float64(x.n)); x.score > s.worst() {
		s.keep(x)
	}
	return x, true
}

// score is that of a slice of n examples whose losses add up to sum.
func (s *search) score(sum, n float64) float64 {
	all := float64(len(s.found))
	return sizeMatters*(sum/n/(s.sum/all)-1) - (1-sizeMatters)*(all/n-1)
}

// bound is the most that a part of a slice can score: that of its largest losses.
func (s *search) bound(x candidate) float64 {
	n := min(max(float64(s.Least), x.sum/max(x.top, 1e-300)), float64(x.n))
	return s.score(min(x.sum, n*x.top), n)
}

// worst is what a slice must score above to be kept.
func (s *search) worst() float64 {
	if len(s.best) < s.Top {
		return 0
	}
	return s.best[len(s.best)-1].score
}

// keep puts a slice among the worst, unless a worse one shares more than half of its examples; those that it is worse
// than, and shares as many with, go. Of slices that score the same, the one that was tried first stays.
func (s *search) keep(x candidate) {
	alike := func(y candidate) bool { return 2*x.in.and(y.in).size() > x.in.or(y.in).size() }
	if slices.ContainsFunc(s.best, func(y candidate) bool { return y.score >= x.score && alike(y) }) {
		return
	}
	s.best = slices.DeleteFunc(s.best, alike)
	s.best = append(s.best, x)
	slices.SortStableFunc(s.best, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	s.best = s.best[:min(len(s.best), s.Top)]
}

// measure looks at the slices in the other half.
func (s *search) measure() {
	for _, e := range s.held {
		s.out.Loss += e.Loss / float64(len(s.held))
	}
	for _, x := range s.best {
		slice := Slice{P: 1}
		in := newSet(len(s.held))
		for k, e := range s.held {
			if !slices.ContainsFunc(x.of, func(i int) bool { return !s.literals[i].holds(e) }) {
				in.add(k)
			}
		}
		for _, i := range x.of {
			slice.Where = append(slice.Where, s.literals[i].name)
		}
		slice.Found, _, _ = partOf(s.found, x.in)
		var inside, outside []float64
		slice.Held, inside, outside = partOf(s.held, in)
		switch {
		case len(inside) < leastHeld || len(outside) < leastHeld:
		case s.out.Errors:
			slice.P = fisher(inside, outside)
		default:
			slice.P = welch(inside, outside)
		}
		slice.Lines = linesOf(s.held, in)
		s.out.Slices = append(s.out.Slices, slice)
	}
	holm(s.out.Slices)
}

// linesOf returns the lines of the examples of a slice with the largest losses.
func linesOf(all []Example, in set) (lines []int) {
	var some []Example
	for i := range in.each {
		some = append(some, all[i])
	}
	slices.SortFunc(some, func(a, b Example) int {
		return cmp.Or(cmp.Compare(b.Loss, a.Loss), cmp.Compare(a.Line, b.Line))
	})
	for _, e := range some[:min(5, len(some))] {
		lines = append(lines, e.Line)
	}
	return lines
}

// set is a set of numbers, a bit each.
type set []uint64

func newSet(n int) set          { return make(set, (n+63)/64) }
func (s set) add(i int)         { s[i/64] |= 1 << (i % 64) }
func (s set) and(other set) set { return s.with(other, func(a, b uint64) uint64 { return a & b }) }
func (s set) or(other set) set  { return s.with(other, func(a, b uint64) uint64 { return a | b }) }

func (s set) with(other set, f func(a, b uint64) uint64) set {
	out := make(set, len(s))
	for i := range s {
		out[i] = f(s[i], other[i])
	}
	return out
}

func (s set) size() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// each yields the numbers, ascending.
func (s set) each(yield func(int) bool) {
	for k, w := range s {
		for ; w != 0; w &= w - 1 {
			if !yield(64*k + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}
