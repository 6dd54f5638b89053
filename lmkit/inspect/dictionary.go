package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Dictionary asks which features of a sparse autoencoder the prediction goes by. An activation x is the sum of the
// features z that the autoencoder finds in it, each times its direction, of the offset, and of the error that is left,
//
//	x = z W_dec + b_dec + e
//
// so that the model computes the same. A feature's value at a token is its activation times its direction times the
// gradient of the objective by x: what the objective would lose, to first order, without it. The offset and the error
// have values too, and all of them add up to x times the gradient. Beside them stands what the objective does lose when
// the feature is taken out there.
type Dictionary struct {
	Of  *Autoencoder `json:"-"`
	Tap lm.Tap       `json:"tap"` // the activation; "": what the autoencoder says
	Top int          `json:"top"` // how many features are shown, the largest; 0: 10
}

// Name implements explain.MatrixMethod.
func (Dictionary) Name() string { return "dictionary" }

// Suits implements explain.Selective.
func (x Dictionary) Suits(m *lm.Model, _ explain.Question) error {
	if x.Of == nil {
		return errors.New("no dictionary was given")
	}
	tap := cmp.Or(x.Tap, x.Of.Tap)
	if tap == "" {
		return errors.New("the dictionary does not say of which activation it is: give the activation, such as " +
			"block.5.resid.post")
	}
	info, err := m.Tap(tap)
	if err != nil {
		return err
	}
	if shape := info.Shape(1, 1); info.Axes != "BT." || shape[len(shape)-1] != x.Of.Width() {
		return fmt.Errorf("the dictionary is of activations of %d numbers at each token, and %s has the shape %v",
			x.Of.Width(), tap, shape)
	}
	return nil
}

// dictionary is a Dictionary on its way.
type dictionary struct {
	Dictionary
	p                *explain.Problem
	x, z, made, grad lm.Array    // [T, D], [T, F], [T, D], [T, D]
	values           [][]float64 // of each feature that is active somewhere, at each token
	features         []int       // their numbers, those with the largest values first
	offset, rest     []float64   // the values of the offset and of the error at each token
}

// Matrix implements explain.MatrixMethod. Rows are features, and the offset and the error; columns are tokens. Cost: a
// row forward and backward, and one forward for each feature shown at each token where it is active.
func (x Dictionary) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	if err := askedFor("top", x.Top); err != nil {
		return explain.MatrixScores{}, err
	}
	x.Tap, x.Top = cmp.Or(x.Tap, x.Of.Tap), cmp.Or(x.Top, 10)
	d := &dictionary{Dictionary: x, p: p}
	a, err := p.Run(ctx, lm.Query{Rows: p.Rows(1), Taps: []lm.Tap{x.Tap}, Wrt: []lm.Tap{x.Tap},
		Of: []lm.Objective{p.Objective}})
	if err != nil {
		return explain.MatrixScores{}, err
	}
	d.x, d.grad = a.At[x.Tap].Index(0), a.Grad[x.Tap].Index(0)
	d.z = x.Of.Encode(d.x)
	d.made = x.Of.Decode(d.z)
	d.attribute()
	return d.measure(ctx)
}

// attribute gives features, offset and error their values.
func (d *dictionary) attribute() {
	T, F := d.x.Dims[0], d.Of.Features()
	sizes := map[int]float64{}
	all := map[int][]float64{}
	for t := range T {
		g := d.grad.Index(t).Data
		for f, z := range d.z.Index(t).Data[:F] {
			if z == 0 {
				continue
			}
			if all[f] == nil {
				all[f] = make([]float64, T)
			}
			all[f][t] = float64(z) * dot32(d.Of.Decoder.Index(f).Data, g)
			sizes[f] += math.Abs(all[f][t])
		}
		d.offset = append(d.offset, dot32(d.Of.Offset, g))
		rest := 0.0
		for i, v := range d.x.Index(t).Data {
			rest += float64(v-d.made.Index(t).Data[i]) * float64(g[i])
		}
		d.rest = append(d.rest, rest)
	}
	for f := range all {
		d.features = append(d.features, f)
	}
	slices.SortFunc(d.features, func(a, b int) int { return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b)) })
	for _, f := range d.features {
		d.values = append(d.values, all[f])
	}
}

// measure takes the features that are shown out, one at a time, and checks that the parts are the whole.
func (d *dictionary) measure(ctx context.Context) (explain.MatrixScores, error) {
	T, shown := d.x.Dims[0], min(d.Top, len(d.features))
	q := lm.Query{Of: []lm.Objective{d.p.Objective}}
	add := func(edits ...lm.Edit) int {
		i := len(q.Rows)
		q.Rows = append(q.Rows, d.p.IDs)
		for _, e := range edits {
			e.Tap, e.Rows = d.Tap, []int{i}
			q.Edits = append(q.Edits, e)
		}
		return i
	}
	add()
	whole := slices.Clone(d.made.Data)
	for i, v := range d.x.Data {
		whole[i] += v - d.made.Data[i]
	}
	values := func(x []float32) lm.Source { return lm.FromValues(lm.Array{Dims: []int{1, T, d.Of.Width()}, Data: x}) }
	again := add(lm.Edit{With: values(whole)})
	made, zero := add(lm.Edit{With: values(d.made.Data)}), add(lm.Edit{With: lm.Zero()})
	rows := map[[2]int]int{}
	for k, f := range d.features[:shown] {
		for t := range T {
			if z := d.z.Index(t).Data[f]; z != 0 {
				rows[[2]int{k, t}] = add(lm.Edit{Positions: []int{t}, Add: true, Times: -float64(z),
					With: lm.FromValues(lm.Array{Dims: []int{1, 1, d.Of.Width()}, Data: d.Of.Decoder.Index(f).Data})})
			}
		}
	}
	d.p.Expect(len(q.Rows) + 2)
	a, err := d.p.Run(ctx, q)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	lost, active := table(shown+2, T), table(shown+2, T)
	for at, i := range rows {
		lost[at[0]][at[1]] = a.Values[0] - a.Values[i]
		active[at[0]][at[1]] = float64(d.z.Index(at[1]).Data[d.features[at[0]]])
	}
	losses, err := d.losses(ctx, []lm.Source{values(d.x.Data), values(d.made.Data), lm.Zero()})
	if err != nil {
		return explain.MatrixScores{}, err
	}
	out := d.scores(shown)
	out.More = []explain.Measure{
		{Name: "what the objective loses when the feature is taken out there", Unit: d.p.Unit, Values: lost},
		{Name: "activation of the feature", Unit: "activation", Values: active},
	}
	out.Notes = d.notes(shown, a.Values[0]-a.Values[made], a.Values[0]-a.Values[zero], losses)
	out.Identities = append(out.Identities, explain.NewIdentity("features, offset and error are the activation: the "+
		"objective with them in its place", a.Values[0], a.Values[again], rounding*max(1, math.Abs(a.Values[0]))))
	return out, nil
}

