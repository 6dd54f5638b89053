// Package attention explains a prediction of a Transformer by what its tokens read of each other.
//
// Every method makes a matrix [T][T] over tokens, a row for each reader and a column for each token that is read; an
// attribution is the row of the last token, which makes the prediction. Only grad-attention depends on what is
// predicted. Scores are shares; they do not promise to add up to a change of the prediction: read the evidence.
package attention

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// The names of the methods.
const (
	rawName          = "attention"
	rolloutName      = "rollout"
	flowName         = "attention-flow"
	gradientName     = "grad-attention"
	valueZeroingName = "value-zeroing"
	normName         = "norm-attention"
	altiName         = "alti"
)

// Raw is the attention patterns, averaged.
type Raw struct {
	Layers []int `json:"layers,omitempty"` // nil: all
	Heads  []int `json:"heads,omitempty"`  // nil: all
}

// Name implements explain.Method.
func (Raw) Name() string { return rawName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x Raw) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Cost: one row forward.
func (r Raw) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(p, r, func() (answer, error) { return r.answer(ctx, p) })
}

// Matrix is the patterns' mean [T][T]. Rows add up to 1.
func (r Raw) Matrix(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	a, err := r.answer(ctx, p)
	return a.matrix, err
}

func (r Raw) answer(ctx context.Context, p *explain.Problem) (answer, error) {
	layers, err := chosen("layer", r.Layers, p.Model.Config().Layers)
	if err != nil {
		return answer{}, err
	}
	heads, err := chosen("head", r.Heads, p.Model.Config().Heads)
	if err != nil {
		return answer{}, err
	}
	patterns, err := patterns(ctx, p, layers, heads)
	if err != nil {
		return answer{}, err
	}
	return answer{Mean(patterns...), 1}, nil
}

// Rollout is attention rollout (Abnar and Zuidema, 2020): the product over all layers of the mean pattern mixed
// half and half with the residual connection.
type Rollout struct{}

// Name implements explain.Method.
func (Rollout) Name() string { return rolloutName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x Rollout) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Cost: one row forward.
func (r Rollout) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(p, r, func() (answer, error) {
		x, err := r.Matrix(ctx, p)
		return answer{x, 1}, err
	})
}

// Matrix is the product [T][T]. Rows add up to 1.
func (Rollout) Matrix(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	layers, err := mixed(ctx, p)
	if err != nil {
		return nil, err
	}
	return Product(layers), nil
}

// Flow is attention flow (Abnar and Zuidema, 2020): the largest flow from a token of the last layer to each token
// of the input, through edges as wide as the mean pattern mixed half and half with the residual connection. Flows of a
// row are normalised to add up to 1.
type Flow struct{}

// Name implements explain.Method.
func (Flow) Name() string { return flowName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x Flow) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Cost: one row forward, and T maximum flows through T*T/2 edges a layer.
func (f Flow) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(p, f, func() (answer, error) {
		layers, err := mixed(ctx, p)
		if err != nil {
			return answer{}, err
		}
		T := len(p.IDs)
		flows, err := MaxFlow(ctx, layers, T-1)
		x := make([][]float64, T)
		x[T-1] = flows
		return answer{x, 1}, err
	})
}

