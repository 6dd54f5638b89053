package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/numerics"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// Probe asks what can be read from activations by a linear map: logistic regression on each of some activations, at the
// last token of each piece, tested on texts that it was not fitted to. Beside it stand what a reader needs to judge it
// (Hewitt and Liang, 2019): the majority; a control task, where each piece has a random label that is always the same,
// and selectivity, what the probe is better at the real task; the same probe on the embeddings, and on a model with
// random weights; and tested on pieces that it was not fitted to. A probe shows that something can be read, and not
// that the model uses it.
type Probe struct {
	Items     []Labelled
	Taps      []lm.Tap  // nil: the embeddings, and up to eight residuals
	Untrained *lm.Model // a model of the same shape with random weights; nil: it is left out
	Seed      uint64    // of splits and of random labels
	Memory    int64     // bytes of activations to hold at once, about; 0: lm's default
}

// probeSettings are what a result says of how it was made.
type probeSettings struct {
	Labels   []string  `json:"labels"`
	Items    int       `json:"items"`
	Texts    int       `json:"texts"`
	Held     int       `json:"held"`      // items of texts that are tested on
	HeldType int       `json:"held_type"` // items of pieces that are tested on, where pieces are held out
	L2       []float64 `json:"l2"`        // of each row, chosen on a part of the texts that it was fitted to
	Seed     uint64    `json:"seed"`
}

// probing is a Probe on its way.
type probing struct {
	Probe
	model    *lm.Model
	classes  []string
	labels   []int // of each item
	control  []int // of each item, in the control task
	held     []bool
	heldType []bool
	cost     lm.Cost
	steepest float64 // the largest gradient where a fit ended
	settings probeSettings
}

// probeColumns are what is measured of each activation.
var probeColumns = []string{"accuracy", "control", "selectivity", "majority", "new pieces", "AUC", "untrained"}

