package inspect

import (
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// What a head's weights alone say of it.
const (
	Copying  = "copying"  // of W_E W_V W_O W_U: what a head that reads a token adds to the logit of the same token
	Matching = "matching" // of W_E W_Q W_K^T W_E^T, at distance 0: how much a token's query likes the same token's key
)

// mostTokens is how many tokens of the vocabulary the weights are looked at with.
const mostTokens = 4096

// weights adds Copying and Matching: with lambda the eigenvalues of the matrix over the vocabulary, the sum of their
// real parts over the sum of their sizes. It is 1 where every token is copied, or matched, -1 where every token is
// suppressed, and about 0 of random weights. The matrix [V, V] has the eigenvalues of one [K, K], as its rank is K, and
// the gains of the norms are part of it.
func (d *detection) weights() error {
	x, err := newAnatomy(d.model, 1)
	if err != nil {
		return err
	}
	embed, unembed, err := d.tables(x)
	if err != nil {
		return err
	}
	c, off := x.c, 0.0
	D := c.Width
	between, same := make([]float32, D*D), make([]float32, D*D)
	n := len(embed) / D
	gram := func(a, b, out []float32) {
		blas32.Gemm(blas.Trans, blas.NoTrans, 1, general(n, D, D, a), general(n, D, D, b), 0, general(D, D, D, out))
	}
	gram(unembed, embed, between) // [D, D]: sum over tokens of u e^T
	gram(embed, embed, same)
	d.scores[Copying], d.scores[Matching] = table(c.Layers, c.Heads), table(c.Layers, c.Heads)
	for l, w := range x.layers {
		for h := range c.Heads {
			g := h * c.KVHeads / c.Heads
			out := columns(w.out.weight, h, c.HeadWidth)
			gained(out, D, w.post1.gain)
			v, q, k := rows(w.v.weight, g, c.HeadWidth), rows(w.q.weight, h, c.HeadWidth), rows(w.k.weight, g, c.HeadWidth)
			if x.before {
				for _, r := range [][]float32{v, q, k} {
					gained(r, D, w.ln1.gain)
				}
			}
			gainedRows(q, D, h, w.qNorm.gain)
			gainedRows(k, D, g, w.kNorm.gain)
			if rope := c.RopeOf(c.Pattern[l]); rope.Theta != 0 { // turning both by one angle leaves their product
				for i := range rope.Width * D {
					k[i] *= float32(rope.Magnitude * rope.Magnitude)
				}
			}
			for name, m := range map[string][]float32{Copying: sandwich(out, between, v, c.HeadWidth, D),
				Matching: sandwich(k, same, q, c.HeadWidth, D)} {
				share, wrong := eigenShare(m, c.HeadWidth)
				d.scores[name][l][h], off = share, max(off, wrong)
			}
		}
	}
	d.identities = append(d.identities, explain.NewIdentity("the eigenvalues of each head add up to the trace: the "+
		"largest "+
		"error, as a share of their sizes", 0, off, 1e-4))
	return nil
}

// tables returns embeddings and rows of the output matrix of some tokens [n, D] each, as the residual stream has them:
// the latter times the gain of the last norm.
func (d *detection) tables(x *anatomy) (embed, unembed []float32, err error) {
	V := x.c.Vocab
	var ids []token.ID
	for i := range min(V, mostTokens) {
		ids = append(ids, token.ID(i*V/min(V, mostTokens)))
	}
	if len(ids) < V {
		d.sampled = len(ids)
	}
	e, err := x.m.Embeddings(ids...)
	if err != nil {
		return nil, nil, err
	}
	embed, unembed = e.Data, append([]float32(nil), e.Data...)
	if !x.c.Tied {
		w, err := x.m.Weight("head.weight")
		if err != nil {
			return nil, nil, err
		}
		for i, id := range ids {
			copy(unembed[i*w.Dims[1]:(i+1)*w.Dims[1]], w.Index(int(id)).Data)
		}
	}
	if x.c.Embedding() != x.c.Width { // through the projections in and out
		in, err := x.m.Weight("embed_in.weight") // [D, E]
		if err != nil {
			return nil, nil, err
		}
		out, err := x.m.Weight("head_in.weight") // [E, D]
		if err != nil {
			return nil, nil, err
		}
		n, E, D := len(ids), x.c.Embedding(), x.c.Width
		wideIn, wideOut := make([]float32, n*D), make([]float32, n*D)
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(n, E, E, embed), general(D, E, E, in.Data), 0, general(n, D, D,
			wideIn))
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(n, E, E, unembed), general(E, D, D, out.Data), 0,
			general(n, D, D, wideOut))
		embed, unembed = wideIn, wideOut
	}
	gain, err := x.finalGain()
	normWeights{gain: gain}.apply(unembed)
	return embed, unembed, err
}

// finalGain is the gain of the norm before the head; nil: it has none.
func (x *anatomy) finalGain() ([]float32, error) {
	for _, p := range x.c.Params() {
		if p.Name == "final.weight" {
			w, err := x.m.Weight(p.Name)
			for i := range w.Data {
				w.Data[i] += float32(x.c.NormOffset)
			}
			return w.Data, err
		}
	}
	return nil, nil
}

// rows is head number h of a projection [heads*K, D]: [K, D].
func rows(w lm.Array, h, K int) []float32 {
	D := w.Dims[1]
	return append([]float32(nil), w.Data[h*K*D:(h+1)*K*D]...)
}

// columns is head number h of the projection back [D, H*K], turned: [K, D].
func columns(w lm.Array, h, K int) []float32 {
	D, all := w.Dims[0], w.Dims[1]
	out := make([]float32, K*D)
	for d := range D {
		for k := range K {
			out[k*D+d] = w.Data[d*all+h*K+k]
		}
	}
	return out
}

// gained multiplies the columns of [K, D] by a gain, if there is one.
func gained(x []float32, D int, gain []float32) {
	for i := range x {
		if gain != nil {
			x[i] *= gain[i%D]
		}
	}
}

// gainedRows multiplies the rows of head number h of a projection [K, D] by the gain of the norm behind it, [K] or of
// all heads [H*K], if there is one.
func gainedRows(x []float32, D, h int, gain []float32) {
	if gain == nil {
		return
	}
	from := h * (len(x) / D) % len(gain)
	for i := range x {
		x[i] *= gain[from+i/D]
	}
}

// sandwich returns a m b^T [K, K], with a and b [K, D] and m [D, D].
func sandwich(a, m, b []float32, K, D int) []float32 {
	am, out := make([]float32, K*D), make([]float32, K*K)
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, general(K, D, D, a), general(D, D, D, m), 0, general(K, D, D, am))
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(K, D, D, am), general(K, D, D, b), 0, general(K, K, K, out))
	return out
}

// eigenShare returns the sum of the real parts of a matrix's eigenvalues over the sum of their sizes, and how far the
// first sum is from the trace, as a share of the second.
func eigenShare(m []float32, K int) (share, off float64) {
	x, trace := mat.NewDense(K, K, nil), 0.0
	for i, v := range m {
		x.Set(i/K, i%K, float64(v))
	}
	for i := range K {
		trace += x.At(i, i)
	}
	var e mat.Eigen
	if !e.Factorize(x, mat.EigenNone) {
		return 0, math.Inf(1)
	}
	sum, size := 0.0, 0.0
	for _, v := range e.Values(nil) {
		sum += real(v)
		size += cmplx.Abs(v)
	}
	if size == 0 {
		return 0, 0
	}
	return sum / size, math.Abs(sum-trace) / size
}
