package inspect

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// circuit is the edges that are kept: [V, U], 1 where v reads what u writes in this run, 0 where it reads what u wrote
// in the corrupted one.
type circuit []float32

func (x *anatomy) newCircuit(edges []edge) circuit {
	c := make(circuit, len(x.readers)*x.writers())
	for _, e := range edges {
		c[e.v*x.writers()+e.u] = 1
	}
	return c
}

// replay runs the corrupted prompt with the clean input, where only the edges of a circuit carry what changes: a reader
// reads
//
//	in_v = in_v(k) + sum over u in the circuit of (out_u(this run) - out_u(k))
//
// It returns the objective of each circuit. Layer after layer, the sums, norms and projections are computed here, and
// what the model makes of them by the model: attention and feed-forward layer get their inputs as given values. So a
// layer takes two rows for each circuit.
func (d *dissection) replay(ctx context.Context, circuits []circuit) ([]float64, error) {
	const most = 64 << 20 // numbers to hold
	group := max(1, most/(d.writers()*d.size()))
	var values []float64
	for first := 0; first < len(circuits); first += group {
		r := d.newReplay(circuits[first:min(len(circuits), first+group)])
		v, err := r.run(ctx)
		if err != nil {
			return nil, err
		}
		values = append(values, v...)
	}
	return values, nil
}

// replaying is some circuits on their way through the layers.
type replaying struct {
	*dissection
	circuits []circuit
	change   [][]float32 // of each circuit: what its parts write, minus what they wrote in the corrupted run [U, T*D]
	rows     [][]token.ID
}

func (d *dissection) newReplay(circuits []circuit) *replaying {
	r := &replaying{dissection: d, circuits: circuits}
	n := d.size()
	for range circuits {
		change := make([]float32, d.writers()*n)
		for k := range n {
			change[k] = d.clean[k] - d.broken[k]
		}
		r.change, r.rows = append(r.change, change), append(r.rows, d.pair.corrupted.ids)
	}
	return r
}

func (r *replaying) run(ctx context.Context) ([]float64, error) {
	first := 0
	for l := range r.c.Layers {
		heads := first
		for r.readers[first].kind != "mlp" {
			first++
		}
		if err := r.attention(ctx, l, heads, first); err != nil {
			return nil, err
		}
		if err := r.mlp(ctx, l, first); err != nil {
			return nil, err
		}
		first++
	}
	end := r.read(first, first+1, r.end())
	a, err := r.pair.p.Run(ctx, lm.Query{Rows: r.rows, Of: []lm.Objective{r.pair.p.Objective},
		Edits: []lm.Edit{{Tap: r.end(), With: lm.FromValues(r.values(end, r.c.Width))}}})
	if err != nil {
		return nil, err
	}
	return a.Values, nil
}

// read returns what readers [first, last) read in each circuit [n, T*D]: the stream of the corrupted run at a tap, and
// the changes that the circuit lets through.
func (r *replaying) read(first, last int, stream lm.Tap) [][]float32 {
	n, U := r.size(), r.writers()
	out := make([][]float32, len(r.circuits))
	for i, c := range r.circuits {
		out[i] = make([]float32, (last-first)*n)
		for k := range out[i] {
			out[i][k] = r.stream[stream].Data[k%n]
		}
		from := r.readers[first].from
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(last-first, from, U, c[first*U:]), general(from, n, n,
			r.change[i]),
			1, general(last-first, n, n, out[i]))
	}
	return out
}

// values is numbers of each circuit as the values of an edit [n, T, ...].
func (r *replaying) values(of [][]float32, dims ...int) lm.Array {
	out := lm.Array{Dims: append([]int{len(of), r.T}, dims...)}
	for _, x := range of {
		out.Data = append(out.Data, x...)
	}
	return out
}

