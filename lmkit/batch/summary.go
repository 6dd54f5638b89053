package batch

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
)

// Summarising says how a folder of results is summed up. The zero value is the usual choice.
type Summarising struct {
	Least int // items that a word must be in; 0: 3
	Top   int // words for, and words against, at most; 0: 12
	Worst int // of the worst mistakes; 0: 5
	// Inside is the column that holds, of each prompt, the part that is known to hold the cause; "": none does.
	Inside string
}

// Summary is a folder of results as a whole.
type Summary struct {
	Manifest Manifest `json:"manifest"`
	Results  int      `json:"results"` // that were read
	Labelled int      `json:"labelled"`
	// Right is how often the model is right about items that have a label: see Result.Right. nil: none has one.
	Right   *numerics.Proportion `json:"right,omitempty"`
	Methods []MethodSummary      `json:"methods"`
	// Tokens is how many were scored, and Perplexity e^(- the mean of their log-probabilities), where scores were asked
	// for.
	Tokens     int       `json:"tokens,omitempty"`
	Perplexity float64   `json:"perplexity,omitempty"`
	Worst      []Mistake `json:"worst"` // the worst mistakes first
}

// MethodSummary is the explanations of one method.
type MethodSummary struct {
	Method string `json:"method"`
	Unit   string `json:"unit"`
	Items  int    `json:"items"`
	// Target and Foil are what all explanations are about; "": they are about different ones, and scores speak for the
	// target of each.
	Target string `json:"target,omitempty"`
	Foil   string `json:"foil,omitempty"`
	// Promised is how many explanations promise that their scores add up, and Kept how many of them keep it.
	Promised int `json:"promised"`
	Kept     int `json:"kept"`
	// Inside says how much of the scores lies where Summarising.Inside says that the cause is; nil: no item says it.
	Inside *Inside     `json:"inside,omitempty"`
	All    WordEffects `json:"all"`
	Labels []ByLabel   `json:"labels,omitempty"` // the same of the items of each label, where there are several
}

// ByLabel is what words do in the items of one label.
type ByLabel struct {
	Label string      `json:"label"`
	Items int         `json:"items"`
	Words WordEffects `json:"words"`
}

// WordEffects are the words that matter: those whose mean score is farther from 0 than two of its errors, by
// |mean| - 2 errors, the largest first.
type WordEffects struct {
	For     []WordEffect `json:"for"`     // what speaks for the target
	Against []WordEffect `json:"against"` // and against it
	Words   int          `json:"words"`   // how many different ones were counted
}

// WordEffect is what the scores of a feature come to wherever its text stands, in lower case, without white space at
// its ends.
type WordEffect struct {
	Word   string  `json:"word"`
	Mean   float64 `json:"mean"`   // of its scores
	Spread float64 `json:"spread"` // standard deviation of the scores
	Error  float64 `json:"error"`  // standard error of the mean, items being drawn rather than words
	Count  int     `json:"count"`  // how many scores
	Items  int     `json:"items"`  // in how many items
}

// Mistake is an item that the model is wrong about.
type Mistake struct {
	Line   int     `json:"line"`
	ID     string  `json:"id,omitempty"`
	Label  string  `json:"label"`  // what is right
	Choice string  `json:"choice"` // what the model says
	By     float64 `json:"by"`     // by how much, in the unit of the objective; 0: it was no contrast
	Prompt string  `json:"prompt,omitempty"`
	// Why are the explanations.
	Why []*explain.Attribution `json:"-"`
}

// Summarise reads a folder of results.
func Summarise(dir string, c Summarising) (*Summary, error) {
	if c.Least < 0 || c.Top < 0 || c.Worst < 0 {
		return nil, errors.New("what is summed up is counted from 0")
	}
	c.Least, c.Top, c.Worst = cmp.Or(c.Least, 3), cmp.Or(c.Top, 12), cmp.Or(c.Worst, 5)
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	s := &summing{Summarising: c, methods: map[string]*sums{},
		out: &Summary{Manifest: m, Methods: []MethodSummary{}, Worst: []Mistake{}}}
	if err := s.read(dir); err != nil {
		return nil, err
	}
	if s.out.Results == 0 {
		return nil, fmt.Errorf("%s has no part that is done: give the command that makes it again, which goes on", dir)
	}
	if s.out.Labelled > 0 {
		p := numerics.ProportionOf(s.right, s.out.Labelled)
		s.out.Right = &p
	}
	for _, name := range s.order {
		x, err := s.methods[name].summary(s.Summarising)
		if err != nil {
			return nil, err
		}
		s.out.Methods = append(s.out.Methods, x)
	}
	return s.out, nil
}

