package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Reads says what each head of a decoder reads in a text: the token that the last one gives most of its attention to,
// and how much of it. The first token, to which many heads turn that have nothing to read, is left out unless it is the
// only one; its share is beside.
type Reads struct {
	At int `json:"at,omitempty"` // the token that reads, counted from 1; 0: the last one
}

// Name implements explain.MatrixMethod.
func (Reads) Name() string { return "heads" }

// Matrix implements explain.MatrixMethod. Cost: a row forward.
func (x Reads) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	none, c := explain.MatrixScores{}, p.Model.Config()
	if !c.Attends() {
		return none, errors.New("an LSTM has no attention heads: lmkit inspect patch shows what its gates and cells carry")
	}
	if x.At < 0 || x.At > len(p.IDs) {
		return none, fmt.Errorf("there is no token number %d to read from; the text has %d", x.At, len(p.IDs))
	}
	from := len(p.IDs) - 1
	if x.At > 0 {
		from = x.At - 1
	}
	q := lm.Query{Rows: p.Rows(1), Places: [][]int{{from}}}
	for l := range c.Layers {
		q.Taps = append(q.Taps, patternTap(l))
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return none, err
	}
	texts := tokenTexts(p)
	out := explain.MatrixScores{Axes: [2]string{"layer", "head"}, Rows: numbers(c.Layers), Columns: numbers(c.Heads),
		Values: table(c.Layers, c.Heads), Unit: "attention", Settings: x,
		About: fmt.Sprintf("what each head reads at %d %q", from, texts[from])}
	first, worst := table(c.Layers, c.Heads), 0.0
	for l := range c.Layers {
		words := make([]string, c.Heads)
		for h := range c.Heads {
			row, sum := a.At[patternTap(l)].Index(0, h, 0).Data[:from+1], 0.0
			for _, v := range row {
				sum += float64(v)
			}
			worst = max(worst, sum-1, 1-sum)
			best := 0
			if from > 0 {
				best = 1 + slices.Index(row[1:], slices.Max(row[1:]))
			}
			out.Values[l][h], first[l][h], words[h] = float64(row[best]), float64(row[0]), texts[best]
		}
		out.Words = append(out.Words, words)
	}
	out.More = []explain.Measure{{Name: "attention to the first token", Unit: "attention", Values: first}}
	out.Identities = []explain.Identity{explain.NewIdentity("the attention of each head adds up to 1: the largest error",
		0,
		worst, 1e-4)}
	mean := 0.0
	for _, row := range first {
		for _, v := range row {
			mean += v / float64(c.Layers*c.Heads)
		}
	}
	out.Notes = []string{fmt.Sprintf("the first token, %q, has %.2g of the attention, the mean of all heads", texts[0],
		mean)}
	return out, nil
}
