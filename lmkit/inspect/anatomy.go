package inspect

import (
	"errors"
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"lmkit.internal/lmkit/lm"
)

// anatomy is a decoder as parts that add up: each writes to the residual stream, and reads the sum of what earlier ones
// wrote. The writers are the input, every head of attention and every feed-forward layer; a head reads as queries, keys
// and values, of which several heads may share the last two, and the logits read the end of the stream.
type anatomy struct {
	m             *lm.Model
	c             lm.Config
	T             int  // tokens of a text
	sequential    bool // the feed-forward layer reads what attention of the same layer wrote
	before, after bool // there are norms before what a part reads, and after what it writes
	ownNorm       bool // the feed-forward layer has a norm of its own to read through
	readers       []reader
	layers        []layerWeights
}

// reader is what reads the residual stream: the writers before number from.
type reader struct {
	layer int
	kind  string // "q", "k", "v", "mlp" or "logits"
	head  int    // of queries, or of keys and values
	from  int
}

// layerWeights is what a layer multiplies by, as float32.
type layerWeights struct {
	q, k, v, out, gate, up, pre linear
	ln1, ln2, post1, post2      normWeights
	qNorm, kNorm                normWeights // of queries and keys: one for each head, or one for all heads together
}

// linear is a matrix [out, in] and its bias; nil: it has none.
type linear struct{ weight, bias lm.Array }

// normWeights is the gain and bias of a norm, and its offset added; nil: it has none.
type normWeights struct{ gain, bias []float32 }

// writers returns how many parts write.
func (x *anatomy) writers() int { return 1 + x.c.Layers*(x.c.Heads+1) }

// headNode and mlpNode are the numbers of writers; 0 is the input.
func (x *anatomy) headNode(l, h int) int { return 1 + l*(x.c.Heads+1) + h }
func (x *anatomy) mlpNode(l int) int     { return x.headNode(l, x.c.Heads) }

// size is how many numbers a part writes of a text.
func (x *anatomy) size() int { return x.T * x.c.Width }

// writerName is "embed", a head such as "9.6", or "mlp 9".
func (x *anatomy) writerName(u int) string {
	if u == 0 {
		return "embed"
	}
	l, h := (u-1)/(x.c.Heads+1), (u-1)%(x.c.Heads+1)
	if h == x.c.Heads {
		return fmt.Sprintf("mlp %d", l)
	}
	return fmt.Sprintf("%d.%d", l, h)
}

// newAnatomy takes a model apart.
func newAnatomy(m *lm.Model, tokens int) (*anatomy, error) {
	c := m.Config()
	switch {
	case c.Recurrent():
		return nil, errors.New("an LSTM has no residual stream whose parts add up: use lmkit inspect patch")
	case c.NormsSums():
		return nil, errors.New("this model norms the residual stream after every sum, so that its parts do not add up: " +
			"use lmkit inspect patch")
	}
	has := func(tap lm.Tap) bool { _, err := m.Tap(tap); return err == nil }
	x := &anatomy{m: m, c: c, T: tokens, sequential: has("block.0.resid.mid"), before: has("block.0.ln1.scale"),
		after: c.NormsAfter(), ownNorm: has("block.0.ln2.scale")}
	for l := range c.Layers {
		for _, r := range []struct {
			kind string
			n    int
		}{{"q", c.Heads}, {"k", c.KVHeads}, {"v", c.KVHeads}} {
			for h := range r.n {
				x.readers = append(x.readers, reader{l, r.kind, h, x.headNode(l, 0)})
			}
		}
		from := x.headNode(l, 0)
		if x.sequential {
			from = x.mlpNode(l)
		}
		x.readers = append(x.readers, reader{l, "mlp", 0, from})
	}
	x.readers = append(x.readers, reader{c.Layers, "logits", 0, x.writers()})
	return x, x.load()
}

