package gradient

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Carried is integrated gradients of a text of which an LSTM has read a first part already: the state that it carries
// over the cut is one feature, and each feature behind the cut is one. As all embeddings go from the baseline to the
// input, the state goes the way that they make it go. So the state's score is what integrated gradients of the uncut
// text give the tokens before the cut together, and the others have the same scores there and here: gradients flow
// through the last part alone, however long the first one is.
type Carried struct {
	Cut int `json:"cut"` // tokens of the first part
	// points of one Gauss-Legendre rule; 0: doubled until the error is below the tolerance
	Steps    int `json:"steps,omitempty"`
	MaxSteps int `json:"max_steps,omitempty"` // bound of the doubling; 0: 256
}

// carriedSettings is what Carried ran with, and how the state's score divides.
type carriedSettings struct {
	Carried
	State map[lm.Tap]float64 `json:"state"`
}

// Name implements explain.Method.
func (Carried) Name() string { return "carried-state" }

// Explain answers a question as Group makes it, with its evidence.
func (c Carried) Explain(ctx context.Context, m *lm.Model, q explain.Question) (*explain.Attribution, error) {
	q, err := c.Group(m, q)
	if err != nil {
		return nil, err
	}
	as, err := explain.Explain(ctx, m, q, c)
	if err != nil {
		return nil, err
	}
	return as[0], nil
}

// Group makes of any question the one that Score and Matrix need: the features before the cut become one, the first.
// None of them may lie on both sides.
func (c Carried) Group(m *lm.Model, q explain.Question) (explain.Question, error) {
	tokens, features, err := explain.Encode(m, q)
	if err != nil {
		return q, err
	}
	if c.Cut < 1 || c.Cut >= len(tokens) {
		return q, fmt.Errorf("%s: a cut after %d of %d tokens: there must be a token on either "+
			"side", c.Name(), c.Cut, len(tokens))
	}
	groups := [][]int{nil}
	for i, f := range features {
		switch first, last := f.Tokens[0] < c.Cut, f.Tokens[len(f.Tokens)-1] < c.Cut; {
		case first != last:
			return q, fmt.Errorf("%s: feature %d (%q) lies on both sides of the cut after %d tokens", c.Name(), i, f.Text, c.Cut)
		case first:
			groups[0] = append(groups[0], f.Tokens...)
		default:
			groups = append(groups, f.Tokens)
		}
	}
	if groups[0] == nil {
		return q, fmt.Errorf("%s: no feature lies before the cut: the state does not depend on any", c.Name())
	}
	q.Groups = groups
	return q, nil
}

// Score implements explain.Method. The first feature must be all that lies before the cut, and all others must lie
// behind it: Explain makes such a question of any other. The settings of the result divide the state's score by
// layer, into hidden state and cell. Several baselines are averaged. Cost: Steps rows forward and backward of the
// last part, and 3 times as many forward of the first, a baseline.
func (c Carried) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if err := c.check(p); err != nil {
		return explain.Scores{}, err
	}
	s := carriedSettings{Carried: c, State: map[lm.Tap]float64{}}
	scores, steps := make([]float64, len(p.Features)), c.Steps
	if steps == 0 {
		steps = 3 * leastSteps // as often as not, twice as many points say the same
	}
	p.Expect(5 * steps * len(p.Baselines))
	for b := range p.Baselines {
		one, state, err := c.integral(ctx, p, b)
		if err != nil {
			return explain.Scores{}, err
		}
		for f, v := range one {
			scores[f] += v / float64(len(p.Baselines))
		}
		for _, tap := range stateTaps(p.Model) {
			s.State[tap] += state[tap] / float64(len(p.Baselines))
			scores[0] += state[tap] / float64(len(p.Baselines))
		}
	}
	promise := &explain.Promise{Total: p.Value - p.Base(), Of: explain.Difference, Cure: cure(c.Steps)}
	return explain.Scores{Values: scores, Promise: promise, Settings: s}, nil
}

// Suits implements explain.Selective: the model must be an LSTM.
func (c Carried) Suits(m *lm.Model, _ explain.Question) error {
	if !m.Config().Recurrent() {
		return fmt.Errorf("%s: a Transformer carries no state over a cut: use integrated-gradients", c.Name())
	}
	return checkSteps(c.Name(), c.Steps, c.MaxSteps)
}

func (c Carried) check(p *explain.Problem) error {
	for i, f := range p.Features {
		if before := f.Tokens[len(f.Tokens)-1] < c.Cut; before != (i == 0) || f.Tokens[0] < c.Cut != before {
			return fmt.Errorf("%s: feature %d (%q): the first feature must be all that lies before the cut after %d tokens, "+
				"and no other may reach there", c.Name(), i, f.Text, c.Cut)
		}
	}
	return nil
}

