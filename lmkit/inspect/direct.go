package inspect

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
)

// Direct is direct logit attribution (Elhage et al., 2021; Wang et al., 2022): the residual stream is a sum of what
// embeddings, heads and feed-forward layers write, and the final norm, with its scale as it is in this run, is linear.
// So the difference of two logits is a sum of what each part writes, read in one direction, and of a constant. It is
// the direct effect alone: what a part does to later ones is not in it, nor that it makes the norm's scale larger.
//
// Of an LSTM the hidden state is o*tanh(c), and its cell c = sum over tokens of what each wrote and the forget gates
// have left: gates, and tanh(c)/c, are those of this run.
type Direct struct {
	By  string `json:"by,omitempty"`  // what gets a value: see DirectParts; "": component, of an LSTM token
	Top int    `json:"top,omitempty"` // how many neurons are named; 0: 20
}

// DirectParts lists what direct attribution can give values to: what writes to the stream, the tokens that attention
// brings it from (or, of an LSTM, that wrote to its cells), heads, or neurons of feed-forward layers (or units).
var DirectParts = []string{"component", "token", "head", "neuron"}

// Name implements explain.MatrixMethod.
func (Direct) Name() string { return "direct" }

// Suits implements explain.Selective.
func (x Direct) Suits(m *lm.Model, q explain.Question) error {
	by := x.by(m)
	switch {
	case !slices.Contains(DirectParts, by):
		return fmt.Errorf("direct attribution is by %s, not by %q", strings.Join(DirectParts, ", "), x.By)
	case q.Objective != "" && q.Objective != explain.Contrast && q.Objective != explain.Logit:
		return fmt.Errorf("direct attribution is of logits, and the objective is %s: choose %s or %s", q.Objective,
			explain.Contrast, explain.Logit)
	case m.Config().Recurrent() && (by == "component" || by == "head"):
		return fmt.Errorf("an LSTM has no %ss that write to a residual stream: choose --by token or --by neuron", by)
	}
	return nil
}

// Matrix implements explain.MatrixMethod. Cost: one row forward.
func (x Direct) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	if err := askedFor("top", x.Top); err != nil {
		return explain.MatrixScores{}, err
	}
	x.By, x.Top = x.by(p.Model), cmp.Or(x.Top, 20)
	var more []lm.Tap
	for _, t := range p.Model.Taps() {
		if slices.ContainsFunc(x.needs(p.Model), func(end string) bool { return strings.HasSuffix(t.Name, end) }) {
			more = append(more, t.Name)
		}
	}
	r, err := newReadout(ctx, p, more...)
	if err != nil {
		return explain.MatrixScores{}, err
	}
	var d directed
	switch {
	case r.config.Recurrent() && x.By == "token":
		d = r.tokensOfCells()
	case r.config.Recurrent():
		d = r.units(x.Top)
	case x.By == "token":
		d, err = r.tokens()
	case x.By == "head":
		d, err = r.heads()
	case x.By == "neuron":
		d, err = r.neurons(x.Top)
	default:
		d = r.components()
	}
	if err != nil {
		return explain.MatrixScores{}, err
	}
	return r.scores(x, d), nil
}

// by is what gets a value.
func (x Direct) by(m *lm.Model) string {
	if x.By == "" && m.Config().Recurrent() {
		return "token"
	}
	return cmp.Or(x.By, DirectParts[0])
}

// needs lists the ends of the names of activations that are read besides those of every readout.
func (x Direct) needs(m *lm.Model) []string {
	switch {
	case m.Config().Recurrent():
		return []string{".hidden", ".cell", ".gate.i", ".gate.f", ".gate.g", ".gate.o"}
	case x.By == "token":
		return []string{".attn.pattern", ".attn.v"}
	case x.By == "head":
		return []string{".attn.z"}
	case x.By == "neuron":
		return []string{".mlp.post"}
	}
	return nil
}

