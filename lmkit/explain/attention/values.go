package attention

import (
	"context"
	"fmt"
	"math"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Norm is norm-based attention (Kobayashi et al., 2020): the size of what attention really brings, the L2 norm of
// pattern times value times output matrix, summed over the heads. Rows are normalised, and layers averaged.
type Norm struct {
	Layers []int `json:"layers,omitempty"` // nil: all
}

// Name implements explain.Method.
func (Norm) Name() string { return normName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x Norm) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Cost: one row forward.
func (n Norm) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(ctx, p, n)
}

// Matrix implements explain.MatrixMethod: values are [T][T].
func (x Norm) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	return matrix(ctx, p, x)
}

// weights returns the mean over the layers [T][T]. Rows add up to 1.
func (n Norm) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	layers, err := chosen("layer", n.Layers, p.Model.Config().Layers)
	if err != nil {
		return nil, err
	}
	reads, err := reads(ctx, p, layers)
	if err != nil {
		return nil, err
	}
	var out [][][]float64
	for _, r := range reads {
		sizes := square(len(p.IDs))
		for i := range sizes {
			for j, part := range r.parts(i, true) {
				sum := 0.0
				for _, v := range part {
					sum += v * v
				}
				sizes[i][j] = math.Sqrt(sum)
			}
		}
		out = append(out, Normalise(sizes))
	}
	return Mean(out...), nil
}

// ALTI is aggregation of layer-wise token-to-token interactions (Ferrando et al., 2022): the output of attention with
// its residual connection is a sum of parts, one a token; each contributes by how near it comes to the sum. Rows are
// normalised, and layers multiplied as in rollout.
type ALTI struct{}

// Name implements explain.Method.
func (ALTI) Name() string { return altiName }

// Suits implements explain.Selective: the model must be a Transformer.
func (x ALTI) Suits(m *lm.Model, _ explain.Question) error { return suits(m, x.Name()) }

// Score implements explain.Method. Cost: one row forward.
func (a ALTI) Score(ctx context.Context, p *explain.Problem) (explain.Scores, error) {
	return lastRow(ctx, p, a)
}

// Matrix implements explain.MatrixMethod: values are [T][T].
func (x ALTI) Matrix(ctx context.Context, p *explain.Problem) (explain.MatrixScores, error) {
	return matrix(ctx, p, x)
}

// weights returns the product over the layers [T][T]. Rows add up to 1.
func (ALTI) weights(ctx context.Context, p *explain.Problem) ([][]float64, error) {
	reads, err := reads(ctx, p, numbers(p.Model.Config().Layers))
	if err != nil {
		return nil, err
	}
	var layers [][][]float64
	for _, r := range reads {
		layer := square(len(p.IDs))
		for i := range layer {
			parts := r.parts(i, false)
			stays := float64s(r.in.Index(i).Data)
			if r.after.sum {
				r.after.through(i, stays)
			}
			for d, v := range stays {
				parts[i][d] += v
			}
			copy(layer[i], Contributions(float64s(r.out.Index(i).Data), parts))
		}
		layers = append(layers, Normalise(layer))
	}
	return Product(layers), nil
}

// read is one layer's attention taken apart.
type read struct {
	pattern         lm.Array    // [H, T, T]
	brought, biased [][]float64 // [H*T][D]: value times output matrix, without and with the values' bias
	in, out         lm.Array    // the residual stream before and after [T, D]
	after           norm        // that what attention writes goes through
}

// norm is a norm after attention, made linear by taking its scale for a constant.
type norm struct {
	is, sum bool      // there is one; it is over the sum of what attention writes and the residual stream
	centred bool      // it takes the mean away
	scale   lm.Array  // [T, 1]
	gain    []float64 // [D]; nil: 1
}

// through is what becomes of a part x of what goes through the norm at token i.
func (n norm) through(i int, x []float64) {
	if !n.is {
		return
	}
	mean := 0.0
	if n.centred {
		for _, v := range x {
			mean += v / float64(len(x))
		}
	}
	for d, v := range x {
		x[d] = (v - mean) / float64(n.scale.Data[i])
		if n.gain != nil {
			x[d] *= n.gain[d]
		}
	}
}

func float64s(xs []float32) []float64 {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = float64(x)
	}
	return out
}