// Run fits and tests the probes.
func (x Probe) Run(ctx context.Context, m *lm.Model) (*explain.Matrix, error) {
	p := &probing{Probe: x, model: m, classes: labels(x.Items)}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	columns := slices.Clone(probeColumns)
	if p.Untrained == nil {
		columns = columns[:len(columns)-1]
	}
	out := explain.MatrixScores{About: "what a linear map reads from activations: " + shortened(p.classes),
		Axes: [2]string{"activation", "measure"}, Rows: p.Taps, Columns: columns, Unit: "share of the held-out items"}
	trained, err := p.activations(ctx, m, "reading the texts")
	if err != nil {
		return nil, err
	}
	var untrained [][][]float64
	if p.Untrained != nil {
		if untrained, err = p.activations(ctx, p.Untrained, "reading the texts with random weights"); err != nil {
			return nil, err
		}
	}
	hears := progress.From(ctx)
	for i, X := range trained {
		row := p.probe(X)
		if untrained != nil {
			random, _ := p.test(untrained[i], p.labels, p.held, p.settings.L2[i])
			row = append(row, random)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out.Values = append(out.Values, row)
		hears.At("fitting probes", int64(i+1), int64(len(p.Taps)), "activations")
	}
	p.label(&out)
	return explain.NewMatrix(m, "probe", out, p.cost, p.cost.ForwardRows)
}

// shortened lists names, as far as there is room.
func shortened(names []string) string {
	if len(names) > 6 {
		return strings.Join(names[:6], ", ") + fmt.Sprintf(" and %d more", len(names)-6)
	}
	return strings.Join(names, ", ")
}

// prepare splits the items, and draws the labels of the control task.
func (p *probing) prepare() error {
	if len(p.classes) < 2 {
		return errors.New("a probe tells labels apart, and there is one")
	}
	if len(p.Taps) == 0 {
		all := streams(p.model, false)
		if !p.model.Config().Recurrent() {
			all = all[1:]
		}
		p.Taps = []lm.Tap{"embed"}
		n := min(8, len(all))
		for i := range n {
			p.Taps = append(p.Taps, all[(i+1)*len(all)/n-1])
		}
	}
	for _, tap := range p.Taps {
		info, err := p.model.Tap(tap)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(info.Axes, "BT") || strings.Contains(info.Axes, "S") {
			return fmt.Errorf("%s has no numbers at each token to read from", tap)
		}
	}
	rng := rand.New(rand.NewPCG(p.Seed, 17))
	texts, pieces, control := map[int]bool{}, map[string]bool{}, map[string]int{}
	for _, x := range p.Items {
		p.labels = append(p.labels, slices.Index(p.classes, x.Label))
		if _, known := texts[x.Group]; !known {
			texts[x.Group] = rng.IntN(10) < 3
		}
		if _, known := pieces[x.Piece]; !known {
			pieces[x.Piece] = rng.IntN(10) < 3
			control[x.Piece] = slices.Index(p.classes, p.Items[rng.IntN(len(p.Items))].Label)
		}
		p.held, p.heldType = append(p.held, texts[x.Group]), append(p.heldType, pieces[x.Piece])
		p.control = append(p.control, control[x.Piece])
	}
	p.settings = probeSettings{Labels: p.classes, Items: len(p.Items), Texts: len(texts), Held: count(p.held),
		HeldType: count(p.heldType), Seed: p.Seed}
	for _, held := range []int{p.settings.Held, p.settings.HeldType} {
		if held == 0 || held == len(p.Items) {
			return fmt.Errorf("%d items are too few to hold some out: give a hundred or more", len(p.Items))
		}
	}
	return nil
}

func count(x []bool) int {
	n := 0
	for _, v := range x {
		if v {
			n++
		}
	}
	return n
}

// probe measures one activation [N][D] of the model.
func (p *probing) probe(X [][]float64) []float64 {
	l2 := p.choose(X)
	p.settings.L2 = append(p.settings.L2, l2)
	accuracy, area := p.test(X, p.labels, p.held, l2)
	control, _ := p.test(X, p.control, p.held, l2)
	pieces, _ := p.test(X, p.labels, p.heldType, l2)
	return []float64{accuracy, control, accuracy - control, p.majority(), pieces, area}
}

// activations reads each activation at the last token of each item: [N][D] each.
func (p *probing) activations(ctx context.Context, m *lm.Model, what string) ([][][]float64, error) {
	X := make([][][]float64, len(p.Taps))
	for first := 0; first < len(p.Items); {
		q := lm.Query{Taps: p.Taps, Memory: p.Memory}
		for len(q.Rows) < together && first < len(p.Items) {
			end := first + 1
			for end < len(p.Items) && p.Items[end].Group == p.Items[first].Group {
				end++
			}
			row, ends, err := positions(m, p.Items[first:end])
			if err != nil {
				return nil, err
			}
			q.Rows, q.Places, first = append(q.Rows, row), append(q.Places, ends), end
		}
		a, err := m.Run(quiet(ctx), q)
		if err != nil {
			return nil, err
		}
		p.cost.Add(a.Cost)
		for i, tap := range p.Taps {
			for r, ends := range q.Places {
				for k := range ends {
					X[i] = append(X[i], floats(a.At[tap].Index(r, k).Data))
				}
			}
		}
		progress.From(ctx).At(what, int64(first), int64(len(p.Items)), "items")
	}
	return X, nil
}

// quiet is a context under which a part of some work does not tell how far it is.
func quiet(ctx context.Context) context.Context { return progress.With(ctx, nil) }

// test fits a probe to the items that are not held out, and returns the share of the others that it gets right, and the
// area under its ROC curve for them.
func (p *probing) test(X [][]float64, y []int, held []bool, l2 float64) (accuracy, area float64) {
	var fitX, testX [][]float64
	var fitY, testY []int
	for i, x := range X {
		if held[i] {
			testX, testY = append(testX, x), append(testY, y[i])
		} else {
			fitX, fitY = append(fitX, x), append(fitY, y[i])
		}
	}
	return p.fit(fitX, fitY, testX, testY, l2)
}

func (p *probing) fit(
	fitX [][]float64, fitY []int, testX [][]float64, testY []int, l2 float64,
) (accuracy, area float64) {
	scaled := standardised(fitX)
	var X [][]float64
	for _, x := range fitX {
		X = append(X, scaled(x))
	}
	probe := numerics.FitSoftmax(X, fitY, len(p.classes), l2)
	p.steepest = max(p.steepest, probe.Gradient)
	right, scores := 0, make([][]float64, len(p.classes))
	for i, x := range testX {
		x = scaled(x)
		if probe.Class(x) == testY[i] {
			right++
		}
		for c, v := range probe.Scores(x) {
			scores[c] = append(scores[c], v)
		}
	}
	return float64(right) / float64(len(testX)), areaUnder(scores, testY)
}

// areaUnder is the area under the ROC curve, the mean over the labels that some items have and others have not: the
// chance that an item with the label gets a larger score for it, [C][N], than one without. 0.5 where there are none.
func areaUnder(scores [][]float64, labels []int) float64 {
	sum, n := 0.0, 0
	for c, of := range scores {
		with, ranks := 0, 0.0
		for i, r := range numerics.Ranks(of) {
			if labels[i] == c {
				with++
				ranks += r
			}
		}
		if with == 0 || with == len(labels) {
			continue
		}
		k := float64(with)
		sum += (ranks - k*(k+1)/2) / (k * float64(len(labels)-with))
		n++
	}
	if n == 0 {
		return 0.5
	}
	return sum / float64(n)
}

// choose returns the strength of the penalty that does best on a quarter of the texts that the probe may be fitted to.
func (p *probing) choose(X [][]float64) (best float64) {
	rng, inner := rand.New(rand.NewPCG(p.Seed, 18)), map[int]bool{}
	var fitX, testX [][]float64
	var fitY, testY []int
	for i, x := range X {
		if p.held[i] {
			continue
		}
		group := p.Items[i].Group
		if _, known := inner[group]; !known {
			inner[group] = rng.IntN(4) == 0
		}
		if inner[group] {
			testX, testY = append(testX, x), append(testY, p.labels[i])
		} else {
			fitX, fitY = append(fitX, x), append(fitY, p.labels[i])
		}
	}
	best = 0.1
	if len(testX) == 0 || len(fitX) == 0 {
		return best
	}
	top := -1.0
	for _, l2 := range []float64{1, 0.1, 0.01} {
		if v, _ := p.fit(fitX, fitY, testX, testY, l2); v > top {
			best, top = l2, v
		}
	}
	return best
}

// standardised returns how activations are shifted and scaled: to mean 0 and variance 1 over some of them.
func standardised(X [][]float64) func([]float64) []float64 {
	mean, of := numerics.MeanAndError(X) // and its standard error: the deviation over the square root of N
	root := math.Sqrt(float64(len(X)))
	return func(x []float64) []float64 {
		out := make([]float64, len(x))
		for d, v := range x {
			if out[d] = v - mean[d]; of != nil && of[d] > 0 {
				out[d] /= of[d] * root
			}
		}
		return out
	}
}

// majority is the share of the held-out items that have the commonest label of the others.
func (p *probing) majority() float64 {
	counts := make([]int, len(p.classes))
	for i, y := range p.labels {
		if !p.held[i] {
			counts[y]++
		}
	}
	commonest, n := slices.Index(counts, slices.Max(counts)), 0
	for i, y := range p.labels {
		if p.held[i] && y == commonest {
			n++
		}
	}
	return float64(n) / float64(p.settings.Held)
}

// label says what the values are.
func (p *probing) label(out *explain.MatrixScores) {
	best := 0
	for i, row := range out.Values {
		if row[0] > out.Values[best][0] {
			best = i
		}
	}
	row := out.Values[best]
	out.Notes = []string{
		fmt.Sprintf("most is read from %s: %.3g of the %d held-out items, where the commonest label is right for %.3g, and "+
			"the embeddings give %.3g", p.Taps[best], row[0], p.settings.Held, row[3], out.Values[0][0]),
		"a probe shows that something can be read from an activation, and not that the model uses it: steer or patch it",
	}
	if p.Taps[0] != "embed" {
		out.Notes[0], _, _ = strings.Cut(out.Notes[0], ", and the embeddings")
	}
	out.Settings = p.settings
	out.Identities = []explain.Identity{explain.NewIdentity("every probe is at the minimum of its loss: largest number "+
		"of the gradient", 0, p.steepest, 1e-3)}
}