// attention runs the heads of a layer, whose readers are [first, last).
func (r *replaying) attention(ctx context.Context, l, first, last int) error {
	n, K, p := r.size(), r.c.HeadWidth, fmt.Sprintf("block.%d.", l)
	w := r.layers[l]
	in := r.read(first, last, p+"resid.pre")
	q := lm.Query{Rows: r.rows, Taps: []lm.Tap{p + "attn.z"}}
	for _, side := range []struct {
		kind  string
		heads int
		by    linear
	}{{"q", r.c.Heads, w.q}, {"k", r.c.KVHeads, w.k}, {"v", r.c.KVHeads, w.v}} {
		made := make([][]float32, len(in))
		for i := range in {
			made[i] = make([]float32, r.T*side.heads*K)
			for h := range side.heads {
				x := in[i][h*n : (h+1)*n]
				r.norm(x, w.ln1)
				side.by.project(x, r.T, side.heads, h, made[i])
			}
			in[i] = in[i][side.heads*n:]
		}
		q.Edits = append(q.Edits, lm.Edit{Tap: p + "attn." + side.kind,
			With: lm.FromValues(r.values(made, side.heads, K))})
	}
	a, err := r.pair.p.Run(ctx, q)
	if err != nil {
		return err
	}
	from, to := r.headNode(l, 0)*n, r.mlpNode(l)*n
	for i := range r.circuits {
		z := a.At[p+"attn.z"].Index(i).Data
		var scale []float32
		if r.after {
			scale = r.scaleAfter(l, z)
		}
		r.headWrites(l, z, scale, r.change[i][from:to])
		for k := from; k < to; k++ {
			r.change[i][k] -= r.broken[k]
		}
	}
	return nil
}

// scaleAfter returns the scale of the norm behind attention [T].
func (r *replaying) scaleAfter(l int, z []float32) []float32 {
	w, out := r.layers[l].out, make([]float32, r.size())
	w.project(z, r.T, 1, 0, out)
	return r.normalise(out)
}

// mlp runs the feed-forward layer, which is reader number v.
func (r *replaying) mlp(ctx context.Context, l, v int) error {
	n, p := r.size(), fmt.Sprintf("block.%d.", l)
	w, stream := r.layers[l], p+"resid.pre"
	if r.sequential {
		stream = p + "resid.mid"
	}
	gain := w.ln1
	if r.ownNorm {
		gain = w.ln2
	}
	in := r.read(v, v+1, stream)
	q := lm.Query{Rows: r.rows, Taps: []lm.Tap{p + "mlp.out"}}
	for i := range in {
		r.norm(in[i], gain)
	}
	for _, side := range []struct {
		name string
		by   linear
	}{{"gate", w.gate}, {"up", w.up}, {"pre", w.pre}} {
		if side.by.weight.Data == nil {
			continue
		}
		made := make([][]float32, len(in))
		for i := range in {
			made[i] = make([]float32, r.T*r.c.Inner)
			side.by.project(in[i], r.T, 1, 0, made[i])
		}
		q.Edits = append(q.Edits, lm.Edit{Tap: p + "mlp." + side.name, With: lm.FromValues(r.values(made, r.c.Inner))})
	}
	a, err := r.pair.p.Run(ctx, q)
	if err != nil {
		return err
	}
	at := r.mlpNode(l) * n
	for i := range r.circuits {
		to := r.change[i][at : at+n]
		copy(to, a.At[p+"mlp.out"].Index(i).Data)
		if r.after {
			r.normalise(to)
			w.post2.apply(to)
		}
		for k := range to {
			to[k] -= r.broken[at+k]
		}
	}
	return nil
}

// project adds to out [T, heads, width] what head number h of a projection makes of x [T, in].
func (w linear) project(x []float32, T, heads, h int, out []float32) {
	in, width := w.weight.Dims[1], w.weight.Dims[0]/heads
	if w.bias.Data != nil {
		for t := range T {
			copy(out[(t*heads+h)*width:(t*heads+h+1)*width], w.bias.Data[h*width:(h+1)*width])
		}
	}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(T, in, in, x), general(width, in, in, w.weight.Data[h*width*in:]), 1,
		general(T, width, heads*width, out[h*width:]))
}

// norm is what a part reads its input [T, D] through, if there is a norm before it.
func (r *replaying) norm(x []float32, w normWeights) {
	if r.before {
		r.normalise(x)
		w.apply(x)
	}
}

// normalise divides rows [T, D], less their mean where norms take it away, by sqrt(mean square + epsilon), and returns
// by what.
func (x *anatomy) normalise(rows []float32) (scale []float32) {
	D := x.c.Width
	for t := range x.T {
		row := rows[t*D : (t+1)*D]
		mean, squares := float32(0), 0.0
		if x.c.Centred() {
			mean = average(row)
		}
		for d := range row {
			row[d] -= mean
			squares += float64(row[d]) * float64(row[d]) / float64(D)
		}
		s := float32(math.Sqrt(squares + x.c.Epsilon))
		for d := range row {
			row[d] /= s
		}
		scale = append(scale, s)
	}
	return scale
}