// directed is the values of one way to split a difference of logits. rest is what no value has: with the values it
// comes to the difference but for the constant.
type directed struct {
	axes          [2]string
	rows, columns []string
	values        [][]float64
	rest          float64
	restIs        string // what has the rest, in words
	some          bool   // the largest values alone: they add up to nothing by themselves
	parts         []explain.Identity
}

// scores are the values with what must be so.
func (r *readout) scores(x Direct, d directed) explain.MatrixScores {
	sum, size := d.rest+r.constant, math.Abs(d.rest)+math.Abs(r.constant)
	var cells named
	for i, row := range d.values {
		for j, v := range row {
			sum, size = sum+v, size+math.Abs(v)
			name := d.rows[i]
			if len(d.columns) > 1 {
				name += " " + d.axes[1] + " " + quoted(d.columns[j])
			}
			cells = append(cells, scored{name, v})
		}
	}
	cells.sort()
	var top []string
	for _, c := range cells[:min(5, len(cells))] {
		top = append(top, fmt.Sprintf("%s %+.3g", c.name, c.value))
	}
	out := explain.MatrixScores{
		About: "what writes the difference of the logits directly, by " + x.By, Axes: d.axes, Rows: d.rows,
		Columns: d.columns, Values: d.values, Unit: "logit", Settings: x,
		Notes: []string{"the largest: " + strings.Join(top, ", "), fmt.Sprintf("the constant is %+.4g: biases of norms "+
			"and of the output matrix, which no part writes", r.constant)},
		Identities: append(d.parts, r.identities("the values", sum, size)...),
	}
	if !d.some {
		out.Promise = &explain.Promise{Total: r.total - r.constant - d.rest,
			Of: "the difference of the logits, but for the constant"}
		if d.restIs != "" {
			out.Promise.Of += " and for " + d.restIs
		}
	}
	if d.restIs != "" {
		out.Notes = append(out.Notes, fmt.Sprintf("%s: %+.4g", d.restIs, d.rest))
	}
	if r.config.LogitCap != 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("the model caps its logits: what is explained, %+.4g, is their difference "+
			"before, which becomes %+.4g", r.total, r.problem.Value))
	}
	return out
}

// components gives values to what is written to the stream.
func (r *readout) components() directed {
	names, values := r.parts()
	d := directed{axes: [2]string{"part", "all"}, rows: names, columns: []string{"contribution"}}
	for _, v := range values {
		d.values = append(d.values, []float64{v})
	}
	return d
}

// tokens splits what attention writes by the tokens that it brings it from. Embeddings and feed-forward layers write
// at the last token.
func (r *readout) tokens() (directed, error) {
	names, values := r.parts()
	d := directed{axes: [2]string{"part", "token"}, rows: names, columns: texts(r.problem)}
	biases := 0.0
	for i, name := range names {
		row := make([]float64, len(r.problem.IDs))
		d.values = append(d.values, row)
		if !strings.HasSuffix(name, ".attn.out") {
			row[r.at] = values[i]
			continue
		}
		layer := strings.TrimSuffix(name, "out")
		into, bias, err := r.intoHeads(layer)
		if err != nil {
			return d, err
		}
		biases += bias
		sum, size := bias, math.Abs(bias)
		pattern, v := r.answer.At[layer+"pattern"], r.answer.At[layer+"v"]
		readers := r.config.Heads / r.config.KVHeads
		for h, by := range into {
			for t, share := range pattern.Index(0, h, r.at).Data {
				x := float64(share) * dot(by, v.Index(0, t, h/readers).Data)
				row[t], sum, size = row[t]+x, sum+x, size+math.Abs(x)
			}
		}
		d.parts = worst(d.parts, "what a layer's heads bring from the tokens, and its bias, against what attention writes",
			values[i], sum, size)
	}
	d.rest, d.restIs = biases, "the biases of attention's output"
	return d, nil
}

