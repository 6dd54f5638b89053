package gradient

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Activation is integrated gradients at any activation of the model (layer integrated gradients; for heads, Hao et
// al., 2021): on the straight line from what the activation is on the baseline to what it is on the input, all else
// following. Scores add up to f(x) minus f of x with the activation as on the baseline.
type Activation struct {
	// such as block.1.attn.z (tokens by heads), block.2.resid.pre, lstm.0.cell
	Tap lm.Tap `json:"tap"`
	// points of one Gauss-Legendre rule; 0: doubled until the error is below the tolerance
	Steps    int `json:"steps,omitempty"`
	MaxSteps int `json:"max_steps,omitempty"` // bound of the doubling; 0: 256
}

// Name implements explain.MatrixMethod.
func (Activation) Name() string { return "activation" }

// Suits implements explain.Selective: the activation must exist, and be computed from tokens, and the objective be
// about one text.
func (x Activation) Suits(m *lm.Model, q explain.Question) error {
	if err := oneText(x.Name(), q); err != nil {
		return err
	}
	if err := checkSteps(x.Name(), x.Steps, x.MaxSteps); err != nil {
		return err
	}
	info, err := m.Tap(x.Tap)
	if err == nil && !strings.Contains(info.Axes, "T") {
		err = fmt.Errorf("%s: %s is not computed from tokens: choose another activation", x.Name(), x.Tap)
	}
	return err
}

// Matrix implements explain.MatrixMethod. Values are [T][H] where the activation has heads, and else [T][1]; features
// of the activation (and, of attention patterns, the tokens read) are summed. Several baselines are averaged. Cost:
// Steps rows forward and backward, a baseline, and two forward.
func (x Activation) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	found, err := atActivations(ctx, p, []lm.Tap{x.Tap}, x.Steps, x.MaxSteps)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	f := found[0]
	s := explain.MatrixScores{
		Axes: [2]string{"token", "all"}, Rows: texts(p.Tokens), Columns: []string{"all"}, Values: f.scores, Base: &f.base,
		Settings: x,
		Promise:  &explain.Promise{Total: p.Value - f.base, Of: asOnBaseline, Cure: cure(x.Steps)},
	}
	if f.info.Heads() > 0 {
		s.Axes[1], s.Columns = "head", nil
		for h := range f.scores[0] {
			s.Columns = append(s.Columns, f.info.HeadName(h))
		}
	}
	return s, nil
}

// asOnBaseline is what the scores at one activation add up to.
const asOnBaseline = "value - value with the activation as on the baseline"

// Layers is integrated gradients at the way into and out of every layer: how much of the prediction goes through each
// token there. At the input a token has what integrated gradients give it; from layer to layer its share moves to the
// tokens that read it, until all is at the last one.
type Layers struct {
	// points of one Gauss-Legendre rule, a layer; 0: doubled until the error is below the tolerance
	Steps    int `json:"steps,omitempty"`
	MaxSteps int `json:"max_steps,omitempty"` // bound of the doubling; 0: 256
}

// Name implements explain.MatrixMethod.
func (Layers) Name() string { return "layers" }

// Suits implements explain.Selective: the objective must be about one text.
func (x Layers) Suits(_ *lm.Model, q explain.Question) error {
	if err := oneText(x.Name(), q); err != nil {
		return err
	}
	return checkSteps(x.Name(), x.Steps, x.MaxSteps)
}

// Matrix implements explain.MatrixMethod. Values are [L+1][T]: the input, then the output of each layer. Every row
// adds up to value - base by itself, since nothing goes past a layer's output. Cost: as Activation, for each row.
func (x Layers) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	rows, taps := []string{"input"}, []lm.Tap{embed}
	for l := range p.Model.Config().Layers {
		rows, taps = append(rows, fmt.Sprintf("layer %d", l)), append(taps, output(p.Model, l))
	}
	found, err := atActivations(ctx, p, taps, x.Steps, x.MaxSteps)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	s := explain.MatrixScores{
		Axes: [2]string{"layer", "token"}, Rows: rows, Columns: texts(p.Tokens), Settings: x,
		Promise: &explain.Promise{Total: p.Value - p.Base(), Of: explain.Difference, Each: explain.EachRow,
			Cure: cure(x.Steps)},
	}
	for _, f := range found {
		row := make([]float64, len(f.scores))
		for t, v := range f.scores {
			row[t] = v[0]
		}
		s.Values = append(s.Values, row)
	}
	return s, nil
}

