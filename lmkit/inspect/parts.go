package inspect

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Parts says which heads and feed-forward layers of a decoder carry the difference between a clean and a corrupted
// prompt, by all ways to find them: a row each, so that they can be compared. Where the ways differ is what each is
// for; Truth has what the prediction loses when the part is really taken out.
type Parts struct {
	Corrupted string     `json:"corrupted,omitempty"` // the prompt to compare with, of as many tokens, or
	IDs       []token.ID `json:"ids,omitempty"`       // its tokens
	// Means are what [lm.Model] activations attn.z and mlp.out are replaced with to take a part out [1, T, ...]: their
	// means over other texts. nil: it gets those of the corrupted prompt.
	Means map[lm.Tap]lm.Array `json:"-"`
}

// The rows of Parts: what taking a part out does, and the ways to find that.
const (
	Truth       = "ablation"  // the part gets means, or what it has in the corrupted prompt, in the clean run
	ByPatching  = "patching"  // the clean part in the corrupted run
	ByNoising   = "noising"   // the corrupted part in the clean run
	ByAtP       = "AtP"       // attribution patching (Nanda, 2022)
	ByAtPStar   = "AtP*"      // with GradDrop (Kramár et al., 2024)
	ByEdges     = "EAP"       // the sizes of the edges from the part (Syed et al., 2023)
	ByMeanEdges = "EAP-IG"    // by a mean gradient (Hanna et al., 2024)
	ByDirect    = "direct"    // direct logit attribution (Elhage et al., 2021)
	ByAttention = "attention" // how much later tokens attend to the first one that differs
)

// Name implements explain.MatrixMethod.
func (Parts) Name() string { return "parts" }

// parts is Parts on its way.
type parts struct {
	Parts
	p      *explain.Problem
	d      *dissection
	places []place
	names  []string
	out    explain.MatrixScores
}

// Matrix implements explain.MatrixMethod. Rows are ways to find parts, and columns the parts. Values are shares of the
// difference between the two prompts; those of attention are shares of attention. Cost: three rows forward a part, and
// what estimates take: a row forward and backward a layer, and for each point of a mean gradient.
func (x Parts) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	none := explain.MatrixScores{}
	ids, err := readCorrupted(p, x.Corrupted, x.IDs)
	if err != nil {
		return none, err
	}
	if _, err := newAnatomy(p.Model, len(p.IDs)); err != nil {
		return none, err
	}
	pairs, err := compare(ctx, p, version{ids: ids})
	if err != nil {
		return none, err
	}
	f := &parts{Parts: x, p: p}
	if f.d, err = dissect(ctx, pairs[0], 0); err != nil {
		return none, err
	}
	f.list()
	for _, step := range []func(context.Context) error{f.exact, f.gradients, f.seen} {
		if err := step(ctx); err != nil {
			return none, err
		}
	}
	f.out.Axes, f.out.Columns, f.out.Settings = [2]string{"way", "part"}, f.names, x
	f.out.About, f.out.Unit = "which parts carry the difference, by each way to find them", "share of the difference"
	f.out.Notes, f.out.Base = []string{pairs[0].told}, &pairs[0].base
	f.out.Identities = []explain.Identity{explain.NewIdentity(fmt.Sprintf("the scores of the input's edges, by %d "+
		"points, add up to the difference", f.d.points), pairs[0].difference, f.d.total,
		0.05*math.Abs(pairs[0].difference))}
	return f.out, nil
}

// list names the parts, in the order of computation.
func (f *parts) list() {
	for l := range f.d.c.Layers {
		for h := range f.d.c.Heads {
			f.places = append(f.places, place{tap: fmt.Sprintf("block.%d.attn.z", l), layer: l, heads: []int{h}})
			f.names = append(f.names, f.d.writerName(f.d.headNode(l, h)))
		}
		f.places = append(f.places, place{tap: fmt.Sprintf("block.%d.mlp.out", l), layer: l})
		f.names = append(f.names, f.d.writerName(f.d.mlpNode(l)))
	}
}

