// Package attention explains a prediction of a Transformer by what its tokens read of each other.
//
// Every method makes a matrix [T][T] over tokens, a row for each reader and a column for each token that is read; an
// attribution is the row of the last token, which makes the prediction, or the mean of the rows that predict the tokens
// of an answer (of grad-attention, their sum). Only grad-attention depends on what is predicted. Scores are shares;
// they do not promise to add up to a change of the prediction: read the evidence.
package attention

import (
	"context"
	"fmt"
	"strings"

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
	return lastRow(ctx, p, r)
}

// Matrix implements explain.MatrixMethod: values are [T][T]. Of one layer, the pattern of each of its heads is beside
// their mean.
func (x Raw) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	var each [][][]float64
	s, err := matrixBy(p, x, func() (mean [][]float64, err error) {
		mean, each, err = x.read(ctx, p)
		return mean, err
	})
	if err != nil {
		return s, err
	}
	s.About = "what each token reads, " + x.of()
	if len(each) > 1 {
		heads, _ := chosen("head", x.Heads, p.Model.Config().Heads)
		for i, pattern := range each {
			s.More = append(s.More, explain.Measure{Name: fmt.Sprintf("head %d", heads[i]), Unit: s.Unit, Values: pattern})
		}
	}
	return s, nil
}

// of says which layers and heads the mean is over.
func (r Raw) of() string {
	of := func(what string, chosen []int) string {
		switch len(chosen) {
		case 0:
			return "all " + what + "s"
		case 1:
			return fmt.Sprintf("%s %d", what, chosen[0])
		}
		return fmt.Sprintf("%ss %s", what, strings.Trim(fmt.Sprint(chosen), "[]"))
	}
	if len(r.Layers) == 1 && len(r.Heads) == 1 {
		return fmt.Sprintf("by head %d of layer %d", r.Heads[0], r.Layers[0])
	}
	return "the mean of " + of("head", r.Heads) + " of " + of("layer", r.Layers)
}

// weights returns the patterns' mean [T][T]. Rows add up to 1.
func (r Raw) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	mean, _, err := r.read(ctx, p)
	return mean, err
}

// read returns the patterns' mean [T][T], and of one layer those of its heads.
func (r Raw) read(ctx context.Context, p *explain.Problem) (mean [][]float64, each [][][]float64, err error) {
	layers, err := chosen("layer", r.Layers, p.Model.Config().Layers)
	if err != nil {
		return nil, nil, err
	}
	heads, err := chosen("head", r.Heads, p.Model.Config().Heads)
	if err != nil {
		return nil, nil, err
	}
	if len(layers) == 1 {
		if each, err = patternsOf(ctx, p, layers[0], heads); err != nil {
			return nil, nil, err
		}
		return Mean(each...), each, nil
	}
	all, err := patterns(ctx, p, layers, heads)
	if err != nil {
		return nil, nil, err
	}
	return Mean(all...), nil, nil
}

// patternsOf are the attention patterns [T][T] of some heads of a layer.
func patternsOf(ctx context.Context, p *explain.Problem, layer int, heads []int) (each [][][]float64, err error) {
	a, err := p.Run(ctx, lm.Query{Rows: [][]token.ID{p.IDs}, Taps: []lm.Tap{patternTap(layer)}})
	if err != nil {
		return nil, err
	}
	return ofHeads(a.At[patternTap(layer)], heads), nil
}

// ofHeads are the patterns [T][T] of some heads of a layer's [1, H, T, T].
func ofHeads(layer lm.Array, heads []int) (each [][][]float64) {
	for _, h := range heads {
		each = append(each, floats(layer.Index(0, h)))
	}
	return each
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
	return lastRow(ctx, p, r)
}

// Matrix implements explain.MatrixMethod: values are [T][T].
func (x Rollout) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	return matrix(ctx, p, x)
}

// weights returns the product [T][T]. Rows add up to 1.
func (Rollout) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
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
	return lastRow(ctx, p, f)
}

// Matrix implements explain.MatrixMethod: values are [T][T].
func (x Flow) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	return matrix(ctx, p, x)
}

// weights returns the normalised flows [T][T] from every token of the last layer: T times the cost of Score.
func (f Flow) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	return f.from(ctx, p, 0)
}

