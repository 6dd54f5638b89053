package explain

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/lm"
)

// EachToken is a Method that can score every token of an answer by itself, all of them in the same queries.
type EachToken interface {
	Method
	// ScoreEach returns the scores of the problem's features for each part of its objective, each with its own promise.
	ScoreEach(ctx context.Context, p *Problem, parts []Part) ([]Scores, error)
}

// Part is the share of an objective that is about one token of an answer.
type Part struct {
	Objective lm.Objective
	Value     float64   // on the input
	Bases     []float64 // on each baseline, which stands for the answer's tokens, too
}

// Base returns the part on the baseline: the mean over the baselines.
func (x Part) Base() float64 { return mean(x.Bases) }

// PerToken is the scores of each token of an answer (rows) for each feature of the input and each token of the answer
// before it (columns): what in the source, and in what has been said, made this word. Attribution is by one method that
// is an EachToken.
type PerToken struct {
	Method Method `json:"-"`
	By     string `json:"method"`             // filled in
	With   any    `json:"settings,omitempty"` // the method's; filled in
}

// Name implements MatrixMethod.
func (PerToken) Name() string { return "answer" }

// Compare returns the matrix by a method, which must be the only one.
func (x PerToken) Compare(methods ...Method) MatrixMethod {
	if len(methods) == 1 {
		x.Method = methods[0]
	}
	return x
}

// Suits implements Selective: there must be one method, which can score each token by itself, and one answer.
func (x PerToken) Suits(m *lm.Model, q Question) error {
	if x.Method == nil {
		return fmt.Errorf("the matrix %s is by one method: name one, such as integrated-gradients or occlusion", x.Name())
	}
	if _, ok := x.Method.(EachToken); !ok {
		return fmt.Errorf("%s does not score the tokens of an answer by themselves; these do: integrated-gradients, "+
			"deeplift, occlusion, saliency, input-x-gradient, attn-lrp, cp-lrp, lrp and lrp-half", x.Method.Name())
	}
	if q.TwoTexts() || q.Any {
		return fmt.Errorf("the matrix %s is about the tokens of one answer: give one target, and no foil", x.Name())
	}
	return Suits(x.Method, m, q)
}

// Matrix implements MatrixMethod. Values are [K][M+K-1], for K tokens of the answer and M features; those of tokens
// that do not come before the row's are 0. Where the method makes a promise, each row keeps it by itself: it adds up to
// the token's own objective minus what that is with all features and all of the answer before it replaced. Cost: the
// method's for each token, and up to K + 20 rows forward for the evidence of the rows.
func (x PerToken) Matrix(ctx context.Context, p *Problem) (MatrixScores, error) {
	whole := p.withAnswer()
	defer func() { p.cost, p.work = whole.cost, whole.work }()
	parts, err := whole.answerParts(ctx)
	if err != nil {
		return MatrixScores{}, err
	}
	before := whole.cost
	whole.begin(x.Method.Name())
	found, err := x.Method.(EachToken).ScoreEach(ctx, whole, parts)
	if err != nil {
		return MatrixScores{}, err
	}
	expected := rows(since(p.work.before, before)) + whole.work.estimate(whole.cost)
	x.By, x.With = x.Method.Name(), found[0].Settings
	out := MatrixScores{Axes: [2]string{"answer", "token"}, Settings: x, Unit: found[0].Unit}
	for _, f := range whole.Features {
		out.Columns = append(out.Columns, f.Text)
	}
	for _, t := range p.continuation(p.Target) {
		out.Rows = append(out.Rows, t.Text)
	}
	base := 0.0
	var warned []int
	out.Base = &base
	for k, s := range found {
		clear(s.Values[len(p.Features)+k:]) // what comes after the token
		out.Values = append(out.Values, s.Values)
		out.RowValues = append(out.RowValues, parts[k].Value)
		if len(s.Warnings) > 0 {
			warned = append(warned, k)
		}
		if s.Spread != nil {
			out.Spread = append(out.Spread, s.Spread)
		}
		if s.Base != nil {
			base += *s.Base
		} else {
			base += parts[k].Base()
		}
		if s.Promise == nil {
			continue
		}
		if out.Promise == nil {
			out.Promise = &Promise{Of: s.Promise.Of, Each: EachRow, Cure: s.Promise.Cure}
		}
		out.Promise.Total += s.Promise.Total
		out.Promise.Totals = append(out.Promise.Totals, s.Promise.Total)
	}
	if len(warned) > 0 {
		k := warned[0]
		out.Warnings = append(out.Warnings, fmt.Sprintf("in %d of %d rows, of which the first is %q: %s", len(warned),
			len(found), out.Rows[k], strings.Join(found[k].Warnings, "; ")))
	}
	if out.Evidence, err = whole.rowEvidence(ctx, parts, out.Values); err != nil {
		return MatrixScores{}, err
	}
	whole.work.expect = expected + rows(since(whole.work.before, whole.cost)) // of all three
	sum := 0.0
	for _, v := range out.RowValues {
		sum += v
	}
	out.Identities = []Identity{NewIdentity("the rows' objectives add up to the answer's", p.Value, sum,
		1e-4*max(1, math.Abs(p.Value)))}
	return out, nil
}

