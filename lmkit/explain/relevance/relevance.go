// Package relevance explains a prediction by handing it back through the model, layer by layer, until the tokens have
// it.
//
// Layer-wise relevance propagation (the LRP family) shares out a logit, and needs no baseline; DeepLIFT shares out what
// sets the input apart from a baseline. All are one pass forward and backward, by rules in place of derivatives.
package relevance

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// AttnLRP is layer-wise relevance propagation for Transformers (Achtibat et al., 2024): both factors of a product of
// activations share equally, softmax passes relevance by its first-order expansion, activation functions pass it
// unchanged, LayerNorm's scale is a constant, linear layers share in proportion.
type AttnLRP struct{}

// Name implements explain.Method.
func (AttnLRP) Name() string { return "attn-lrp" }

// Suits implements explain.Selective: the rules are for one architecture, and share out logits.
func (x AttnLRP) Suits(m *lm.Model, q explain.Question) error {
	return suits(m, q, lm.AttnLRP, x.Name())
}

// Score implements explain.Method, as do all methods of the LRP family here, like this. Scores are the relevance of
// each feature's tokens where they enter the first layer: of token and position together in a Transformer, of the token
// embedding in an LSTM. Bias terms and other constants take relevance, too: Base is what they took (and a given state
// and tokens in no feature with them), so that the scores add up to Value-Base; whether they do is checked on every
// call. The objective must be in logits: contrast or logit. Cost: one row forward and backward.
func (x AttnLRP) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return propagate(ctx, p, lm.AttnLRP, x.Name())
}

// ScoreEach implements explain.EachToken. Cost: a row forward and backward a token.
func (x AttnLRP) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	return propagateEach(ctx, p, lm.AttnLRP, x.Name(), parts)
}

// CPLRP is conservative propagation for Transformers (Ali et al., 2022): as AttnLRP, but attention patterns are
// constants, so that all relevance goes through the values that are attended to.
type CPLRP struct{}

// Name implements explain.Method.
func (CPLRP) Name() string { return "cp-lrp" }

// Suits implements explain.Selective: the rules are for one architecture, and share out logits.
func (x CPLRP) Suits(m *lm.Model, q explain.Question) error { return suits(m, q, lm.CPLRP, x.Name()) }

// Score implements explain.Method; see AttnLRP.
func (x CPLRP) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return propagate(ctx, p, lm.CPLRP, x.Name())
}

// ScoreEach implements explain.EachToken. Cost: a row forward and backward a token.
func (x CPLRP) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	return propagateEach(ctx, p, lm.CPLRP, x.Name(), parts)
}

// LRP is layer-wise relevance propagation for LSTMs (Arras et al., 2017): linear layers and the sum in the cell share
// in proportion, stabilised by 0.001; of a gate times a signal the signal takes all.
type LRP struct{}

// Name implements explain.Method.
func (LRP) Name() string { return "lrp" }

// Suits implements explain.Selective: the rules are for one architecture, and share out logits.
func (x LRP) Suits(m *lm.Model, q explain.Question) error { return suits(m, q, lm.LRP, x.Name()) }

// Score implements explain.Method; see AttnLRP.
func (x LRP) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return propagate(ctx, p, lm.LRP, x.Name())
}

// ScoreEach implements explain.EachToken. Cost: a row forward and backward a token.
func (x LRP) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	return propagateEach(ctx, p, lm.LRP, x.Name(), parts)
}

// LRPHalf is LRP with the other rule for products (Arras et al., 2019): gate and signal take half each.
type LRPHalf struct{}

// Name implements explain.Method.
func (LRPHalf) Name() string { return "lrp-half" }

// Suits implements explain.Selective: the rules are for one architecture, and share out logits.
func (x LRPHalf) Suits(m *lm.Model, q explain.Question) error {
	return suits(m, q, lm.LRPHalf, x.Name())
}

// Score implements explain.Method; see AttnLRP.
func (x LRPHalf) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return propagate(ctx, p, lm.LRPHalf, x.Name())
}

// ScoreEach implements explain.EachToken. Cost: a row forward and backward a token.
func (x LRPHalf) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) ([]explain.Scores, error) {
	return propagateEach(ctx, p, lm.LRPHalf, x.Name(), parts)
}

// suits refuses an architecture that the rules are not for, and an objective that is not in logits.
func suits(m *lm.Model, q explain.Question, rules lm.Rules, name string) error {
	if err := rules.Check(m.Config()); err != nil {
		return err
	}
	if q.TwoTexts() || q.Any {
		return fmt.Errorf("%s shares out logits, and the objective is in probabilities: leave the foil out and choose the "+
			"objective logit, or the method deeplift", name)
	}
	if slices.Contains([]string{explain.LogProb, explain.Prob, explain.Loss}, q.Objective) {
		return fmt.Errorf("%s shares out logits, and the objective is %s: choose %s or %s, or the method deeplift",
			name, q.Objective, explain.Contrast, explain.Logit)
	}
	return nil
}