// from returns weights of which only the rows from one on are computed.
func (Flow) from(ctx context.Context, p *explain.Problem, first int) ([][]float64, error) {
	layers, err := mixed(ctx, p)
	if err != nil {
		return nil, err
	}
	x := make([][]float64, len(p.IDs))
	for i := first; i < len(x); i++ {
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

// Suits implements explain.Selective: the model must be a Transformer, and the objective about one text.
func (x Gradient) Suits(m *lm.Model, q explain.Question) error {
	if q.TwoTexts() {
		return fmt.Errorf("%s weighs the attention of one text, and two answers are contrasted: choose the "+
			"objective logprob and no foil, or the method deeplift", x.Name())
	}
	return suits(m, x.Name())
}

// Score implements explain.Method. Scores are in units of the objective to first order. Cost: one row forward and
// backward.
func (g Gradient) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(ctx, p, g)
}

// Matrix implements explain.MatrixMethod: values are [T][T].
func (x Gradient) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	return matrix(ctx, p, x)
}

// weights returns R [T][T].
func (Gradient) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	c := p.Model.Config()
	var taps []lm.Tap
	for l := range c.Layers {
		taps = append(taps, patternTap(l))
	}
	a, err := p.Evaluate(ctx, lm.Query{Rows: [][]token.ID{p.IDs}, Wrt: taps})
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

// method is what all methods here have in common: they weigh, for each token, what it reads of the others.
type method interface {
	explain.Method
	explain.MatrixMethod
	// weights is [T][T], a row for each token that reads and a column for each that is read.
	weights(ctx context.Context, p *explain.Problem) ([][]float64, error)
}

// matrix returns a method's weights with what they mean.
func matrix(ctx context.Context, p *explain.Problem, of method) (explain.MatrixScores, error) {
	return matrixBy(p, of, func() ([][]float64, error) { return of.weights(ctx, p) })
}

// matrixBy is matrix with weights that are found in another way.
func matrixBy(p *explain.Problem, of method, weights func() ([][]float64, error)) (explain.MatrixScores, error) {
	if p.Question.TwoTexts() {
		return explain.MatrixScores{}, fmt.Errorf("%s looks at the attention of one text, and two answers are contrasted: "+
			"leave the foil out", of.Name())
	}
	x, err := weights()
	if err != nil {
		return explain.MatrixScores{}, fmt.Errorf("%s: %w", of.Name(), err)
	}
	return meaning(p, of, x), nil
}

// meaning says what the weights of a method are.
func meaning(p *explain.Problem, of method, x [][]float64) explain.MatrixScores {
	s := explain.MatrixScores{Axes: [2]string{"reader", "read"}, Values: x, Unit: "share", Settings: of,
		Promise: &explain.Promise{Total: 1, Of: "the whole of what a token holds", Each: explain.EachRow}}
	for _, t := range p.Tokens {
		s.Rows, s.Columns = append(s.Rows, t.Text), append(s.Columns, t.Text)
	}
	if _, ok := of.(Gradient); ok {
		s.Unit, s.Promise = p.Unit, nil
		for t := range x { // what a token holds of itself, whatever the attention says
			x[t][t]--
		}
	}
	return s
}

// lastRow scores features by what the token reads that makes the prediction; of an answer of several, all that do.
func lastRow(ctx context.Context, p *explain.Problem, of method) (explain.Scores, error) {
	weights := of.weights
	if f, ok := of.(Flow); ok { // every row takes as long as the last one
		weights = func(ctx context.Context, p *explain.Problem) ([][]float64, error) {
			return f.from(ctx, p, p.Input-1)
		}
	}
	x, err := weights(ctx, p)
	if err != nil {
		return explain.Scores{}, fmt.Errorf("%s: %w", of.Name(), err)
	}
	m := meaning(p, of, x)
	s := explain.Scores{Values: make([]float64, len(p.Features)), Unit: m.Unit, Settings: of}
	places := p.Places()
	share := 1 / float64(len(places))
	if m.Promise == nil { // gradients by a sum are sums
		share = 1
	}
	for _, at := range places {
		for f, feature := range p.Features {
			for _, t := range feature.Tokens {
				s.Values[f] += share * m.Values[at][t]
			}
		}
	}
	return s, nil
}

// suits refuses a model without attention.
func suits(m *lm.Model, method string) error {
	if !m.Config().Attends() {
		return fmt.Errorf("%s: this model is an LSTM, which has no attention: use deeplift, lrp or "+
			"integrated-gradients", method)
	}
	return nil
}

func patternTap(layer int) lm.Tap { return in(layer, "attn.pattern") }

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
		out = append(out, Mean(ofHeads(a.At[tap], heads)...))
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

// chosen returns the given indices, or all n of them.
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