// summing is a folder that is being read.
type summing struct {
	Summarising
	out     *Summary
	right   int
	methods map[string]*sums // by name and unit
	order   []string
}

// read reads the results, of whatever was asked.
func (s *summing) read(dir string) error {
	switch m := s.out.Manifest; {
	case m.Suite != nil:
		return fmt.Errorf("%s holds the pairs of a suite, of which Bias makes a report", dir)
	case m.Labels != nil:
		for c, err := range linesOfParts[Classified](dir) {
			if err != nil {
				return err
			}
			s.label(c)
		}
	case m.Score:
		sum := 0.0
		for x, err := range linesOfParts[Scored](dir) {
			if err != nil {
				return err
			}
			s.out.Results++
			s.out.Tokens, sum = s.out.Tokens+len(x.Tokens), sum-x.LogProb
		}
		s.out.Perplexity = math.Exp(min(700, sum/max(1, float64(s.out.Tokens))))
	default:
		for r, err := range Results(dir) {
			if err != nil {
				return err
			}
			s.add(r)
		}
	}
	return nil
}

// label takes an item that got a label.
func (s *summing) label(c Classified) {
	s.out.Results++
	if c.Loss == nil {
		return
	}
	s.out.Labelled++
	if c.Said == c.Label {
		s.right++
		return
	}
	w := Mistake{Line: c.Line, ID: c.ID, Label: c.Label, Choice: c.Said, Prompt: c.Prompt}
	said, right := 0.0, 0.0
	for _, x := range c.Scores {
		switch x.Label {
		case c.Said:
			said = x.LogProb
		case c.Label:
			right = x.LogProb
		}
	}
	w.By = said - right
	s.mistake(w)
}

// mistake keeps a mistake, if it is among the worst.
func (s *summing) mistake(w Mistake) {
	s.out.Worst = append(s.out.Worst, w)
	slices.SortStableFunc(s.out.Worst, func(a, b Mistake) int { return cmp.Compare(b.By, a.By) })
	s.out.Worst = s.out.Worst[:min(len(s.out.Worst), s.Worst)]
}

func (s *summing) add(r Result) {
	s.out.Results++
	for _, a := range r.Attributions {
		key := a.Method.Name + "\n" + a.Unit
		if s.methods[key] == nil {
			s.methods[key] = &sums{MethodSummary: MethodSummary{Method: a.Method.Name, Unit: a.Unit},
				byLabel: map[string]*tally{}, all: newTally()}
			s.order = append(s.order, key)
		}
		s.methods[key].add(a, r.Label)
		if part, _ := r.Meta[s.Inside].(string); part != "" {
			s.methods[key].inside.add(a, r.Prompt, part)
		}
	}
	right, known := r.Right()
	if !known {
		return
	}
	s.out.Labelled++
	if right {
		s.right++
		return
	}
	a := r.Attributions[0]
	w := Mistake{Line: r.Line, ID: r.ID, Label: r.Label, Prompt: r.Prompt, Why: r.Attributions}
	if a.Choice != nil {
		w.Choice = strings.TrimSpace(a.Choice.Text)
	}
	if label := strings.TrimSpace(r.Label); a.Foil != nil {
		w.By = math.Abs(a.Value)
		of := a.Asked()
		target, foil := answers(of.Target, of.Answer, of.Any), answers(*of.Foil, of.FoilAnswer, of.Any)
		switch { // what the model prefers to it
		case slices.Contains(target, label):
			w.Choice = strings.Join(foil, ", ")
		case slices.Contains(foil, label):
			w.Choice = strings.Join(target, ", ")
		}
	}
	s.mistake(w)
}

// sums are the explanations of one method, added up.
type sums struct {
	MethodSummary
	all     *tally
	byLabel map[string]*tally
	inside  inside
	mixed   bool // targets or foils differ
}