// propagate runs a method of the LRP family.
func propagate(ctx context.Context, p *explain.Problem, rules lm.Rules, name string) (explain.Scores, error) {
	all, err := propagateEach(ctx, p, rules, name, []explain.Part{{Objective: p.Objective, Value: p.Value}})
	if err != nil {
		return explain.Scores{}, err
	}
	return all[0], nil
}

// propagateEach runs a method of the LRP family on each part of the objective.
func propagateEach(
	ctx context.Context, p *explain.Problem, rules lm.Rules, name string, parts []explain.Part,
) (all []explain.Scores, err error) {
	tokens, states := entrance(p.Model), stateTaps(p)
	p.Expect(2 * len(parts))
	for chunk := range slices.Chunk(parts, max(8, heldNumbers/len(p.Embeddings.Data))) {
		q := lm.Query{Rows: p.Rows(len(chunk)), Wrt: append(states, tokens), Rules: rules}
		for _, x := range chunk {
			q.Of = append(q.Of, x.Objective)
		}
		a, err := p.Run(ctx, q)
		if err != nil {
			return nil, err
		}
		for k, x := range chunk {
			s, err := shares(p, a, k, x.Value, name)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// heldNumbers bounds the relevances that a query of many rows returns.
const heldNumbers = 64 << 20

// shares returns what a row of the answer says of the features' share of a value.
func shares(p *explain.Problem, a *lm.Answer, row int, value float64, name string) (explain.Scores, error) {
	tokens := entrance(p.Model)
	each := perToken(a.At[tokens].Index(row), nil, a.Grad[tokens].Index(row))
	scores := sums(p, each)
	size := floats.Norm(each, 1)
	if math.IsNaN(size) || math.IsInf(size, 0) {
		return explain.Scores{}, fmt.Errorf("%s: relevance grew beyond all numbers on its way back through this "+
			"model: use deeplift", name)
	}
	constants := a.Constants[row]
	base := constants + floats.Sum(each) - floats.Sum(scores)
	for _, s := range stateTaps(p) {
		base += dot(a.At[s].Index(row).Data, a.Grad[s].Index(row).Data)
	}
	promise := &explain.Promise{Total: value - base, Of: explain.Difference,
		Cure: "relevances that are much larger than their sum cancel, and rounding shows: compare with deeplift"}
	s := explain.Scores{Values: scores, Promise: promise, Base: &base, BaseOf: "what no feature is credited with"}
	if held := p.Held(); held != nil {
		sum := 0.0
		for _, t := range held {
			sum += each[t]
		}
		s.Held = &sum
	}
	switch {
	case size > 100*math.Abs(value):
		s.Warnings = append(s.Warnings, fmt.Sprintf("relevances of both signs, %.3g in all, share out a value of %.3g: "+
			"they grew on their way back, and say little; use deeplift", size, value))
	case math.Abs(constants) > math.Abs(value)/2:
		s.Warnings = append(s.Warnings, fmt.Sprintf("of the value %.3g, constants of the model (bias terms above "+
			"all) took %.3g, "+
			"which no token is credited with: compare with deeplift, where they take nothing", value, constants))
	}
	return s, nil
}

// entrance returns the activation at which tokens enter the first layer.
func entrance(m *lm.Model) lm.Tap {
	if m.Config().Recurrent() {
		return "embed"
	}
	return "block.0.resid.pre"
}

// stateTaps returns the activations of a given state.
func stateTaps(p *explain.Problem) []lm.Tap {
	if p.Question.State == nil {
		return nil
	}
	var taps []lm.Tap
	for l := range p.Model.Config().Layers {
		taps = append(taps, fmt.Sprintf("lstm.%d.state.hidden", l), fmt.Sprintf("lstm.%d.state.cell", l))
	}
	return taps
}

// perToken returns the sum over the dimensions of (x - base) * m, one a token, for arrays [T, D]; nil: base is zero.
func perToken(x lm.Array, base *lm.Array, m lm.Array) []float64 {
	out := make([]float64, x.Dims[0])
	for t := range out {
		out[t] = dot(x.Index(t).Data, m.Index(t).Data)
		if base != nil {
			out[t] -= dot(base.Index(t).Data, m.Index(t).Data)
		}
	}
	return out
}

// sums adds up tokens to features.
func sums(p *explain.Problem, each []float64) []float64 {
	out := make([]float64, len(p.Features))
	for f, feature := range p.Features {
		for _, t := range feature.Tokens {
			out[f] += each[t]
		}
	}
	return out
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
