package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/lm"
)

// Method is a way to score the features of a problem.
type Method interface {
	// Name is the method's stable name, as on the command line.
	Name() string
	// Score runs the method. What breaks the method's own promise comes back with its scores, not as an error: whether
	// the promise holds is measured for all methods alike.
	Score(ctx context.Context, p *Problem) (Scores, error)
}

// Selective is a Method, or MatrixMethod, that does not suit every model or question.
type Selective interface {
	// Suits says why not, from what is known before the model runs, and what would do instead.
	Suits(m *lm.Model, q Question) error
}

// Suits says why a method does not suit a model or question; nil: nothing speaks against it before it runs.
func Suits(method any, m *lm.Model, q Question) error {
	if s, ok := method.(Selective); ok {
		return s.Suits(m, q)
	}
	return nil
}

// Scores is what a method found out about a problem.
type Scores struct {
	Values  []float64 // one a feature
	Spread  []float64 // standard errors, one a feature; nil: nothing was sampled or averaged
	Unit    string    // "": that of the objective
	Promise *Promise  // nil: the scores need not add up to anything
	// Base is what the objective is without any feature by the method's own account, and BaseOf what this number is, in
	// words; nil: Problem.Base.
	Base   *float64
	BaseOf string
	// Held is the part of Base that the method gives the tokens of Problem.Held; nil: it does not say.
	Held     *float64
	Settings any      // a struct of what the method ran with, which becomes JSON; nil: nothing to report
	Warnings []string // what is wrong with the scores, and what would cure it
}

// Promise is what the scores of a method must add up to.
type Promise struct {
	Total float64 `json:"total"`          // the sum that was promised, in the unit of the scores
	Of    string  `json:"of"`             // what this number is, in words: Difference, or the method's own
	Each  string  `json:"each,omitempty"` // of a matrix, what adds up to it: EachRow, Diagonal; "": all values together
	Cure  string  `json:"cure,omitempty"` // what to do where the promise is not kept
	// Totals is, of EachRow, the total of each row, where they differ; Total is their sum then.
	Totals []float64 `json:"totals,omitempty"`
}

// of returns the promise about list i of the values that must add up to a total each.
func (p Promise) of(i int) Promise {
	if p.Totals != nil {
		p.Total = p.Totals[i]
	}
	return p
}

// Difference is the promise that most methods make: the objective on the input minus the objective without any feature.
const Difference = "value - base"

// Explain answers a question by each of some methods: it prepares the question once, lets every method score it, and
// measures the evidence of all scores together. It stops at the first method that fails; one that does not suit the
// model or the question fails before anything runs. When ctx ends, the methods that have ended are returned with its
// error, as by [Problem.Attributions].
func Explain(ctx context.Context, m *lm.Model, q Question, methods ...Method) ([]*Attribution, error) {
	for _, method := range methods {
		if err := Suits(method, m, q); err != nil {
			return nil, err
		}
	}
	p, err := Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	var found []*Scored
	for _, method := range methods {
		s, err := p.Score(ctx, method)
		if err != nil && ctx.Err() != nil {
			as, _ := p.Attributions(ctx, found...)
			return as, err
		}
		if err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return p.Attributions(ctx, found...)
}

// Scored is what one method found out about a problem, before its evidence is measured.
type Scored struct {
	Method MethodInfo
	Scores
	cost      lm.Cost // of the method alone
	estimated int     // rows forward and backward that the method expected to run
	ran       string  // the method that did the work, where it chose another one
}

// Score runs one method, and checks that what it returns can be reported. With Attributions it is Explain in two steps,
// for who wants to go on where one of several methods fails.
func (p *Problem) Score(ctx context.Context, method Method) (*Scored, error) {
	if err := Suits(method, p.Model, p.Question); err != nil {
		return nil, err
	}
	before := p.cost
	p.begin(method.Name())
	s, err := method.Score(ctx, p)
	if err != nil {
		return nil, err
	}
	out := &Scored{Method: MethodInfo{Name: method.Name()}, Scores: s, cost: since(before, p.cost),
		estimated: p.work.estimate(p.cost), ran: p.work.name}
	if out.Method.Settings, err = settings(s.Settings); err != nil {
		return nil, err
	}
	if len(s.Values) != len(p.Features) {
		return nil, fmt.Errorf("%s: %d scores for %d features: the method must return one "+
			"each", method.Name(), len(s.Values), len(p.Features))
	}
	for i, x := range append(slices.Clone(s.Values), s.Spread...) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%s: the score of feature %d is %v: the model's weights or the baseline are too "+
				"large to compute with",
				method.Name(), i%len(s.Values), x)
		}
	}
	if out.Unit == "" {
		out.Unit = p.Unit
	}
	return out, nil
}

