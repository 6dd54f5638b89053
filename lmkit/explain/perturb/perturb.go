// Package perturb explains a prediction by taking parts of the input away and looking what changes.
package perturb

import (
	"context"
	"fmt"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Occlusion is the objective on the input minus the objective with a window of features replaced by the baseline
// (Zeiler and Fergus, 2014). With windows of more than one feature, a feature is credited with the mean over the
// windows that hold it.
type Occlusion struct {
	Window int `json:"window"` // features replaced at once; 0: 1
	Stride int `json:"stride"` // features from one window to the next; 0: 1
}

// Name implements explain.Method.
func (Occlusion) Name() string { return "occlusion" }

// Score implements explain.Method. Cost: one row forward a window and a baseline.
func (o Occlusion) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	if o.Window == 0 {
		o.Window = 1
	}
	if o.Stride == 0 {
		o.Stride = 1
	}
	if o.Window < 1 || o.Stride < 1 || o.Stride > o.Window {
		return explain.Scores{}, fmt.Errorf("occlusion: windows of %d every %d features: both must be positive, and "+
			"windows must not leave gaps", o.Window, o.Stride)
	}
	scores, _, err := o.Play(ctx, p.Game())
	if err != nil {
		return explain.Scores{}, err
	}
	return explain.Scores{Settings: o, Values: scores}, nil
}

// ScoreEach implements explain.EachToken. Cost: as Score, whatever the number of the tokens.
func (o Occlusion) ScoreEach(
	ctx context.Context, p *explain.Problem, parts []explain.Part,
) (all []explain.Scores, err error) {
	var sets []explain.Replacement
	for f := range p.Features {
		for b := range p.Baselines {
			sets = append(sets, explain.Replacement{Features: []int{f}, Baseline: b})
		}
	}
	p.Expect(len(sets))
	without, err := p.PartValues(ctx, parts, sets)
	if err != nil {
		return nil, err
	}
	for k, x := range parts {
		s := explain.Scores{Settings: Occlusion{Window: 1, Stride: 1}, Values: make([]float64, len(p.Features))}
		for i, set := range sets {
			s.Values[set.Features[0]] += (x.Value - without[i][k]) / float64(len(p.Baselines))
		}
		all = append(all, s)
	}
	return all, nil
}

// Play scores the features of any game, and says how many of its values it asked for.
func (o Occlusion) Play(ctx context.Context, g explain.Game) (scores []float64, asked int, err error) {
	M := g.Features()
	window, stride := max(1, min(o.Window, M)), max(1, o.Stride)
	full := explain.All(M)
	of := []explain.Coalition{full}
	var starts []int
	for s := 0; ; s += stride {
		s = min(s, M-window) // the last window ends with the input
		starts = append(starts, s)
		c := full.Without()
		for i := s; i < s+window; i++ {
			c[i] = false
		}
		of = append(of, c)
		if s == M-window {
			break
		}
	}
	values, err := g.Values(ctx, of)
	if err != nil {
		return nil, 0, err
	}
	scores = make([]float64, M)
	count := make([]int, M)
	for k, s := range starts {
		for i := s; i < s+window; i++ {
			scores[i] += values[0] - values[k+1]
			count[i]++
		}
	}
	for i := range scores {
		scores[i] /= float64(count[i])
	}
	return scores, len(of), nil
}

// LeaveOneOut is the objective on the input minus the objective with a feature's tokens removed: the text closes up,
// and later tokens move to earlier positions. Nothing stands in for what is gone, so no baseline is needed; but what
// changes is due to the shift, too.
type LeaveOneOut struct{}

// Name implements explain.Method.
func (LeaveOneOut) Name() string { return "leave-one-out" }

// Score implements explain.Method. Cost: one row forward a feature.
func (l LeaveOneOut) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	var query lm.Query
	for f, feature := range p.Features {
		gone := map[int]bool{}
		for _, t := range feature.Tokens {
			gone[t] = true
		}
		row := make([]token.ID, 0, len(p.IDs))
		for t, id := range p.IDs {
			if !gone[t] {
				row = append(row, id)
			}
		}
		if len(row) == len(p.IDs)-p.Input {
			return explain.Scores{}, fmt.Errorf("leave-one-out: nothing is left without feature %d (%q): group the "+
				"input into more features", f, feature.Text)
		}
		query.Rows = append(query.Rows, row)
	}
	a, err := p.Evaluate(ctx, query)
	if err != nil {
		return explain.Scores{}, err
	}
	scores := make([]float64, len(p.Features))
	for f, v := range a.Values {
		scores[f] = p.Value - v
	}
	return explain.Scores{Values: scores}, nil
}