// row adds a way.
func (f *parts) row(name string, values []float64) {
	f.out.Rows, f.out.Values = append(f.out.Rows, name), append(f.out.Values, values)
}

// exact takes each part out of the clean run, and puts it into the corrupted one.
func (f *parts) exact(ctx context.Context) error {
	var found [2][]float64
	for i, noising := range []bool{false, true} {
		q := newPatches(f.d.pair, noising)
		var rows []int
		for _, at := range f.places {
			rows = append(rows, q.add(q.from(), at))
		}
		a, err := f.p.Run(ctx, q.q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			found[i] = append(found[i], q.effect(a, r))
		}
	}
	truth := found[1]
	if f.Means != nil {
		q := lm.Query{Rows: [][]token.ID{f.p.IDs}, Of: []lm.Objective{f.p.Objective}}
		for i, at := range f.places {
			q.Edits = append(q.Edits, at.edit(i+1, lm.FromValues(f.Means[at.tap])))
			q.Rows = append(q.Rows, f.p.IDs)
		}
		a, err := f.p.Run(ctx, q)
		if err != nil {
			return err
		}
		truth = nil
		for _, v := range a.Values[1:] {
			truth = append(truth, (a.Values[0]-v)/f.d.pair.difference)
		}
	}
	f.row(Truth, truth)
	f.row(ByPatching, found[0])
	f.row(ByNoising, found[1])
	return nil
}

// gradients estimates what taking parts out does.
func (f *parts) gradients(ctx context.Context) error {
	g := &grid{rows: []string{""}, columns: f.names, cells: [][]place{f.places}}
	for _, at := range f.places {
		if n := len(g.taps); n > 0 && g.taps[n-1].Name == at.tap {
			continue
		}
		info, err := f.p.Model.Tap(at.tap)
		if err != nil {
			return err
		}
		g.taps, g.layers = append(g.taps, info), append(g.layers, at.layer)
	}
	s := &sweep{Patch: Patch{Noising: true}, p: f.p, grid: g}
	est, err := s.estimate(ctx, f.d.pair)
	if err != nil {
		return err
	}
	f.row(ByAtP, est.slope)
	if est.dropped != nil {
		f.row(ByAtPStar, est.dropped)
	}
	for _, way := range []struct {
		name   string
		scores edgeScores
	}{{ByEdges, f.d.eap}, {ByMeanEdges, f.d.ig}} {
		var values []float64
		for i := range f.places {
			sum := 0.0
			for v := range f.d.readers {
				sum += math.Abs(way.scores.at(i+1, v))
			}
			values = append(values, sum/math.Abs(f.d.pair.difference))
		}
		f.row(way.name, values)
	}
	return nil
}

// seen goes by what can be seen in one clean run: what parts write to the logits, and what heads attend to.
func (f *parts) seen(ctx context.Context) error {
	var more []lm.Tap
	for l := range f.d.c.Layers {
		more = append(more, fmt.Sprintf("block.%d.attn.z", l), patternTap(l))
	}
	r, err := newReadout(ctx, f.p, more...)
	if err != nil {
		return err
	}
	var direct, attention []float64
	for l := range f.d.c.Layers {
		layer := fmt.Sprintf("block.%d.attn.", l)
		into, _, err := r.intoHeads(layer)
		if err != nil {
			return err
		}
		for h, by := range into {
			direct = append(direct, dot(by, r.answer.At[layer+"z"].Index(0, r.at, h).Data)/f.d.pair.difference)
			var seen []float32
			for t := f.d.pair.first + 1; t < len(f.p.IDs); t++ {
				seen = append(seen, r.answer.At[layer+"pattern"].Index(0, h, t).Data[f.d.pair.first])
			}
			attention = append(attention, float64(slices.Max(append(seen, 0))))
		}
		mlp := fmt.Sprintf("block.%d.mlp.out", l)
		direct, attention = append(direct, dot(r.by[mlp], r.here(mlp))/f.d.pair.difference), append(attention, 0)
	}
	f.row(ByDirect, direct)
	f.row(ByAttention, attention)
	return nil
}