func (s *sums) add(a *explain.Attribution, label string) {
	of, foil := a.Asked(), ""
	target := strings.Join(answers(of.Target, of.Answer, of.Any), ", ")
	if a.Foil != nil {
		foil = strings.Join(answers(*of.Foil, of.FoilAnswer, of.Any), ", ")
	}
	if s.Items == 0 {
		s.Target, s.Foil = target, foil
	}
	s.mixed = s.mixed || s.Target != target || s.Foil != foil
	s.Items++
	if c := a.Evidence.Completeness; c != nil {
		if s.Promised++; c.Holds {
			s.Kept++
		}
	}
	s.all.add(a)
	if label != "" {
		if s.byLabel[label] == nil {
			s.byLabel[label] = newTally()
		}
		s.byLabel[label].add(a)
	}
}

func (s *sums) summary(c Summarising) (out MethodSummary, err error) {
	out = s.MethodSummary
	if s.mixed {
		out.Target, out.Foil = "", ""
	}
	out.All = s.all.effects(c)
	const mostLabels = 20 // more are no labels, but answers
	if n := len(s.byLabel); n > 1 && n <= mostLabels {
		for _, label := range slices.Sorted(maps.Keys(s.byLabel)) {
			t := s.byLabel[label]
			out.Labels = append(out.Labels, ByLabel{Label: label, Items: t.items, Words: t.effects(c)})
		}
	}
	out.Inside, err = s.inside.summary()
	return out, err
}

// tally adds up the scores of words.
type tally struct {
	items int
	words map[string]*scores
}

// scores are those of one word: their number, sum and squares, and the squares and products of x, the sum of the word's
// scores in an item, and c, their number there.
type scores struct {
	n, items     int
	sum, squares float64
	xx, xc, cc   float64 // of the items before the last
	x, c         float64 // of the last item that it is in
	last         int     // which one that is
}

// fold ends the last item.
func (s *scores) fold() {
	s.xx, s.xc, s.cc = s.xx+s.x*s.x, s.xc+s.x*s.c, s.cc+s.c*s.c
	s.x, s.c = 0, 0
}

func newTally() *tally { return &tally{words: map[string]*scores{}} }

func (t *tally) add(a *explain.Attribution) {
	t.items++
	for i, f := range a.Features {
		word := strings.ToLower(strings.TrimSpace(f.Text))
		if word == "" {
			continue
		}
		s := t.words[word]
		if s == nil {
			s = &scores{}
			t.words[word] = s
		}
		if s.last != t.items {
			s.fold()
			s.last = t.items
			s.items++
		}
		x := a.Scores[i]
		s.n, s.sum, s.squares = s.n+1, s.sum+x, s.squares+x*x
		s.x, s.c = s.x+x, s.c+1
	}
}

// effect is what the scores come to. The error is that of a ratio of two sums over items, Σx / Σc = mean: the root of
// k/(k-1) Σ(x - mean c)², of k items, divided by Σc.
func (s scores) effect(word string) WordEffect {
	s.fold()
	n := float64(s.n)
	e := WordEffect{Word: word, Mean: s.sum / n, Count: s.n, Items: s.items}
	if s.n > 1 {
		e.Spread = math.Sqrt(max(0, s.squares-n*e.Mean*e.Mean) / (n - 1))
	}
	if k := float64(s.items); k > 1 {
		e.Error = math.Sqrt(max(0, s.xx-2*e.Mean*s.xc+e.Mean*e.Mean*s.cc)*k/(k-1)) / n
	}
	return e
}

// effects are the words that matter.
func (t *tally) effects(c Summarising) (out WordEffects) {
	out = WordEffects{For: []WordEffect{}, Against: []WordEffect{}}
	var all []WordEffect
	for _, word := range slices.Sorted(maps.Keys(t.words)) {
		if e := t.words[word].effect(word); e.Items >= c.Least {
			if out.Words++; e.sure() > 0 {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b WordEffect) int { return cmp.Compare(b.sure(), a.sure()) })
	for _, e := range all {
		switch {
		case e.Mean > 0 && len(out.For) < c.Top:
			out.For = append(out.For, e)
		case e.Mean < 0 && len(out.Against) < c.Top:
			out.Against = append(out.Against, e)
		}
	}
	return out
}

// sure is how far from 0 a mean is at least, about.
func (e WordEffect) sure() float64 { return math.Abs(e.Mean) - 2*e.Error }