// settings returns a struct of settings as JSON, or nil where it says nothing.
func settings(of any) (json.RawMessage, error) {
	if of == nil {
		return nil, nil
	}
	s, err := json.Marshal(of)
	if err != nil || string(s) == "{}" {
		return nil, err
	}
	return s, nil
}

// since returns what was spent after before, up to now.
func since(before, now lm.Cost) lm.Cost {
	return lm.Cost{
		ForwardRows: now.ForwardRows - before.ForwardRows, BackwardRows: now.BackwardRows - before.BackwardRows,
		Seconds: now.Seconds - before.Seconds, CompileSeconds: now.CompileSeconds - before.CompileSeconds,
		Copied: now.Copied - before.Copied,
	}
}

// Attributions turns scores into attributions: it checks each method's promise, and measures on the model, for all of
// them together, whether the features that they name really matter. The cost of each is what it would have been alone.
// When ctx ends, the attributions are returned with its error: what of their evidence takes the model is not measured,
// which a warning says.
func (p *Problem) Attributions(ctx context.Context, found ...*Scored) ([]*Attribution, error) {
	if len(found) == 0 {
		return nil, nil
	}
	d, err := p.deletions(ctx, found)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	out := make([]*Attribution, len(found))
	for i, s := range found {
		a := p.attribution(s)
		a.complete(p.Question.Tolerance)
		cost, measured := p.prepared, 0
		cost.Add(s.cost)
		if err == nil {
			a.Evidence.Necessity, a.Evidence.Sufficiency = d.necessity(i), d.sufficiency(i)
			evidence := d.cost(i)
			cost.Add(evidence)
			measured = evidence.ForwardRows
		} else {
			a.Warnings = append(a.Warnings, "interrupted before it was measured what the model says without the top features")
		}
		if p.held != nil {
			held := *p.held
			held.Share = s.Held
			a.Evidence.Held = &held
		}
		a.Evidence.Float32 = p.float32
		p.doubt(a, s.ran)
		a.Warnings = append(a.Warnings, p.unknowns()...)
		a.Cost = Cost{ForwardRows: cost.ForwardRows, BackwardRows: cost.BackwardRows,
			EstimatedRows: s.estimated + p.prepared.ForwardRows + measured,
			Seconds:       cost.Seconds, CompileSeconds: cost.CompileSeconds}
		out[i] = a
	}
	return out, err
}

// attribution returns what a method found, without evidence and cost.
func (p *Problem) attribution(s *Scored) *Attribution {
	asked := p.asked()
	a := &Attribution{
		Schema: Schema, Method: s.Method, Objective: p.Question.Objective,
		Target: asked.Target, Foil: asked.Foil, Choice: asked.Choice, Answer: asked.Answer, FoilAnswer: asked.FoilAnswer,
		Any:      asked.Any,
		Baseline: p.Question.Baseline, Tokens: p.Tokens[:p.Input], Features: p.Features,
		Scores: s.Values, Spread: s.Spread, Unit: s.Unit, Value: p.Value, Base: p.Base(), Promise: s.Promise,
		Seed: p.Question.Seed, ModelHash: p.Model.Hash(), InputHash: p.inputHash(), Warnings: slices.Concat(s.Warnings,
			p.notes),
	}
	if s.Base != nil {
		a.Base, a.BaseOf = *s.Base, s.BaseOf
	}
	return a
}