// Matrix is the normalised flows [T][T] from every token of the last layer: T times the cost of Explain.
func (Flow) Matrix(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	layers, err := mixed(ctx, p)
	if err != nil {
		return nil, err
	}
	x := make([][]float64, len(p.IDs))
	for i := range x {
		if x[i], err = MaxFlow(ctx, layers, i); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// Gradient is gradient-weighted attention (Chefer et al., 2021): layer by layer R = R + mean over heads of the positive
// part of pattern times gradient, times R, from R = identity. Scores leave out the identity, which is what a token
// holds of itself whatever the attention says.
type Gradient struct{}

// Name implements explain.Method.
func (Gradient) Name() string { return gradientName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x Gradient) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Scores are in units of the objective to first order. Cost: one row forward and
// backward.
func (g Gradient) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(p, g, func() (answer, error) {
		x, err := g.Matrix(ctx, p)
		if err == nil {
			T := len(x)
			x[T-1][T-1]--
		}
		return answer{x, 2}, err
	})
}

// Matrix is R [T][T].
func (Gradient) Matrix(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	c := p.Model.Config()
	var taps []lm.Tap
	for l := range c.Layers {
		taps = append(taps, patternTap(l))
	}
	a, err := p.Run(ctx, lm.Query{Rows: [][]token.ID{p.IDs}, Of: []lm.Objective{p.Objective}, Wrt: taps})
	if err != nil {
		return nil, err
	}
	T := len(p.IDs)
	var layers [][][]float64
	for _, tap := range taps {
		layer := square(T)
		for h := range c.Heads {
			x, g := a.At[tap].Index(0, h), a.Grad[tap].Index(0, h)
			for i := range T {
				for j := range i + 1 {
					layer[i][j] += max(0, float64(x.Index(i).Data[j])*float64(g.Index(i).Data[j])) / float64(c.Heads)
				}
			}
		}
		layers = append(layers, layer)
	}
	return Accumulate(layers), nil
}

// answer is what a method made: the matrix [T][T], of which only the last row need be there, and the rows of the model
// that the method expected to run for it.
type answer struct {
	matrix    [][]float64
	estimated int
}

// suits refuses a model without attention.
func suits(m *lm.Model, method string) error {
	if !m.Config().Attends() {
		return fmt.Errorf("%s: this model is an LSTM, which has no attention: use deeplift, lrp or integrated-gradients", method)
	}
	return nil
}

// lastRow scores features by the last row of a method's matrix: what the token that makes the prediction reads.
func lastRow(p *explain.Problem, of explain.Method, matrix func() (answer, error)) (explain.Scores, error) {
	a, err := matrix()
	if err != nil {
		return explain.Scores{}, fmt.Errorf("%s: %w", of.Name(), err)
	}
	s := explain.Scores{Values: make([]float64, len(p.Features)), Unit: "share", Settings: of, Estimated: a.estimated}
	if of.Name() == gradientName {
		s.Unit = p.Unit
	}
	last := a.matrix[len(p.IDs)-1]
	for f, feature := range p.Features {
		for _, t := range feature.Tokens {
			s.Values[f] += last[t]
		}
	}
	return s, nil
}

func patternTap(layer int) lm.Tap { return fmt.Sprintf("block.%d.attn.pattern", layer) }

// patterns is, for each of some layers, the mean over some heads of the attention patterns [T][T].
func patterns(ctx context.Context, p *explain.Problem, layers, heads []int) ([][][]float64, error) {
	var taps []lm.Tap
	for _, l := range layers {
		taps = append(taps, patternTap(l))
	}
	a, err := p.Run(ctx, lm.Query{Rows: [][]token.ID{p.IDs}, Taps: taps})
	if err != nil {
		return nil, err
	}
	var out [][][]float64
	for _, tap := range taps {
		var each [][][]float64
		for _, h := range heads {
			each = append(each, floats(a.At[tap].Index(0, h)))
		}
		out = append(out, Mean(each...))
	}
	return out, nil
}

// mixed is, for each layer, the mean pattern with the residual connection.
func mixed(ctx context.Context, p *explain.Problem) ([][][]float64, error) {
	c := p.Model.Config()
	layers, err := patterns(ctx, p, numbers(c.Layers), numbers(c.Heads))
	for l := range layers {
		layers[l] = Mixed(layers[l])
	}
	return layers, err
}

// chosen is the given indices, or all n of them.
func chosen(what string, given []int, n int) ([]int, error) {
	if given == nil {
		return numbers(n), nil
	}
	if len(given) == 0 {
		return nil, fmt.Errorf("no %s is chosen; leave the choice out for all", what)
	}
	for _, i := range given {
		if i < 0 || i >= n {
			return nil, fmt.Errorf("there is no %s %d; there are 0 to %d", what, i, n-1)
		}
	}
	return given, nil
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// floats copies an array [N, M].
func floats(a lm.Array) [][]float64 {
	out := make([][]float64, a.Dims[0])
	for i := range out {
		for _, v := range a.Index(i).Data {
			out[i] = append(out[i], float64(v))
		}
	}
	return out
}
