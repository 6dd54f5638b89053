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
	top     [][]int    // of each method: the features it names
	at      [][2]int   // of each method: where values and choices are without the top features, and with nothing but them
	values  []float64  // the objective, the mean over the baselines
	choices []token.ID // the first choice, with the first baseline
	random  float64    // the mean drop of the objective without random features
	cost    lm.Cost    // for one method, had it been alone
}

// deletions deletes, in one query, the top features of each method, and all others, and as many at random.
func (p *Problem) deletions(ctx context.Context, found []*Scored) (*deletions, error) {
	d := &deletions{problem: p}
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
	for _, s := range found {
		top := TopFeatures(s.Values)
		d.top = append(d.top, top)
		d.at = append(d.at, [2]int{place(top), place(Only(len(p.Features), top...).Absent())})
	}
	random := len(sets)
	for k := range randomSets {
		rng := rand.New(rand.NewPCG(p.Question.Seed, uint64(k)))
		sets = append(sets, rng.Perm(len(p.Features))[:len(d.top[0])])
	}
	if err := d.measure(ctx, sets); err != nil {
		return nil, err
	}
	for _, v := range d.values[random:] {
		d.random += (p.Value - v) / randomSets
	}
	return d, nil
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
	d.cost = since(before, p.cost)
	alone := (2 + randomSets) * n
	d.cost.Seconds *= float64(alone) / float64(len(rs))
	d.cost.ForwardRows = alone
	return nil
}

// necessity returns the evidence of method i: what is left of the objective without its top features, and without
// random ones.
func (d *deletions) necessity(i int) *Deletion {
	out := d.deletion(i, d.at[i][0])
	random := d.random
	out.Random = &random
	return out
}

// sufficiency returns the evidence of method i: what is left of the objective with nothing but its top features.
func (d *deletions) sufficiency(i int) *Deletion { return d.deletion(i, d.at[i][1]) }

func (d *deletions) deletion(method, at int) *Deletion {
	p := d.problem
	span := p.Value - p.Base()
	out := &Deletion{Features: d.top[method], Value: d.values[at], Drop: p.Value - d.values[at],
		Decision: p.Model.TokenText(d.choices[at])}
	out.Share = out.Drop / span
	if math.Abs(span) < 1e-9 {
		out.Share = 0
	}
	out.Flips = p.choice == p.Target && d.choices[at] != p.Target
	if len(p.Baselines) > 1 {
		out.Baseline = p.Baselines[0].Name
	}
	return out
}

// doubt says in words what the evidence speaks against.
func (p *Problem) doubt(a *Attribution) {
	n := a.Evidence.Necessity
	if n == nil {
		return
	}
	var names []string
	for _, f := range n.Features {
		names = append(names, fmt.Sprintf("%q", a.Features[f].Text))
	}
	switch {
	case math.Abs(p.Value-p.Base()) < 1e-6:
		a.Warnings = append(a.Warnings, fmt.Sprintf("the objective is the same on the input and on the baseline %s: "+
			"there is nothing to attribute; choose another baseline", p.Question.Baseline))
	case len(a.Scores) > 2*len(n.Features) && math.Abs(n.Drop) <= math.Abs(*n.Random):
		a.Warnings = append(a.Warnings, fmt.Sprintf("deleting the top features (%s) changes the objective by %.3g, "+
			"deleting as many at random by %.3g: do not rely on this ranking; compare it with occlusion",
			strings.Join(names, ", "), n.Drop, *n.Random))
	}
}

// TopFeatures returns the fifth (rounded up) of the features with the largest scores, best first: those that speak
// most for the objective. Equal scores keep the order of the text.
func TopFeatures(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order[:(len(scores)+4)/5]
}