// parts returns what each token up to i brings to token i, summed over the heads [i+1][D].
func (r read) parts(i int, bias bool) [][]float64 {
	from := r.brought
	if bias {
		from = r.biased
	}
	H, T := r.pattern.Dims[0], r.pattern.Dims[1]
	out := make([][]float64, i+1)
	for j := range out {
		out[j] = make([]float64, r.in.Dims[1])
		for h := range H {
			w := float64(r.pattern.Index(h, i).Data[j])
			for d, v := range from[h*T+j] {
				out[j][d] += w * v
			}
		}
		r.after.through(i, out[j])
	}
	return out
}

// reads runs the model once, and takes the attention of some layers apart.
func reads(ctx context.Context, p *explain.Problem, layers []int) ([]read, error) {
	q := lm.Query{Rows: [][]token.ID{p.IDs}}
	for _, l := range layers {
		q.Taps = append(q.Taps, patternTap(l), in(l, "attn.v"), in(l, "attn.out"), in(l, "resid.pre"))
		if p.Model.Config().NormsAfter() {
			q.Taps = append(q.Taps, in(l, "ln1_post.scale"))
		}
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	var rs []read
	for _, l := range layers {
		r := read{pattern: a.At[patternTap(l)].Index(0), in: a.At[in(l, "resid.pre")].Index(0)}
		if r.after, err = normAfter(p.Model, a, l); err != nil {
			return nil, err
		}
		r.out = r.sum(a.At[in(l, "attn.out")].Index(0))
		w, err := p.Model.Weight(in(l, "attn.out.weight")) // [D, H*K]: to D, of heads side by side
		if err != nil {
			return nil, err
		}
		values := a.At[in(l, "attn.v")].Index(0) // [T, G, K]
		bias, err := optional(p.Model, in(l, "attn.v.bias"))
		if err != nil {
			return nil, err
		}
		if bias == nil {
			bias = make([]float32, values.Dims[1]*values.Dims[2])
		}
		r.brought, r.biased = project(values, w, bias)
		rs = append(rs, r)
	}
	return rs, nil
}

// in returns the name of an activation or a weight of a layer.
func in(layer int, name string) string { return fmt.Sprintf("block.%d.%s", layer, name) }

// sum returns the residual stream with what attention writes [T, D], but for a norm's bias.
func (r read) sum(written lm.Array) lm.Array {
	out := lm.Array{Dims: r.in.Dims, Data: make([]float32, len(r.in.Data))}
	D := r.in.Dims[1]
	for i := range r.in.Dims[0] {
		x, stays := float64s(written.Index(i).Data), float64s(r.in.Index(i).Data)
		r.after.through(i, x)
		if r.after.sum {
			r.after.through(i, stays)
		}
		for d := range x {
			out.Data[i*D+d] = float32(x[d] + stays[d])
		}
	}
	return out
}

// normAfter returns the norm after a layer's attention, if there is one.
func normAfter(m *lm.Model, a *lm.Answer, layer int) (norm, error) {
	c := m.Config()
	if !c.NormsAfter() {
		return norm{}, nil
	}
	n := norm{is: true, sum: c.NormsSums(), centred: c.Centred(), scale: a.At[in(layer, "ln1_post.scale")].Index(0)}
	gain, err := optional(m, in(layer, "ln1_post.weight"))
	for _, g := range gain {
		n.gain = append(n.gain, float64(g)+c.NormOffset)
	}
	return n, err
}

// optional returns the numbers of a weight; nil if the model has no such weight.
func optional(m *lm.Model, name string) ([]float32, error) {
	for _, p := range m.Config().Params() {
		if p.Name == name {
			w, err := m.Weight(name)
			return w.Data, err
		}
	}
	return nil, nil
}

// project returns values [T, G, K] times each head's part of the output matrix [D, H*K], without and with their bias
// [G*K]. H/G heads beside each other have the same values.
func project(v, w lm.Array, bias []float32) (plain, biased [][]float64) {
	T, K, D, H := v.Dims[0], v.Dims[2], w.Dims[0], w.Dims[1]/v.Dims[2]
	readers := H / v.Dims[1]
	for h := range H {
		g := h / readers
		part := func(values []float32) []float64 { // what a head's values come to
			out := make([]float64, D)
			for d := range out {
				for k, x := range w.Index(d).Data[h*K : (h+1)*K] {
					out[d] += float64(values[k]) * float64(x)
				}
			}
			return out
		}
		constant := part(bias[g*K : (g+1)*K])
		for t := range T {
			with, without := part(v.Index(t, g).Data), make([]float64, D)
			for d := range D {
				without[d] = with[d] - constant[d]
			}
			plain, biased = append(plain, without), append(biased, with)
		}
	}
	return plain, biased
}
