package inspect

import (
	"context"
	"fmt"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// readout follows a difference of logits back through the residual stream of one run, at the last token, with all
// norms' scales as they were there. The stream is a sum and such a norm is linear, so that the difference of the logits
// is a sum over what was written to the stream: of each part c it is the product c.by, where by is the direction in
// which the logits read that part. Biases come to a constant.
type readout struct {
	problem  *explain.Problem
	model    *lm.Model
	config   lm.Config
	answer   *lm.Answer
	at       int                  // the last token
	by       map[lm.Tap][]float64 // of what each tap writes to the stream: the direction in which the logits read it
	constant float64              // of the biases on the way: of norms and of the head
	total    float64              // the difference of the logits before they are capped, as the head computes it
}

// newReadout runs the model once, with more activations recorded beside those that the readout needs.
func newReadout(ctx context.Context, p *explain.Problem, more ...lm.Tap) (*readout, error) {
	r := &readout{problem: p, model: p.Model, config: p.Model.Config(), at: len(p.IDs) - 1, by: map[lm.Tap][]float64{}}
	taps := append([]lm.Tap{"head.in"}, more...)
	for _, t := range p.Model.Taps() {
		norm := strings.HasSuffix(t.Name, "_post.scale") || t.Name == "final.scale"
		if norm || written(t.Name) || t.Name == "block.0.resid.pre" || t.Name == "pos_embed" {
			taps = append(taps, t.Name)
		}
	}
	var err error
	if r.answer, err = p.Run(ctx, lm.Query{Rows: p.Rows(1), Taps: taps}); err != nil {
		return nil, err
	}
	w, err := r.head()
	if err != nil {
		return nil, err
	}
	if r.config.Recurrent() {
		r.by["head.in"] = w
		return r, nil
	}
	return r, r.back(w)
}

// written reports whether an activation is what attention or a feed-forward layer writes.
func written(tap lm.Tap) bool {
	return strings.HasSuffix(tap, ".attn.out") || strings.HasSuffix(tap, ".mlp.out")
}

// here returns an activation at the last token.
func (r *readout) here(tap lm.Tap) []float32 { return r.answer.At[tap].Index(0, r.at).Data }

// head returns the direction in which the logits read the hidden state: W[target] - W[foil].
func (r *readout) head() ([]float64, error) {
	p, rows := r.problem, make([]lm.Array, 2)
	matrix := lm.Array{}
	var err error
	if !r.config.Tied {
		if matrix, err = r.model.Weight("head.weight"); err != nil {
			return nil, err
		}
	}
	row := func(id token.ID) (lm.Array, error) {
		if r.config.Tied {
			x, err := r.model.Embeddings(id)
			return lm.Array{Dims: x.Dims[1:], Data: x.Data}, err
		}
		return matrix.Index(int(id)), nil
	}
	if rows[0], err = row(p.Target[0]); err != nil {
		return nil, err
	}
	w := floats(rows[0].Data)
	if p.Foil != nil {
		if rows[1], err = row(p.Foil[0]); err != nil {
			return nil, err
		}
		for i, v := range rows[1].Data {
			w[i] -= float64(v)
		}
	}
	if b, ok, err := r.weight("head.bias"); err != nil {
		return nil, err
	} else if ok {
		r.constant += b[p.Target[0]]
		if p.Foil != nil {
			r.constant -= b[p.Foil[0]]
		}
	}
	r.total = dot(w, r.here("head.in")) + r.constant
	return w, nil
}

// back follows the direction w from the hidden state down to the embeddings.
func (r *readout) back(w []float64) error {
	var err error
	if m, ok, e := r.weightArray("head_in.weight"); e != nil {
		return e
	} else if ok {
		w = transposed(m, w)
	}
	if !r.config.NormsSums() {
		if w, err = r.through("final", w); err != nil {
			return err
		}
	}
	for l := r.config.Layers - 1; l >= 0; l-- {
		for _, part := range []struct{ writes, norm string }{{"mlp.out", "ln2_post"}, {"attn.out", "ln1_post"}} {
			tap, read := fmt.Sprintf("block.%d.%s", l, part.writes), w
			if r.config.NormsAfter() {
				if read, err = r.through(fmt.Sprintf("block.%d.%s", l, part.norm), w); err != nil {
					return err
				}
			}
			r.by[tap] = read
			if r.config.NormsSums() { // all that the stream had before goes through the norm, too
				w = read
			}
		}
	}
	r.by["embed"] = w
	return nil
}

// through returns the direction before a norm from that behind it: gain*w/scale, without its mean where the norm takes
// the mean away. What its bias adds goes to the constant.
func (r *readout) through(norm string, w []float64) ([]float64, error) {
	gain, isGain, err := r.weight(norm + ".weight")
	if err != nil {
		return nil, err
	}
	bias, isBias, err := r.weight(norm + ".bias")
	if err != nil {
		return nil, err
	}
	scale, mean, out := float64(r.here(norm + ".scale")[0]), 0.0, make([]float64, len(w))
	for i, v := range w {
		if isBias {
			r.constant += bias[i] * v
		}
		if isGain {
			v *= gain[i] + r.config.NormOffset
		}
		out[i] = v / scale
		mean += out[i] / float64(len(w))
	}
	if r.config.Centred() {
		for i := range out {
			out[i] -= mean
		}
	}
	return out, nil
}

// weight is a parameter as float64, if the model has it.
func (r *readout) weight(name string) ([]float64, bool, error) {
	a, ok, err := r.weightArray(name)
	return floats(a.Data), ok, err
}

func (r *readout) weightArray(name string) (lm.Array, bool, error) {
	for _, p := range r.config.Params() {
		if p.Name == name {
			a, err := r.model.Weight(name)
			return a, true, err
		}
	}
	return lm.Array{}, false, nil
}

// transposed is the transpose of W [out, in] times w [out].
func transposed(m lm.Array, w []float64) []float64 {
	out := make([]float64, m.Dims[1])
	for i, v := range w {
		for j, x := range m.Index(i).Data {
			out[j] += v * float64(x)
		}
	}
	return out
}

func floats(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func dot(w []float64, x []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += w[i] * float64(v)
	}
	return sum
}

// parts lists what is written to the residual stream, in the order of computation, with what each contributes.
func (r *readout) parts() (names []lm.Tap, values []float64) {
	add := func(name lm.Tap, v float64) { names, values = append(names, name), append(values, v) }
	in := dot(r.by["embed"], r.here("block.0.resid.pre"))
	pos, learned := r.answer.At["pos_embed"]
	if learned {
		at := dot(r.by["embed"], pos.Index(0, r.at).Data)
		add("embed", in-at)
		add("pos_embed", at)
	} else {
		add("embed", in)
	}
	for l := range r.config.Layers {
		for _, what := range []string{"attn.out", "mlp.out"} {
			tap := fmt.Sprintf("block.%d.%s", l, what)
			add(tap, dot(r.by[tap], r.here(tap)))
		}
	}
	return names, values
}

// identities compare a sum of terms with the difference of the logits: relative to the size of the terms, as rounding
// is.
func (r *readout) identities(what string, sum, size float64) []explain.Identity {
	ids := []explain.Identity{explain.NewIdentity(what+" and the constant against the difference of the logits", r.total,
		sum, 1e-4*math.Max(1, size))}
	if p := r.problem; r.config.LogitCap == 0 {
		ids = append(ids, explain.NewIdentity("the difference of the logits against the model's own", p.Value, r.total,
			1e-4*math.Max(1, size)))
	}
	return ids
}
