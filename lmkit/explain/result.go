package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Result is what a method found, before its evidence is measured.
type Result struct {
	Name      string
	Settings  any       // a struct that becomes the result's settings
	Scores    []float64 // one a feature
	Spread    []float64 // standard errors, or nil
	Unit      string    // "": that of the objective
	Complete  bool      // the method promises that the scores add up to
	Total     float64   // this
	Base      *float64  // where the method's own baselines give another base than the problem's
	Estimated int       // rows forward and backward that the method expected to run
	Cure      string    // what would cure a broken promise
	Warnings  []string
}

// Finish turns a method's result into an attribution: it checks the method's promise, and measures on the model
// whether the tokens that it names really matter.
func (p *Problem) Finish(ctx context.Context, r Result) (*Attribution, error) {
	a := &Attribution{
		Schema: Schema, Method: MethodInfo{Name: r.Name}, Objective: p.Objective, Target: p.token(p.Target), Baseline: p.Baseline,
		Tokens: p.Tokens, Features: p.Features, Scores: r.Scores, Spread: r.Spread, Unit: r.Unit, Value: p.Value, Base: p.Base(),
		Seed: p.Seed, ModelHash: p.Model.Hash(), InputHash: p.inputHash(), Warnings: r.Warnings,
	}
	if r.Settings != nil {
		s, err := json.Marshal(r.Settings)
		if err != nil {
			return nil, err
		}
		if string(s) != "{}" {
			a.Method.Settings = s
		}
	}
	if a.Unit == "" {
		a.Unit = p.Unit()
	}
	if r.Base != nil {
		a.Base = *r.Base
	}
	if p.Objective == Contrast {
		foil := p.token(p.Foil)
		a.Foil = &foil
	}
	for i, s := range append(slices.Clone(r.Scores), r.Spread...) {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, fmt.Errorf("%s: the score of feature %d is %v: the model's weights or the baseline are too large to compute with", r.Name, i%len(r.Scores), s)
		}
	}
	if r.Complete {
		p.checkTotal(a, r)
	}
	if err := p.measure(ctx, a); err != nil {
		return nil, err
	}
	if p.Target != p.choice {
		a.Warnings = append(a.Warnings, fmt.Sprintf("the model's first choice is %q, not the target %q", p.Model.TokenText(p.choice), a.Target.Text))
	}
	c := p.cost
	a.Cost = Cost{ForwardRows: c.ForwardRows, BackwardRows: c.BackwardRows, EstimatedRows: r.Estimated + p.overhead(), Seconds: c.Seconds, CompileSeconds: c.CompileSeconds}
	return a, nil
}

func (p *Problem) token(id token.ID) Token { return Token{ID: int(id), Text: p.Model.TokenText(id)} }

// checkTotal compares the sum of the scores with what it must be.
func (p *Problem) checkTotal(a *Attribution, r Result) {
	sum := 0.0
	for _, s := range r.Scores {
		sum += s
	}
	c := &Completeness{Error: sum - r.Total, Tolerance: p.Tolerance}
	c.Relative = math.Abs(c.Error) / max(math.Abs(r.Total), 1e-9)
	c.Holds = c.Relative <= c.Tolerance
	a.Evidence.Completeness = c
	if !c.Holds {
		w := fmt.Sprintf("the scores add up to %.4g, but should to %.4g: off by %.3g %%, where %.3g %% is allowed", sum, r.Total, 100*c.Relative, 100*c.Tolerance)
		if r.Cure != "" {
			w += "; " + r.Cure
		}
		a.Warnings = append(a.Warnings, w)
	}
}

// draws is how many random sets of features the top ones are compared with. With the two other rows they fill the
// smallest batch.
const draws = 6

// overhead is how many rows Prepare and Finish run.
func (p *Problem) overhead() int { return 1 + len(p.Baselines)*(1+2+draws) }

// measure deletes the top features, and all others, and as many at random, and looks what the model says then.
func (p *Problem) measure(ctx context.Context, a *Attribution) error {
	top := TopFeatures(a.Scores)
	var rest []int
	for i := range a.Scores {
		if !slices.Contains(top, i) {
			rest = append(rest, i)
		}
	}
	sets := [][]int{top, rest}
	for d := range draws {
		rng := rand.New(rand.NewPCG(p.Seed, uint64(d)))
		sets = append(sets, rng.Perm(len(a.Scores))[:len(top)])
	}
	var rs []Replacement
	for _, s := range sets {
		for b := range p.Baselines {
			rs = append(rs, Replacement{Features: s, Baseline: b})
		}
	}
	logits, err := p.logits(ctx, rs)
	if err != nil {
		return err
	}
	values := make([]float64, len(sets))
	for i := range sets {
		for b := range p.Baselines {
			values[i] += p.objective(logits[i*len(p.Baselines)+b]) / float64(len(p.Baselines))
		}
	}
	span := p.Value - p.Base()
	deletion := func(i int) *Deletion {
		d := &Deletion{Features: top, Value: values[i], Drop: p.Value - values[i]}
		d.Share = d.Drop / span
		if math.Abs(span) < 1e-9 {
			d.Share = 0
		}
		first := p.first(logits[i*len(p.Baselines)])
		d.Decision = p.Model.TokenText(first)
		d.Flips = p.choice == p.Target && first != p.Target
		return d
	}
	a.Evidence.Necessity, a.Evidence.Sufficiency = deletion(0), deletion(1)
	random := 0.0
	for _, v := range values[2:] {
		random += (p.Value - v) / draws
	}
	a.Evidence.Necessity.Random = random
	p.doubt(a, span)
	return nil
}

// doubt says in words what the evidence speaks against.
func (p *Problem) doubt(a *Attribution, span float64) {
	n := a.Evidence.Necessity
	var names []string
	for _, f := range n.Features {
		names = append(names, fmt.Sprintf("%q", a.Features[f].Text))
	}
	switch {
	case math.Abs(span) < 1e-6:
		a.Warnings = append(a.Warnings, fmt.Sprintf("the objective is the same on the input and on the baseline %s: there is nothing to attribute; choose another baseline", p.Baseline))
	case len(a.Scores) > 2*len(n.Features) && math.Abs(n.Drop) <= math.Abs(n.Random):
		a.Warnings = append(a.Warnings, fmt.Sprintf("deleting the top features (%s) changes the objective by %.3g, deleting as many at random by %.3g: do not rely on this ranking; compare it with occlusion", strings.Join(names, ", "), n.Drop, n.Random))
	}
}

func (p *Problem) first(logits []float32) token.ID {
	top := 0
	for i, v := range logits {
		if v > logits[top] {
			top = i
		}
	}
	return token.ID(top)
}

// TopFeatures is the fifth (rounded up) of the features with the largest scores, best first: those that speak most for
// the objective. Equal scores keep the order of the text.
func TopFeatures(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return order[:(len(scores)+4)/5]
}

// Cost is what the problem has cost so far.
func (p *Problem) Cost() lm.Cost { return p.cost }