// withAnswer is the problem with each of the answer's tokens, but for the last, as a feature of its own.
func (p *Problem) withAnswer() *Problem {
	out := *p
	out.Features = slices.Clone(p.Features)
	for k, t := range p.continuation(p.Target)[:len(p.IDs)-p.Input] {
		out.Features = append(out.Features, Feature{Text: t.Text, Tokens: []int{p.Input + k}})
	}
	return &out
}

// answerParts are those of the objective: one for each token of the answer.
func (p *Problem) answerParts(ctx context.Context) ([]Part, error) {
	parts := []Part{{Objective: p.Objective}} // of one token, which may have a foil
	if len(p.Target) > 1 {
		parts = nil
		for _, t := range p.Objective.Terms {
			parts = append(parts, Part{Objective: lm.Objective{Unit: p.Objective.Unit, Terms: []lm.Term{t}}})
		}
	}
	sets := []Replacement{{}}
	for b := range p.Baselines {
		sets = append(sets, Replacement{Features: p.AllFeatures(), Baseline: b})
	}
	values, err := p.PartValues(ctx, parts, sets)
	if err != nil {
		return nil, err
	}
	for k := range parts {
		parts[k].Value = values[0][k]
		for b := range p.Baselines {
			parts[k].Bases = append(parts[k].Bases, values[1+b][k])
		}
	}
	return parts, nil
}

// PartValues returns each part of the objective under each replacement, [sets][parts]: a row a set, whatever the number
// of the parts.
func (p *Problem) PartValues(ctx context.Context, parts []Part, sets []Replacement) ([][]float64, error) {
	q := p.rows(sets)
	of := lm.Objective{Unit: p.Objective.Unit}
	for _, x := range parts {
		of.Terms = append(of.Terms, x.Objective.Terms...)
	}
	q.Of, q.Each = []lm.Objective{of}, true
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(sets))
	for i, each := range a.Each {
		for _, x := range parts {
			sum := 0.0
			for _, t := range x.Objective.Terms {
				sum += t.Weight * each[0]
				each = each[1:]
			}
			out[i] = append(out[i], sum)
		}
	}
	return out, nil
}

// RowEvidence is what speaks for one row of a matrix, measured on the model.
type RowEvidence struct {
	Completeness *Completeness `json:"completeness,omitempty"` // nil: the method makes no such promise
	// Top is the column with the largest score above 0 of a token that the model knows; -1: there is none, and nothing
	// more was measured.
	Top    int     `json:"top"`
	Drop   float64 `json:"drop"`   // of the row's objective, when the baseline takes the place of that column
	Random float64 `json:"random"` // the mean drop for the other columns, or for some of them drawn at random
}

// mostProbed is how many columns are drawn at random for the evidence of rows.
const mostProbed = 16

// rowEvidence deletes the column that each row names, and random ones, one at a time, for all rows together.
func (p *Problem) rowEvidence(ctx context.Context, parts []Part, values [][]float64) ([]RowEvidence, error) {
	n := len(p.Features) - len(parts) + 1 // columns of the input
	out := make([]RowEvidence, len(parts))
	var probed []int
	for k := range parts {
		out[k].Top = -1
		if top := topFeatures(values[k][:n+k], p.Features, p.Tokens); len(top) > 0 {
			out[k].Top = top[0]
			probed = append(probed, top[0])
		}
	}
	rng := rand.New(rand.NewPCG(p.Question.Seed, 0))
	drawn := rng.Perm(len(p.Features))
	drawn = drawn[:min(mostProbed, len(drawn))]
	probed = slices.Compact(slices.Sorted(slices.Values(append(probed, drawn...))))
	var sets []Replacement
	for _, f := range probed {
		for b := range p.Baselines {
			sets = append(sets, Replacement{Features: []int{f}, Baseline: b})
		}
	}
	p.begin("measuring the evidence")
	without, err := p.PartValues(ctx, parts, sets)
	if err != nil {
		return nil, err
	}
	for k := range out {
		others := 0
		for i, f := range probed {
			if f >= n+k {
				continue // it comes after the row's token
			}
			drop := parts[k].Value
			for b := range p.Baselines {
				drop -= without[i*len(p.Baselines)+b][k] / float64(len(p.Baselines))
			}
			if f == out[k].Top {
				out[k].Drop = drop
			} else if slices.Contains(drawn, f) {
				out[k].Random += drop
				others++
			}
		}
		out[k].Random /= float64(max(1, others))
	}
	return out, nil
}