// load reads the weights.
func (x *anatomy) load() error {
	shapes := map[string]bool{}
	for _, p := range x.c.Params() {
		shapes[p.Name] = true
	}
	var failed error
	get := func(name string) lm.Array {
		if !shapes[name] || failed != nil {
			return lm.Array{}
		}
		a, err := x.m.Weight(name)
		failed = err
		return a
	}
	for l := range x.c.Layers {
		p := fmt.Sprintf("block.%d.", l)
		projection := func(name string) linear { return linear{get(p + name + ".weight"), get(p + name + ".bias")} }
		norm := func(name string) normWeights {
			n := normWeights{get(p + name + ".weight").Data, get(p + name + ".bias").Data}
			for i := range n.gain {
				n.gain[i] += float32(x.c.NormOffset)
			}
			return n
		}
		x.layers = append(x.layers, layerWeights{q: projection("attn.q"), k: projection("attn.k"), v: projection("attn.v"),
			out: projection("attn.out"), gate: projection("mlp.gate"), up: projection("mlp.up"), pre: projection("mlp.pre"),
			ln1: norm("ln1"), ln2: norm("ln2"), post1: norm("ln1_post"), post2: norm("ln2_post"),
			qNorm: norm("attn.q_norm"), kNorm: norm("attn.k_norm")})
	}
	return failed
}

// taps lists the activations that writes and gradients are computed from.
func (x *anatomy) taps() (taps []lm.Tap) {
	for l := range x.c.Layers {
		p := fmt.Sprintf("block.%d.", l)
		taps = append(taps, p+"resid.pre", p+"attn.z", p+"mlp.out")
		if x.sequential {
			taps = append(taps, p+"resid.mid")
		}
		if x.before {
			taps = append(taps, p+"ln1.scale", p+"ln1.normalized")
			if x.ownNorm {
				taps = append(taps, p+"ln2.scale", p+"ln2.normalized")
			}
		}
		if x.after {
			taps = append(taps, p+"ln1_post.scale", p+"ln2_post.normalized")
		}
	}
	return append(taps, x.end())
}

// end is the activation that the logits are read from.
func (x *anatomy) end() lm.Tap { return fmt.Sprintf("block.%d.resid.post", x.c.Layers-1) }

// wrt lists the activations whose gradients are those of what readers read.
func (x *anatomy) wrt() (taps []lm.Tap) {
	for l := range x.c.Layers {
		p := fmt.Sprintf("block.%d.", l)
		taps = append(taps, p+"attn.q", p+"attn.k", p+"attn.v")
		if x.c.Gated {
			taps = append(taps, p+"mlp.gate", p+"mlp.up")
		} else {
			taps = append(taps, p+"mlp.pre")
		}
	}
	return append(taps, x.end())
}

// writes returns what each part writes in row i of an answer: [U, T*D].
func (x *anatomy) writes(at map[lm.Tap]lm.Array, i int) []float32 {
	n := x.size()
	out := make([]float32, x.writers()*n)
	copy(out, at["block.0.resid.pre"].Index(i).Data)
	for l := range x.c.Layers {
		p := fmt.Sprintf("block.%d.", l)
		scale := lm.Array{}
		if x.after {
			scale = at[p+"ln1_post.scale"].Index(i)
		}
		x.headWrites(l, at[p+"attn.z"].Index(i).Data, scale.Data, out[x.headNode(l, 0)*n:x.mlpNode(l)*n])
		mlp := out[x.mlpNode(l)*n : (x.mlpNode(l)+1)*n]
		if x.after {
			copy(mlp, at[p+"ln2_post.normalized"].Index(i).Data)
			x.layers[l].post2.apply(mlp)
		} else {
			copy(mlp, at[p+"mlp.out"].Index(i).Data)
		}
	}
	return out
}

