package gradient

import (
	"context"
	"fmt"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Activation is integrated gradients at any activation of the model (layer integrated gradients; for heads, Hao et
// al., 2021): on the straight line from what the activation is on the baseline to what it is on the input, all else
// following. Scores add up to f(x) minus f of x with the activation as on the baseline.
type Activation struct {
	Tap      lm.Tap `json:"tap"`                 // such as block.1.attn.z (tokens by heads), block.2.resid.pre, lstm.0.cell
	Steps    int    `json:"steps,omitempty"`     // points of one Gauss-Legendre rule; 0: doubled until the error is below the tolerance
	MaxSteps int    `json:"max_steps,omitempty"` // bound of the doubling; 0: 256
}

// Name is the method's stable name.
func (Activation) Name() string { return "layer-integrated-gradients" }

// Matrix is scores [T][H] where the activation has heads, and else [T][1]; features of the activation (and, of
// attention patterns, the tokens read) are summed. Several baselines are averaged. Cost: Steps rows forward and
// backward, a baseline, and two forward.
func (x Activation) Matrix(ctx context.Context, m *lm.Model, q explain.Question) (*Matrix, error) {
	if err := checkSteps(x.Name(), x.Steps, x.MaxSteps); err != nil {
		return nil, err
	}
	info, err := m.Tap(x.Tap)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(info.Axes, "T") {
		return nil, fmt.Errorf("%s: %s is not computed from tokens: choose another activation", x.Name(), x.Tap)
	}
	p, err := explain.Prepare(ctx, m, q)
	if err != nil {
		return nil, err
	}
	scores := cells(info, len(p.IDs), m.Config().Heads)
	base := 0.0
	for b := range p.Baselines {
		l := ladder{Activation: x, p: p, info: info}
		if err := l.ends(ctx, b); err != nil {
			return nil, err
		}
		one, at, err := l.climb(ctx)
		if err != nil {
			return nil, err
		}
		for i := range one {
			for j, v := range one[i] {
				scores[i][j] += v / float64(len(p.Baselines))
			}
		}
		base += at / float64(len(p.Baselines))
	}
	return x.finish(p, info, scores, base)
}

func (x Activation) finish(p *explain.Problem, info lm.TapInfo, scores [][]float64, base float64) (*Matrix, error) {
	out, err := newMatrix(p, x.Name(), x, scores)
	if err != nil {
		return nil, err
	}
	out.Axes, out.Rows, out.Columns = [2]string{"token", "all"}, texts(p.Tokens), []string{x.Tap}
	if strings.Contains(info.Axes, "H") {
		out.Axes[1], out.Columns = "head", nil
		for h := range scores[0] {
			out.Columns = append(out.Columns, fmt.Sprintf("head %d", h))
		}
	}
	out.Values, out.Base, out.Baseline = []float64{p.Value}, &base, p.Question.Baseline
	steps := x.Steps
	if steps == 0 {
		steps = 3 * leastSteps // as often as not, twice as many points say the same
	}
	out.Cost.EstimatedRows = len(p.Baselines)*(2*steps+4) + 1
	c := &explain.Completeness{Tolerance: p.Question.Tolerance}
	for _, s := range out.ColumnSums() {
		c.Error += s
	}
	c.Error -= p.Value - base
	c.Relative = math.Abs(c.Error) / max(math.Abs(p.Value-base), 1e-9)
	c.Holds = c.Relative <= c.Tolerance
	out.Completeness = c
	if !c.Holds {
		out.Warnings = append(out.Warnings, fmt.Sprintf("the scores should add up to %.4g, but are off by %.3g %%, where %.3g %% is allowed; %s", p.Value-base, 100*c.Relative, 100*c.Tolerance, cure(x.Steps, x.MaxSteps)))
	}
	return out, nil
}

// ladder is the way of an activation from a baseline to the input.
type ladder struct {
	Activation
	p        *explain.Problem
	info     lm.TapInfo
	from, to lm.Array // [T, ...]
}

// ends records the activation on a baseline and on the input.
func (l *ladder) ends(ctx context.Context, baseline int) error {
	a, err := l.p.Run(ctx, lm.Query{Rows: l.p.Rows(2), Taps: []lm.Tap{l.Tap}, Edits: []lm.Edit{
		{Tap: embed, Rows: []int{0}, Positions: l.p.Positions(l.p.AllFeatures()), With: lm.FromValues(l.p.Baselines[baseline].Vector)}}})
	if err != nil {
		return err
	}
	l.from, l.to = a.At[l.Tap].Index(0), a.At[l.Tap].Index(1)
	return nil
}

const (
	leastSteps = 8
	mostSteps  = 256
)

// climb integrates by one rule, or by finer and finer ones, and returns the objective at the way's beginning, too.
func (l *ladder) climb(ctx context.Context) (scores [][]float64, base float64, err error) {
	if l.Steps > 0 {
		return l.integrate(ctx, l.Steps)
	}
	most := l.MaxSteps
	if most == 0 {
		most = mostSteps
	}
	var last [][]float64
	for n := min(leastSteps, most); ; n = min(2*n, most) {
		scores, base, err = l.integrate(ctx, n)
		if err != nil || n == most || last != nil && l.settled(scores, last, base) {
			return scores, base, err
		}
		last = scores
	}
}

// settled says whether scores add up, and are what they were with half the points, relative to their size.
func (l *ladder) settled(scores, last [][]float64, base float64) bool {
	var sum, size, off float64
	for i := range scores {
		for j, v := range scores[i] {
			sum += v
			size += math.Abs(v)
			off += math.Abs(v - last[i][j])
		}
	}
	total := l.p.Value - base
	return math.Abs(sum-total) <= l.p.Question.Tolerance/4*max(math.Abs(total), 1e-6) && off <= l.p.Question.Tolerance*max(size, 1e-6)
}

// integrate is the integral by the Gauss-Legendre rule of n points, and the objective at the beginning.
func (l *ladder) integrate(ctx context.Context, n int) (scores [][]float64, base float64, err error) {
	points := append(gauss(0, n, 0, 1), point{})
	values := lm.Array{Dims: append([]int{len(points)}, l.to.Dims...)}
	for _, x := range points {
		for k, v := range l.to.Data {
			values.Data = append(values.Data, float32(x.at*float64(v)+(1-x.at)*float64(l.from.Data[k])))
		}
	}
	a, err := l.p.Run(ctx, lm.Query{Rows: l.p.Rows(len(points)), Of: []lm.Objective{l.p.Objective}, Wrt: []lm.Tap{l.Tap},
		Edits: []lm.Edit{{Tap: l.Tap, With: lm.FromValues(values)}}})
	if err != nil {
		return nil, 0, err
	}
	scores = cells(l.info, len(l.p.IDs), l.p.Model.Config().Heads)
	for i, x := range points[:n] {
		g := a.Grad[l.Tap].Index(i)
		l.each(func(token, head, k int) {
			scores[token][head] += x.weight * float64(l.to.Data[k]-l.from.Data[k]) * float64(g.Data[k])
		})
	}
	return scores, a.Values[n], nil
}

// each visits the numbers of an activation [T, ...] with the token and head (or 0) that they belong to.
func (l *ladder) each(visit func(token, head, k int)) {
	d := l.to.Dims
	switch l.info.Axes {
	case "BTH.":
		for k := range l.to.Data {
			visit(k/(d[1]*d[2]), k/d[2]%d[1], k)
		}
	case "BHTS":
		for k := range l.to.Data {
			visit(k/d[2]%d[1], k/(d[1]*d[2]), k)
		}
	default:
		for k := range l.to.Data {
			visit(k/d[1], 0, k)
		}
	}
}

// cells is zeros [T][H], or [T][1] where an activation has no heads.
func cells(info lm.TapInfo, T, H int) [][]float64 {
	if !strings.Contains(info.Axes, "H") {
		H = 1
	}
	out := make([][]float64, T)
	for i := range out {
		out[i] = make([]float64, H)
	}
	return out
}