// output returns the activation that a layer hands on.
func output(m *lm.Model, layer int) lm.Tap {
	if m.Config().Recurrent() {
		return fmt.Sprintf("lstm.%d.hidden", layer)
	}
	return fmt.Sprintf("block.%d.resid.post", layer)
}

// Heads is integrated gradients at what each attention head of a Transformer brings (Hao et al., 2021): how much of the
// prediction goes through each head, over all tokens.
type Heads struct {
	Layers []int `json:"layers,omitempty"` // nil: all
	// points of one Gauss-Legendre rule, a layer; 0: doubled until the error is below the tolerance
	Steps    int `json:"steps,omitempty"`
	MaxSteps int `json:"max_steps,omitempty"` // bound of the doubling; 0: 256
}

// Name implements explain.MatrixMethod.
func (Heads) Name() string { return "heads" }

// Suits implements explain.Selective: the model must be a Transformer, and have the layers, and the objective be about
// one text.
func (x Heads) Suits(m *lm.Model, q explain.Question) error {
	if err := oneText(x.Name(), q); err != nil {
		return err
	}
	if !m.Config().Attends() {
		return fmt.Errorf("%s: this model is an LSTM, which has no attention heads: use layers", x.Name())
	}
	if x.Layers != nil && len(x.Layers) == 0 {
		return fmt.Errorf("%s: no layer is chosen; leave the choice out for all", x.Name())
	}
	for _, l := range x.Layers {
		if n := m.Config().Layers; l < 0 || l >= n {
			return fmt.Errorf("%s: there is no layer %d; there are 0 to %d", x.Name(), l, n-1)
		}
	}
	return checkSteps(x.Name(), x.Steps, x.MaxSteps)
}

// Matrix implements explain.MatrixMethod. Values are [L][H]. The heads of a layer add up to what the objective loses
// when all of them are as on the baseline. Cost: as Activation, for each layer.
func (x Heads) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	layers := x.Layers
	if layers == nil {
		for l := range p.Model.Config().Layers {
			layers = append(layers, l)
		}
	}
	var taps []lm.Tap
	s := explain.MatrixScores{Axes: [2]string{"layer", "head"}, Settings: x}
	for _, l := range layers {
		s.Rows, taps = append(s.Rows, fmt.Sprintf("layer %d", l)), append(taps, fmt.Sprintf("block.%d.attn.z", l))
	}
	found, err := atActivations(ctx, p, taps, x.Steps, x.MaxSteps)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	s.Promise = &explain.Promise{Of: "sum over the layers of value - value with its heads as on the " +
		"baseline", Cure: cure(x.Steps)}
	for _, f := range found {
		s.Promise.Total += p.Value - f.base
		row := make([]float64, len(f.scores[0]))
		for _, token := range f.scores {
			add(row, 1, token)
		}
		s.Values = append(s.Values, row)
	}
	s.Columns = numbered(len(s.Values[0]))
	return s, nil
}

// at is the integrated gradients at one activation: the mean over the baselines.
type at struct {
	scores [][]float64 // [T][H], or [T][1] where the activation has no heads
	base   float64     // the objective with the activation as on the baseline
	info   lm.TapInfo
}

// atActivations integrates, at each of some activations by itself, along the lines from the baselines to the input.
func atActivations(ctx context.Context, p *explain.Problem, taps []lm.Tap, steps, most int) ([]at, error) {
	if most == 0 {
		most = mostSteps
	}
	p.Expect(estimate(p, len(taps), steps))
	out := make([]at, len(taps))
	for b := range p.Baselines {
		ways, err := waysFrom(ctx, p, b, taps)
		if err != nil {
			return nil, err
		}
		for i, w := range ways {
			scores, base, err := w.integral(ctx, steps, most)
			if err != nil {
				return nil, err
			}
			if out[i].scores == nil {
				out[i].info = w.info
				out[i].scores = zeros(len(scores), len(scores[0]))
			}
			for t := range scores {
				add(out[i].scores[t], 1/float64(len(p.Baselines)), scores[t])
			}
			out[i].base += base / float64(len(p.Baselines))
		}
	}
	return out, nil
}

// estimate returns how many rows the integrals at some activations are expected to take.
func estimate(p *explain.Problem, taps, steps int) int {
	if steps == 0 {
		steps = 3 * leastSteps // as often as not, twice as many points say the same
	}
	return len(p.Baselines) * (2 + taps*(2*steps+2))
}