// intoHeads returns, for each head of a layer, the direction in which the logits read its output [K], and what they
// read of the bias that is added to the heads.
func (r *readout) intoHeads(layer string) (by [][]float64, bias float64, err error) {
	w, _, err := r.weightArray(layer + "out.weight")
	if err != nil {
		return nil, 0, err
	}
	all := transposed(w, r.by[layer+"out"]) // [H*K]
	if b, ok, err := r.weightArray(layer + "out.bias"); err != nil {
		return nil, 0, err
	} else if ok {
		bias = dot(r.by[layer+"out"], b.Data)
	}
	for at := range slices.Chunk(all, r.config.HeadWidth) {
		by = append(by, at)
	}
	return by, bias, nil
}

// heads gives values to the heads of each layer. What else is written is the rest.
func (r *readout) heads() (directed, error) {
	names, values := r.parts()
	d := directed{axes: [2]string{"layer", "head"}, restIs: "embeddings, feed-forward layers and biases of attention"}
	for h := range r.config.Heads {
		d.columns = append(d.columns, fmt.Sprint(h))
	}
	for i, name := range names {
		if !strings.HasSuffix(name, ".attn.out") {
			d.rest += values[i]
			continue
		}
		layer := strings.TrimSuffix(name, "out")
		into, bias, err := r.intoHeads(layer)
		if err != nil {
			return d, err
		}
		row, sum, size := make([]float64, len(into)), bias, math.Abs(bias)
		for h, by := range into {
			row[h] = dot(by, r.answer.At[layer+"z"].Index(0, r.at, h).Data)
			sum, size = sum+row[h], size+math.Abs(row[h])
		}
		d.rest += bias
		d.rows, d.values = append(d.rows, strings.TrimSuffix(layer, ".attn.")), append(d.values, row)
		d.parts = worst(d.parts, "a layer's heads, and its bias, against what attention writes", values[i], sum, size)
	}
	return d, nil
}

// neurons names the neurons of all feed-forward layers that write most. The others, and what else is written, are the
// rest.
func (r *readout) neurons(top int) (directed, error) {
	names, values := r.parts()
	var all named
	d := directed{}
	for i, name := range names {
		d.rest += values[i]
		if !strings.HasSuffix(name, ".mlp.out") {
			continue
		}
		layer := strings.TrimSuffix(name, "out")
		w, _, err := r.weightArray(name + ".weight")
		if err != nil {
			return d, err
		}
		into, sum, size := transposed(w, r.by[name]), 0.0, 0.0
		if b, ok, err := r.weightArray(name + ".bias"); err != nil {
			return d, err
		} else if ok {
			sum = dot(r.by[name], b.Data)
		}
		for j, x := range r.here(layer + "post") {
			v := into[j] * float64(x)
			all = append(all, scored{fmt.Sprintf("%spost[%d]", layer, j), v})
			sum, size = sum+v, size+math.Abs(v)
		}
		d.parts = worst(d.parts, "a layer's neurons, and its bias, against what it writes", values[i], sum, size)
	}
	all.into(&d, "neuron", top)
	d.restIs = "all other neurons, attention and embeddings"
	return d, nil
}

// scored is a part with its value.
type scored struct {
	name  string
	value float64
}

type named []scored

// sort puts the largest first.
func (n named) sort() {
	slices.SortStableFunc(n, func(a, b scored) int { return cmp.Compare(math.Abs(b.value), math.Abs(a.value)) })
}

// into makes rows of the largest, and takes them from the rest.
func (n named) into(d *directed, what string, top int) {
	n.sort()
	d.axes, d.columns, d.some = [2]string{what, "all"}, []string{"contribution"}, true
	for _, x := range n[:min(top, len(n))] {
		d.rows, d.values = append(d.rows, x.name), append(d.values, []float64{x.value})
		d.rest -= x.value
	}
}

// worst keeps, of the identities of several layers that have one name, that which is farthest off.
func worst(ids []explain.Identity, name string, want, got, size float64) []explain.Identity {
	i := explain.NewIdentity(name, want, got, 1e-4*math.Max(1, size))
	if len(ids) > 0 {
		old := ids[0]
		if math.Abs(old.Got-old.Want)/old.Tolerance >= math.Abs(got-want)/i.Tolerance {
			return ids
		}
	}
	return []explain.Identity{i}
}
