package explain

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// complete compares the sum of the scores with what the method promises, and warns where it is not kept.
func (a *Attribution) complete(tolerance float64) {
	if a.Promise == nil {
		return
	}
	a.Evidence.Completeness = a.Promise.kept(a.Scores, tolerance)
	if w := a.Promise.broken(a.Evidence.Completeness); w != "" {
		a.Warnings = append(a.Warnings, w)
	}
}

// Kept reports whether the scores add up to what they promise, to within a relative tolerance; scores that promise
// nothing always do.
func (s Scores) Kept(tolerance float64) bool {
	return s.Promise == nil || s.Promise.kept(s.Values, tolerance).Holds
}

// kept compares the sum of some values with the promise.
func (p *Promise) kept(values []float64, tolerance float64) *Completeness {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	c := &Completeness{Error: sum - p.Total, Tolerance: tolerance}
	c.Relative = math.Abs(c.Error) / max(math.Abs(p.Total), 1e-9)
	c.Holds = c.Relative <= c.Tolerance
	return c
}

// broken says by how much the promise is broken, and what would cure it; "" where it holds.
func (p *Promise) broken(c *Completeness) string {
	if c.Holds {
		return ""
	}
	w := fmt.Sprintf("the scores add up to %.4g, but should to %.4g: off by %.3g %%, where %.3g %% is allowed",
		p.Total+c.Error, p.Total, 100*c.Relative, 100*c.Tolerance)
	if p.Each == EachRow {
		w = "in one of the rows, " + w
	}
	if p.Cure != "" {
		w += "; " + p.Cure
	}
	return w
}

// randomSets is how many random sets of features the top ones are compared with. With the two other rows they fill the
// smallest batch.
const randomSets = 6

// deletions is what the model says when the features that methods name, all others, or random ones are deleted.
type deletions struct {
	problem *Problem
	top     [][]int         // of each method: the features it names; where it names none, nothing is measured
	at      [][2]int        // of each method: where values and choices are without the top features, and with them alone
	values  []float64       // the objective, the mean over the baselines
	choices []token.ID      // the first choice, with the first baseline
	random  map[int]float64 // by the number of features: the mean drop of the objective without as many at random
	spent   lm.Cost         // for all methods
	rows    int
}

// deletions deletes, in one query, the top features of each method, and all others, and as many at random.
func (p *Problem) deletions(ctx context.Context, found []*Scored) (*deletions, error) {
	d := &deletions{problem: p, random: map[int]float64{}}
	var sets [][]int
	known := map[string]int{} // several methods often name the same features
	place := func(set []int) int {
		key := Only(len(p.Features), set...).Key()
		if _, ok := known[key]; !ok {
			known[key] = len(sets)
			sets = append(sets, set)
		}
		return known[key]
	}
	var sizes []int // of the random sets
	for _, s := range found {
		top := topFeatures(s.Values, p.Features, p.Tokens)
		d.top, d.at = append(d.top, top), append(d.at, [2]int{})
		if len(top) == 0 {
			continue
		}
		d.at[len(d.at)-1] = [2]int{place(top), place(Only(len(p.Features), top...).Absent())}
		if !slices.Contains(sizes, len(top)) {
			sizes = append(sizes, len(top))
		}
	}
	random := len(sets)
	for _, n := range sizes {
		sets = append(sets, p.drawn(n)...)
	}
	if len(sets) == 0 {
		return d, nil
	}
	if err := d.measure(ctx, sets); err != nil {
		return nil, err
	}
	for i, v := range d.values[random:] {
		d.random[sizes[i/randomSets]] += (p.Value - v) / randomSets
	}
	return d, nil
}

// drawn returns random sets of n of the features that a method could name.
func (p *Problem) drawn(n int) (sets [][]int) {
	from := slices.DeleteFunc(p.AllFeatures(), func(f int) bool {
		return p.Features[f].unknown(p.Tokens)
	})
	for k := range randomSets {
		rng := rand.New(rand.NewPCG(p.Question.Seed, uint64(k)))
		set := rng.Perm(len(from))[:n]
		for i := range set {
			set[i] = from[set[i]]
		}
		sets = append(sets, set)
	}
	return sets
}

// cost returns what the evidence of method i would have cost alone.
func (d *deletions) cost(i int) lm.Cost {
	if len(d.top[i]) == 0 {
		return lm.Cost{}
	}
	c := d.spent
	c.ForwardRows = (2 + randomSets) * len(d.problem.Baselines)
	c.Seconds *= float64(c.ForwardRows) / float64(d.rows)
	return c
}

// measure asks the model for all sets of absent features.
func (d *deletions) measure(ctx context.Context, sets [][]int) error {
	p := d.problem
	var rs []Replacement
	for _, s := range sets {
		for b := range p.Baselines {
			rs = append(rs, Replacement{Features: s, Baseline: b})
		}
	}
	before := p.cost
	p.begin("measuring the evidence")
	values, logits, err := p.look(ctx, rs)
	if err != nil {
		return err
	}
	n := len(p.Baselines)
	d.values = make([]float64, len(sets))
	for i := range sets {
		for b := range n {
			d.values[i] += values[i*n+b] / float64(n)
		}
		d.choices = append(d.choices, Best(logits[i*n]))
	}
	d.spent, d.rows = since(before, p.cost), len(rs)
	return nil
}