// headWrites fills out [H, T*D] with what the heads of a layer write: z W_O of each, and where a norm stands behind
// attention, that divided by the norm's scale [T] times its gain. The bias belongs to none of them, but where it is
// divided by such a scale, which is not the same in all runs: there each head has its share of it.
func (x *anatomy) headWrites(l int, z, scale, out []float32) {
	H, K, D, n := x.c.Heads, x.c.HeadWidth, x.c.Width, x.size()
	for h := range H {
		to := out[h*n : (h+1)*n]
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(x.T, K, H*K, z[h*K:]),
			general(D, K, H*K, x.layers[l].out.weight.Data[h*K:]), 0, general(x.T, D, D, to))
		if scale == nil {
			continue
		}
		for t := range x.T {
			row := to[t*D : (t+1)*D]
			for d, b := range x.layers[l].out.bias.Data {
				row[d] += b / float32(H)
			}
			mean := float32(0)
			if x.c.Centred() {
				mean = average(row)
			}
			for d := range row {
				row[d] = (row[d] - mean) / scale[t]
			}
		}
		normWeights{gain: x.layers[l].post1.gain}.apply(to)
	}
}

// general is a matrix as BLAS has it.
func general(rows, cols, stride int, data []float32) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: stride, Data: data}
}

func average(x []float32) float32 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return float32(sum / float64(len(x)))
}

// apply multiplies rows by the gain, and adds the bias.
func (w normWeights) apply(x []float32) {
	for i := range x {
		if w.gain != nil {
			x[i] *= w.gain[i%len(w.gain)]
		}
		if w.bias != nil {
			x[i] += w.bias[i%len(w.bias)]
		}
	}
}

// grads adds to out [V, T*D] the gradient of the objective by what each reader reads, of row i of an answer, times a
// weight.
func (x *anatomy) grads(a *lm.Answer, i int, weight float64, out []float32) {
	n, D := x.size(), x.c.Width
	one := make([]float32, n)
	for v, r := range x.readers {
		p := fmt.Sprintf("block.%d.", r.layer)
		clear(one)
		back := func(name string, w linear, heads, head int) {
			g := a.Grad[p+name].Index(i).Data
			width := w.weight.Dims[0] / heads
			blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(x.T, width, heads*width, g[head*width:]),
				general(width, D, D, w.weight.Data[head*width*D:]), 1, general(x.T, D, D, one))
		}
		norm, gain := "ln1", normWeights{}
		if r.kind != "logits" {
			gain = x.layers[r.layer].ln1
		}
		switch r.kind {
		case "q":
			back("attn.q", x.layers[r.layer].q, x.c.Heads, r.head)
		case "k":
			back("attn.k", x.layers[r.layer].k, x.c.KVHeads, r.head)
		case "v":
			back("attn.v", x.layers[r.layer].v, x.c.KVHeads, r.head)
		case "mlp":
			if x.ownNorm {
				norm, gain = "ln2", x.layers[r.layer].ln2
			}
			if x.c.Gated {
				back("mlp.gate", x.layers[r.layer].gate, 1, 0)
				back("mlp.up", x.layers[r.layer].up, 1, 0)
			} else {
				back("mlp.pre", x.layers[r.layer].pre, 1, 0)
			}
		case "logits":
			copy(one, a.Grad[x.end()].Index(i).Data)
		}
		if x.before && r.kind != "logits" {
			x.throughNorm(one, a.At[p+norm+".normalized"].Index(i).Data, a.At[p+norm+".scale"].Index(i).Data, gain.gain)
		}
		for k, g := range one {
			out[v*n+k] += float32(weight) * g
		}
	}
}

// throughNorm takes gradients g [T, D] back through a norm: with g' = gain g, x the normalised activation and s the
// scale, (g' - mean(g') - x mean(g' x)) / s, without the first mean where the norm takes none away.
func (x *anatomy) throughNorm(g, normalised, scale, gain []float32) {
	D := x.c.Width
	normWeights{gain: gain}.apply(g)
	for t := range x.T {
		row, n := g[t*D:(t+1)*D], normalised[t*D:(t+1)*D]
		mean, along := 0.0, 0.0
		for d, v := range row {
			mean += float64(v) / float64(D)
			along += float64(v) * float64(n[d]) / float64(D)
		}
		if !x.c.Centred() {
			mean = 0
		}
		for d, v := range row {
			row[d] = float32((float64(v) - mean - float64(n[d])*along) / float64(scale[t]))
		}
	}
}