// Matrix implements explain.MatrixMethod. It has one column, and a row for each part of the carried state (the hidden
// state and the cell of every layer), then one for each feature behind the cut: together they add up to value - base.
// The question is that of Score.
func (c Carried) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	s, err := c.Score(ctx, p)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	out := explain.MatrixScores{Axes: [2]string{"part", "all"}, Columns: []string{"score"}, Promise: s.Promise,
		Settings: c}
	settings := s.Settings.(carriedSettings)
	for _, tap := range stateTaps(p.Model) {
		out.Rows, out.Values = append(out.Rows, tap), append(out.Values, []float64{settings.State[tap]})
	}
	for f, v := range s.Values[1:] {
		out.Rows, out.Values = append(out.Rows, p.Features[f+1].Text), append(out.Values, []float64{v})
	}
	return out, nil
}

// integral integrates by one rule, or by finer and finer ones: the features behind the cut, and the parts of the state.
func (c Carried) integral(
	ctx context.Context, p *explain.Problem, baseline int,
) (scores []float64, state map[lm.Tap]float64, err error) {
	if c.Steps > 0 {
		return c.integrate(ctx, p, baseline, c.Steps)
	}
	most := c.MaxSteps
	if most == 0 {
		most = mostSteps
	}
	total := p.Value - p.Bases[baseline]
	for n := min(leastSteps, most); ; n = min(2*n, most) {
		scores, state, err = c.integrate(ctx, p, baseline, n)
		off := -total
		for _, v := range scores {
			off += v
		}
		for _, tap := range stateTaps(p.Model) {
			off += state[tap]
		}
		if err != nil || n == most || n > leastSteps && math.Abs(off) <= p.Question.Tolerance/4*max(math.Abs(total), 1e-6) {
			return scores, state, err
		}
	}
}

// aside is the distance to either side of a point at which the state is asked for: (state after - state before) / (2
// aside) is how fast it moves there.
const aside = 1. / 128

// integrate returns the integral by the Gauss-Legendre rule of n points.
func (c Carried) integrate(
	ctx context.Context, p *explain.Problem, baseline, n int,
) ([]float64, map[lm.Tap]float64, error) {
	points, base := gauss(0, n, 0, 1), p.Baselines[baseline].Vector
	behind := []int{} // positions of the last part, counted from the cut; empty is none, where nil would be all
	for _, f := range p.Features[1:] {
		for _, t := range f.Tokens {
			behind = append(behind, t-c.Cut)
		}
	}
	slices.Sort(behind)
	first := lm.Query{Final: true}
	last := lm.Query{Wrt: append(stateTaps(p.Model), embed)}
	for i, x := range points {
		for _, at := range []float64{x.at - aside, x.at, x.at + aside} {
			first.Edits = append(first.Edits, lm.Edit{Tap: embed, Rows: []int{len(first.Rows)}, Positions: p.Features[0].Tokens,
				Keep: at, With: lm.FromValues(base)})
			first.Rows = append(first.Rows, p.IDs[:c.Cut])
		}
		last.Rows = append(last.Rows, p.IDs[c.Cut:])
		last.Edits = append(last.Edits, lm.Edit{Tap: embed, Rows: []int{i}, Positions: behind, Keep: x.at,
			With: lm.FromValues(base)})
	}
	states, err := p.Run(ctx, first)
	if err != nil {
		return nil, nil, err
	}
	for i := range points {
		last.States = append(last.States, states.States[3*i+1])
	}
	a, err := p.Evaluate(ctx, last)
	if err != nil {
		return nil, nil, err
	}
	scores, state := make([]float64, len(p.Features)), map[lm.Tap]float64{}
	for i, x := range points {
		for f := 1; f < len(p.Features); f++ {
			for _, t := range p.Features[f].Tokens {
				grad := a.Grad[embed].Index(i, t-c.Cut).Data
				for d, v := range p.Embeddings.Index(t).Data {
					scores[f] += x.weight * float64(v-base.Data[d]) * float64(grad[d])
				}
			}
		}
		before, after := states.States[3*i], states.States[3*i+2]
		for l := range p.Model.Config().Layers {
			hidden, cell := stateTap(l, "hidden"), stateTap(l, "cell")
			state[hidden] += x.weight * moved(before.Hidden.Index(l), after.Hidden.Index(l), a.Grad[hidden].Index(i))
			state[cell] += x.weight * moved(before.Cell.Index(l), after.Cell.Index(l), a.Grad[cell].Index(i))
		}
	}
	return scores, state, nil
}

// moved returns how fast the objective moves with a part of the state.
func moved(before, after, grad lm.Array) float64 {
	sum := 0.0
	for d, g := range grad.Data {
		sum += (float64(after.Data[d]) - float64(before.Data[d])) / (2 * aside) * float64(g)
	}
	return sum
}

func stateTap(layer int, part string) lm.Tap { return fmt.Sprintf("lstm.%d.state.%s", layer, part) }

func stateTaps(m *lm.Model) (taps []lm.Tap) {
	for l := range m.Config().Layers {
		taps = append(taps, stateTap(l, "hidden"), stateTap(l, "cell"))
	}
	return taps
}