// losses returns the mean loss of the prompt's own tokens after the first, in nats, with the activation replaced by
// each source; nil for a prompt of one token.
func (d *dictionary) losses(ctx context.Context, by []lm.Source) ([]float64, error) {
	n := len(d.p.IDs) - 1
	if n == 0 {
		return nil, nil
	}
	of := lm.Objective{Unit: lm.LogProb}
	for t, id := range d.p.IDs[1:] {
		of.Terms = append(of.Terms, lm.Term{Pos: t, ID: id, Weight: -1 / float64(n)})
	}
	q := lm.Query{Of: []lm.Objective{of}}
	for i, with := range by {
		q.Rows = append(q.Rows, append([]token.ID{}, d.p.IDs...))
		q.Edits = append(q.Edits, lm.Edit{Tap: d.Tap, Rows: []int{i}, With: with})
	}
	a, err := d.p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.Values, nil
}

// scores are the values with their promise.
func (d *dictionary) scores(shown int) explain.MatrixScores {
	T := d.x.Dims[0]
	out := explain.MatrixScores{Axes: [2]string{"feature", "token"}, Columns: tokenTexts(d.p), Settings: d.Dictionary,
		About: fmt.Sprintf("which features of %s the prediction goes by, to first order", d.Tap)}
	others := make([]float64, T)
	sum, want := 0.0, 0.0
	for k, v := range d.values {
		for t := range v {
			sum += v[t]
			if k >= shown {
				others[t] += v[t]
			}
		}
		if k < shown {
			out.Rows, out.Values = append(out.Rows, fmt.Sprintf("feature %d", d.features[k])), append(out.Values, v)
		}
	}
	rest := "offset"
	if n := len(d.values) - shown; n > 0 {
		rest = fmt.Sprintf("offset, and %d more", n)
	}
	for t := range T {
		others[t] += d.offset[t]
		sum += d.offset[t] + d.rest[t]
		want += dot32(d.x.Index(t).Data, d.grad.Index(t).Data)
	}
	out.Rows, out.Values = append(out.Rows, rest, "error"), append(out.Values, others, d.rest)
	size := 0.0
	for i, v := range d.x.Data {
		size += math.Abs(float64(v) * float64(d.grad.Data[i]))
	}
	out.Promise = &explain.Promise{Total: want, Of: "the activation times its gradient"}
	out.Identities = []explain.Identity{explain.NewIdentity("the values add up to the activation times its gradient", want,
		sum, rounding*max(1e-6, size))}
	return out
}

// notes says how much of the activation the features have, and of what the model makes of it.
func (d *dictionary) notes(shown int, lost, all float64, losses []float64) []string {
	T, D := d.x.Dims[0], d.Of.Width()
	mean := make([]float64, D)
	for i, v := range d.x.Data {
		mean[i%D] += float64(v) / float64(T)
	}
	left, spread, on := 0.0, 0.0, 0
	for i, v := range d.x.Data {
		left += math.Pow(float64(v-d.made.Data[i]), 2)
		spread += math.Pow(float64(v)-mean[i%D], 2)
	}
	for _, z := range d.z.Data {
		if z != 0 {
			on++
		}
	}
	notes := []string{fmt.Sprintf("%.3g of %d features are active at a token; the error is %.3g of the activation's "+
		"variance; without the error the objective loses %.3g, without all of the activation %.3g",
		float64(on)/float64(T), d.Of.Features(), left/max(spread, 1e-30), lost, all)}
	if losses != nil && math.Abs(losses[2]-losses[0]) > 1e-6 {
		notes = append(notes, fmt.Sprintf("of what the activation is good for in predicting the prompt's own tokens, the "+
			"features have %.3g: a token's loss is %.3g nats, without the error %.3g, without the activation %.3g",
			(losses[2]-losses[1])/(losses[2]-losses[0]), losses[0], losses[1], losses[2]))
	}
	if shown > 0 {
		var names []string
		for k, f := range d.features[:min(3, shown)] {
			sum := 0.0
			for _, v := range d.values[k] {
				sum += v
			}
			names = append(names, fmt.Sprintf("feature %d %+.3g", f, sum))
		}
		notes = append(notes, "largest: "+strings.Join(names, "; "))
	}
	return notes
}

// dot32 is the product of two vectors, added up in float64.
func dot32(a, b []float32) (sum float64) {
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}