// necessity returns the evidence of method i: what is left of the objective without its top features, and without
// random ones; nil where it names none.
func (d *deletions) necessity(i int) *Deletion {
	out := d.deletion(i, d.at[i][0])
	if out != nil {
		random := d.random[len(d.top[i])]
		out.Random = &random
	}
	return out
}

// sufficiency returns the evidence of method i: what is left of the objective with nothing but its top features.
func (d *deletions) sufficiency(i int) *Deletion { return d.deletion(i, d.at[i][1]) }

func (d *deletions) deletion(method, at int) *Deletion {
	if len(d.top[method]) == 0 {
		return nil
	}
	p := d.problem
	out := &Deletion{Features: d.top[method], Value: d.values[at], Drop: p.Value - d.values[at],
		Decision: p.Model.TokenText(d.choices[at])}
	if span := p.Value - p.Base(); math.Abs(span) >= 1e-9 {
		share := out.Drop / span
		out.Share = &share
	}
	out.Flips = p.begins(p.choice) && !p.begins(d.choices[at])
	if len(p.Baselines) > 1 {
		out.Baseline = p.Baselines[0].Name
	}
	return out
}

// doubt says in words what the evidence speaks against. ran is the method that gave the scores.
func (p *Problem) doubt(a *Attribution, ran string) {
	n := a.Evidence.Necessity
	warn := func(format string, args ...any) { a.Warnings = append(a.Warnings, fmt.Sprintf(format, args...)) }
	switch {
	case math.Abs(p.Value-p.Base()) < 1e-6:
		warn("the objective is the same on the input and on the baseline %s: "+
			"there is nothing to attribute; choose another baseline", p.Question.Baseline)
	case n == nil || len(a.Scores) <= 2*len(n.Features):
	case n.Drop < 0 && a.signed():
		warn("deleting the top features (%s) %s, though their scores say that they speak for it: "+
			"do not rely on this ranking; compare it with %s", a.named(n.Features), moves(n.Drop), another(ran))
	case math.Abs(n.Drop) <= math.Abs(*n.Random):
		warn("deleting the top features (%s) %s, deleting as many at random %s: do not rely on this ranking; "+
			"compare it with %s", a.named(n.Features), moves(n.Drop), moves(*n.Random), another(ran))
	}
}

// signed reports whether scores say for or against, rather than how much: some are below 0, or they add up to a number
// that may be.
func (a *Attribution) signed() bool {
	return a.Promise != nil || slices.ContainsFunc(a.Scores, func(s float64) bool { return s < 0 })
}

// named returns the texts of some features, at most mostNamed of them.
func (a *Attribution) named(features []int) string {
	var names []string
	for _, f := range features[:min(len(features), mostNamed)] {
		names = append(names, fmt.Sprintf("%q", a.Features[f].Text))
	}
	return listed(names, len(features))
}

// listed returns a list of names, and how many of all are left out.
func listed(names []string, all int) string {
	text := strings.Join(names, ", ")
	if more := all - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// moves says what a deletion does to the objective, which drops by so much.
func moves(drop float64) string {
	switch {
	case drop > 0:
		return fmt.Sprintf("lowers the objective by %.3g", drop)
	case drop < 0:
		return fmt.Sprintf("raises the objective by %.3g", -drop)
	}
	return "leaves the objective as it is"
}

// another returns a method that a ranking by the method of a name can be compared with.
func another(name string) string {
	if name == "occlusion" {
		return "leave-one-out"
	}
	return "occlusion"
}

// Top returns the features that the evidence is about: the [TopFeatures] of those of which the model knows a token.
func (a *Attribution) Top() []int { return topFeatures(a.Scores, a.Features, a.Tokens) }

func topFeatures(scores []float64, features []Feature, tokens []InputToken) []int {
	known := slices.Clone(scores)
	for f := range known {
		if features[f].unknown(tokens) {
			known[f] = 0
		}
	}
	return TopFeatures(known)
}

// TopFeatures returns the features with the largest scores, which speak most for the objective, best first. They are
// at most a fifth (rounded up) of all, and have scores above 0. Equal scores keep the order of the text.
func TopFeatures(scores []float64) []int {
	var order []int
	for f, s := range scores {
		if s > 0 {
			order = append(order, f)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order[:min(len(order), (len(scores)+4)/5)]
}

// unknown reports whether a feature has tokens, and the model knows none of them.
func (f Feature) unknown(tokens []InputToken) bool {
	return len(f.Tokens) > 0 && !slices.ContainsFunc(f.Tokens, func(t int) bool { return !tokens[t].Unknown })
}