// way is the straight line of an activation from what it is on a baseline to what it is on the input.
type way struct {
	p        *explain.Problem
	info     lm.TapInfo
	from, to lm.Array // [T, ...]
}

// waysFrom records activations on a baseline and on the input, in one query.
func waysFrom(ctx context.Context, p *explain.Problem, baseline int, taps []lm.Tap) ([]way, error) {
	a, err := p.Run(ctx, lm.Query{Rows: p.Rows(2), Taps: taps, Edits: []lm.Edit{{Tap: embed, Rows: []int{0},
		Positions: p.Positions(p.AllFeatures()), With: lm.FromValues(p.Baselines[baseline].Vector)}}})
	if err != nil {
		return nil, err
	}
	var ways []way
	for _, tap := range taps {
		info, err := p.Model.Tap(tap)
		if err != nil {
			return nil, err
		}
		ways = append(ways, way{p, info, a.At[tap].Index(0), a.At[tap].Index(1)})
	}
	return ways, nil
}

const (
	leastSteps = 8
	mostSteps  = 256
)

// integral integrates by one rule, or by rules of 8, 16, 32 ... points until two agree, and returns the objective at
// the line's beginning, too.
func (w way) integral(ctx context.Context, steps, most int) (scores [][]float64, base float64, err error) {
	if steps > 0 {
		return w.gauss(ctx, steps)
	}
	var last [][]float64
	for n := min(leastSteps, most); ; n = min(2*n, most) {
		scores, base, err = w.gauss(ctx, n)
		if err != nil || n == most || last != nil && w.settled(scores, last, base) {
			return scores, base, err
		}
		last = scores
	}
}

// settled says whether scores add up, and are what they were with half the points, relative to their size.
func (w way) settled(scores, last [][]float64, base float64) bool {
	var sum, size, off float64
	for i := range scores {
		for j, v := range scores[i] {
			sum += v
			size += math.Abs(v)
			off += math.Abs(v - last[i][j])
		}
	}
	total, tolerance := w.p.Value-base, w.p.Question.Tolerance
	return math.Abs(sum-total) <= tolerance/4*max(math.Abs(total), 1e-6) && off <= tolerance*max(size, 1e-6)
}

// gauss returns the integral by the Gauss-Legendre rule of n points, and the objective at the line's beginning.
func (w way) gauss(ctx context.Context, n int) (scores [][]float64, base float64, err error) {
	points := append(gauss(0, n, 0, 1), point{})
	values := lm.Array{Dims: append([]int{len(points)}, w.to.Dims...)}
	for _, x := range points {
		for k, v := range w.to.Data {
			values.Data = append(values.Data, float32(x.at*float64(v)+(1-x.at)*float64(w.from.Data[k])))
		}
	}
	tap := w.info.Name
	a, err := w.p.Evaluate(ctx, lm.Query{Rows: w.p.Rows(len(points)), Wrt: []lm.Tap{tap},
		Edits: []lm.Edit{{Tap: tap, With: lm.FromValues(values)}}})
	if err != nil {
		return nil, 0, err
	}
	// Axes of w.to, or negative.
	token, head := strings.IndexByte(w.info.Axes, 'T')-1, strings.IndexAny(w.info.Axes, "HG")-1
	heads := 1
	if head >= 0 {
		heads = w.to.Dims[head]
	}
	scores = zeros(w.to.Dims[token], heads)
	for i, x := range points[:n] {
		for k, g := range a.Grad[tap].Index(i).Data {
			h := 0
			if head >= 0 {
				h = coordinate(w.to.Dims, head, k)
			}
			scores[coordinate(w.to.Dims, token, k)][h] += x.weight * float64(w.to.Data[k]-w.from.Data[k]) * float64(g)
		}
	}
	return scores, a.Values[n], nil
}

// coordinate is where number k of an array stands along an axis.
func coordinate(dims []int, axis, k int) int {
	for _, d := range dims[axis+1:] {
		k /= d
	}
	return k % dims[axis]
}

func zeros(rows, columns int) [][]float64 {
	out := make([][]float64, rows)
	for i := range out {
		out[i] = make([]float64, columns)
	}
	return out
}

// numbered returns the labels 0 to n-1.
func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(i)
	}
	return out
}

// texts returns the tokens as labels.
func texts(tokens []explain.InputToken) []string {
	var out []string
	for _, t := range tokens {
		out = append(out, t.Text)
	}
	return out
}
