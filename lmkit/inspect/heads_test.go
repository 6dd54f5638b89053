package inspect_test

import (
	"fmt"
	"math"
	"math/cmplx"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// A model is built by hand that copies by induction: head 0 of layer 0 reads the token before and writes it down, head
// 0 of layer 1 reads the token that was written down with the one it stands at. The scores are 1. Head 1 of layer 0
// reads itself, and head 1 of layer 1 the first token.
func TestHeadsOfAModelBuiltByHand(t *testing.T) {
	m := builtByHand(t)
	x, err := inspect.Heads{}.Measure(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if b := x.Evidence.Broken(); b != nil {
		t.Errorf("%v: %+v", b, x.Evidence.Identities)
	}
	for _, c := range []struct {
		name        string
		layer, head int
	}{{inspect.Previous, 0, 0}, {inspect.Current, 0, 1}, {inspect.Induction, 1, 0}, {inspect.First, 1, 1},
		{inspect.Copying, 1, 0}} {
		if got := measure(t, x, c.name)[c.layer][c.head]; math.Abs(got-1) > 1e-3 {
			t.Errorf("%s of head %d.%d is %v, want 1", c.name, c.layer, c.head, got)
		}
	}
	if got := measure(t, x, inspect.Induction)[0][0]; got > 0.01 {
		t.Errorf("induction of a head that reads the token before is %v", got)
	}
}

// builtByHand has a field of the residual stream for the token, one for the position, and one for the token before.
func builtByHand(t *testing.T) *lm.Model {
	const V, P, K = 12, 17, 17
	c := lm.Config{Arch: lm.Transformer, Vocab: V, Width: V + P + V, Layers: 2, Heads: 2, HeadWidth: K, Context: P,
		Inner: 4}
	const position, before, strong = V, V + P, 400
	m, err := lm.New(backendtest.PureGo(t), c, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return changed(t, m, func(name string, w lm.Array) {
		set := func(row, column int, v float32) { w.Data[row*w.Dims[1]+column] = v }
		if strings.HasSuffix(name, "weight") && len(w.Dims) == 1 {
			for i := range w.Data {
				w.Data[i] = 1 // gains
			}
			return
		}
		clear(w.Data)
		switch name {
		case "embed.weight", "head.weight":
			for i := range V {
				set(i, i, 1)
			}
		case "pos_embed.weight":
			for i := range P {
				set(i, position+i, 1)
			}
		case "block.0.attn.q.weight":
			for i := range P {
				if i > 0 {
					set(i-1, position+i, strong) // head 0 looks for the position before
				}
				set(K+i, position+i, strong) // head 1 for its own
			}
		case "block.0.attn.k.weight":
			for i := range P {
				set(i, position+i, 1)
				set(K+i, position+i, 1)
			}
		case "block.0.attn.v.weight":
			for i := range V {
				set(i, i, 1)
			}
		case "block.0.attn.out.weight":
			for i := range V {
				set(before+i, i, 1) // what head 0 read is written down
			}
		case "block.1.attn.q.weight":
			for i := range V {
				set(i, i, strong)
			}
		case "block.1.attn.q.bias":
			w.Data[K] = strong // head 1 always looks for the same
		case "block.1.attn.k.weight":
			for i := range V {
				set(i, before+i, 1)
			}
			set(K, position, 1) // which is the first position
		case "block.1.attn.v.weight":
			for i := range V {
				set(i, i, 1)
			}
		case "block.1.attn.out.weight":
			for i := range V {
				set(i, i, 1)
			}
		}
	})
}

// Scores of random models of every family are shares; uniform attention has the uniform score.
func TestHeads(t *testing.T) {
	lmtest.EachModel(t, backendtest.PureGo(t), func(t *testing.T, m *lm.Model) {
		if m.Config().Recurrent() {
			if _, err := (inspect.Heads{}).Measure(t.Context(), m); err == nil || !strings.Contains(err.Error(),
				"no attention") {
				t.Errorf("%v, want an error that says that there are no heads", err)
			}
			return
		}
		for _, n := range []int{-1, 1 << 30, 1e12, math.MaxInt} { // no memory is taken for what cannot be
			for _, x := range []inspect.Heads{{Tokens: n}, {Texts: n}} {
				if _, err := x.Measure(t.Context(), m); err == nil {
					t.Errorf("%+v was measured", x)
				}
			}
		}
		x, err := inspect.Heads{Tokens: 5, Texts: 2, Show: inspect.Previous}.Measure(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if b := x.Evidence.Broken(); b != nil {
			t.Errorf("%v: %+v", b, x.Evidence.Identities)
		}
		for _, name := range inspect.Detectors {
			for _, v := range slices.Concat(measure(t, x, name)...) {
				if v < 0 || v > 1+1e-5 {
					t.Errorf("%s is %v", name, v)
				}
			}
		}
	})
}

// Heads whose queries are 0 read all that they see alike, whatever turns, norms or caps queries and keys: their scores
// are those of uniform attention, within the window where a layer has one.
func TestHeadsThatReadAllAlike(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		c := m.Config()
		if c.Recurrent() {
			return
		}
		m = changed(t, m, func(name string, w lm.Array) {
			if strings.Contains(name, ".attn.q.") || strings.HasSuffix(name, ".attn.q_norm.bias") {
				clear(w.Data)
			}
		})
		const n = 3
		x, err := inspect.Heads{Tokens: n, Texts: 2}.Measure(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for l, kind := range c.Pattern {
			window := 2*n + 1
			if kind == 's' {
				window = c.Window
			}
			for name, of := range map[string]func(i int) int{
				inspect.Previous: func(i int) int { return i - 1 }, inspect.Current: func(i int) int { return i },
				inspect.First:     func(int) int { return 0 },
				inspect.Induction: func(i int) int { return i - n + 1 }, inspect.Duplicate: func(i int) int { return i - n },
			} {
				first := 1
				if name == inspect.Induction || name == inspect.Duplicate {
					first = n + 1
				}
				want := 0.0
				for i := first; i <= 2*n; i++ {
					if i-of(i) < window {
						want += 1 / float64(min(i+1, window)) / float64(2*n+1-first)
					}
				}
				for h, got := range measure(t, x, name)[l] {
					if math.Abs(got-want) > 1e-5 {
						t.Errorf("%s of head %d.%d is %v, want %v", name, l, h, got, want)
					}
				}
			}
		}
	})
}

// What the weights say of a head is what the whole matrix over the vocabulary says, whose eigenvalues are found
// directly: with keys and values that heads share, norms of queries and keys, projected embeddings, and gains.
func TestHeadsByTheWholeMatrix(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		c := m.Config()
		if c.Recurrent() {
			return
		}
		x, err := inspect.Heads{Tokens: 3, Texts: 1}.Measure(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if c.NormsSums() {
			_, err := inspect.Heads{Show: inspect.Copying}.Measure(t.Context(), m)
			if err == nil || !strings.Contains(err.Error(), "after every sum") || len(x.More) != len(inspect.Detectors) {
				t.Errorf("%v; there are %d measures", err, len(x.More))
			}
			return
		}
		w := &dense{t: t, m: m, has: params(m)}
		read, wrote := w.matrix("embed.weight"), w.matrix("embed.weight") // [V, E]
		if !c.Tied {
			wrote = w.matrix("head.weight")
		}
		if w.has["embed_in.weight"] {
			read = product(read, w.matrix("embed_in.weight").T())
			wrote = product(wrote, w.matrix("head_in.weight"))
		}
		wrote = product(wrote, w.gain("final", c.Width, 0))
		for l := range c.Layers {
			p := fmt.Sprintf("block.%d.", l)
			in := product(read, w.gain(p+"ln1", c.Width, 0))
			for h := range c.Heads {
				g := h / (c.Heads / c.KVHeads)
				q := product(product(in, w.head(p+"attn.q.weight", h).T()), w.gain(p+"attn.q_norm", c.HeadWidth, h))
				k := product(product(in, w.head(p+"attn.k.weight", g).T()), w.gain(p+"attn.k_norm", c.HeadWidth, g))
				if rope := c.RopeOf(c.Pattern[l]); rope.Theta != 0 {
					k = product(k, longer(c.HeadWidth, rope.Width, rope.Magnitude*rope.Magnitude))
				}
				out := mat.DenseCopyOf(w.matrix(p+"attn.out.weight").Slice(0, c.Width, h*c.HeadWidth, (h+1)*c.HeadWidth).T())
				moved := product(product(product(in, w.head(p+"attn.v.weight", g).T()), out), w.gain(p+"ln1_post", c.Width, 0))
				for name, whole := range map[string]*mat.Dense{inspect.Copying: product(moved, wrote.T()),
					inspect.Matching: product(q, k.T())} {
					if got, want := measure(t, x, name)[l][h], eigenShare(t, whole); math.Abs(got-want) > 2e-3 {
						t.Errorf("%s of head %d.%d is %v, and by the whole matrix %v", name, l, h, got, want)
					}
				}
			}
		}
	})
}

// dense has a model's parameters as matrices.
type dense struct {
	t   *testing.T
	m   *lm.Model
	has map[string]bool
}

func (w *dense) matrix(name string) *mat.Dense {
	w.t.Helper()
	a, err := w.m.Weight(name)
	if err != nil {
		w.t.Fatal(err)
	}
	x := mat.NewDense(a.Dims[0], len(a.Data)/a.Dims[0], nil)
	for i, v := range a.Data {
		x.Set(i/x.RawMatrix().Cols, i%x.RawMatrix().Cols, float64(v))
	}
	return x
}

// head is that of number h of a projection [heads*K, D]: [K, D].
func (w *dense) head(name string, h int) *mat.Dense {
	K, all := w.m.Config().HeadWidth, w.matrix(name)
	return mat.DenseCopyOf(all.Slice(h*K, (h+1)*K, 0, all.RawMatrix().Cols))
}

// gain is a norm's gain as a diagonal matrix, from number h*width on where it has more than width; 1 where there is no
// gain.
func (w *dense) gain(norm string, width, h int) *mat.DiagDense {
	d := mat.NewDiagDense(width, nil)
	for i := range width {
		d.SetDiag(i, 1)
	}
	if w.has[norm+".weight"] {
		g := w.matrix(norm + ".weight").RawMatrix().Data
		for i := range width {
			d.SetDiag(i, g[(h*width+i)%len(g)]+w.m.Config().NormOffset)
		}
	}
	return d
}

// params are the names of a model's parameters.
func params(m *lm.Model) map[string]bool {
	has := map[string]bool{}
	for _, p := range m.Config().Params() {
		has[p.Name] = true
	}
	return has
}

// longer is the matrix that multiplies the first of K numbers by a factor.
func longer(K, first int, factor float64) *mat.DiagDense {
	d := mat.NewDiagDense(K, nil)
	for i := range K {
		d.SetDiag(i, 1)
		if i < first {
			d.SetDiag(i, factor)
		}
	}
	return d
}

func product(a, b mat.Matrix) *mat.Dense {
	var out mat.Dense
	out.Mul(a, b)
	return &out
}

// eigenShare is the sum of the real parts of a matrix's eigenvalues over that of their sizes.
func eigenShare(t *testing.T, m *mat.Dense) float64 {
	t.Helper()
	var e mat.Eigen
	if !e.Factorize(m, mat.EigenNone) {
		t.Fatal("the eigenvalues were not found")
	}
	sum, size := 0.0, 0.0
	for _, v := range e.Values(nil) {
		sum, size = sum+real(v), size+cmplx.Abs(v)
	}
	return sum / size
}

// Where a query and a key stand at one position, turning both changes nothing of how well they match, but for the
// factor that some turnings have: the matching of heads, at distance 0, is without it.
func TestTurningChangesNothingAtDistance0(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		c := m.Config()
		if c.Recurrent() {
			return
		}
		w := &dense{t: t, m: m, has: params(m)}
		for l := range c.Layers {
			p := fmt.Sprintf("block.%d.attn.", l)
			if _, err := m.Tap(p + "q_rot"); err != nil {
				continue
			}
			names := map[string]string{"q": "q", "k": "k"}
			taps := []lm.Tap{p + "q_rot", p + "k_rot"}
			for x := range names {
				if _, err := m.Tap(p + x + "_norm.normalized"); err == nil {
					names[x] += "_norm.normalized"
				}
				taps = append(taps, p+names[x])
			}
			a, err := m.Trace(t.Context(), [][]token.ID{prompt}, taps)
			if err != nil {
				t.Fatal(err)
			}
			before := func(x string, i, h int) []float64 {
				all, K := a[p+names[x]].Index(0, i).Data, c.HeadWidth
				bias := make([]float64, len(all))
				if name := p + x + "_norm.bias"; w.has[name] {
					b := w.matrix(name).RawMatrix().Data
					for j := range bias {
						bias[j] = b[j%len(b)]
					}
				}
				gain, out := w.gain(p+x+"_norm", K, h), make([]float64, K)
				for j := range K {
					out[j] = float64(all[h*K+j])*gain.At(j, j) + bias[h*K+j]
				}
				return out
			}
			rope := c.RopeOf(c.Pattern[l])
			for h := range c.Heads {
				g := h / (c.Heads / c.KVHeads)
				for i := range prompt {
					q, k, want, got := before("q", i, h), before("k", i, g), 0.0, 0.0
					for j := range q {
						factor := 1.0
						if j < rope.Width {
							factor = rope.Magnitude * rope.Magnitude
						}
						want += q[j] * k[j] * factor
						got += float64(a[p+"q_rot"].Index(0, i, h).Data[j]) * float64(a[p+"k_rot"].Index(0, i, g).Data[j])
					}
					if math.Abs(got-want) > 1e-4*max(1, math.Abs(want)) {
						t.Errorf("head %d.%d at %d: turned %v, want %v", l, h, i, got, want)
					}
				}
			}
		}
	})
}

// With a text, each head's cell is its attention's largest share at the token that reads, the first token left out.
func TestReads(t *testing.T) {
	everywhere(t, func(t *testing.T, m *lm.Model) {
		c := m.Config()
		if c.Recurrent() {
			return
		}
		for at := range len(prompt) + 1 { // 0: the last one
			x := look(t, m, explain.Question{IDs: prompt}, inspect.Reads{At: at})
			from := (at + len(prompt) - 1) % len(prompt)
			for l := range c.Layers {
				tap := lm.Tap(fmt.Sprintf("block.%d.attn.pattern", l))
				a, err := m.Trace(t.Context(), [][]token.ID{prompt}, []lm.Tap{tap})
				if err != nil {
					t.Fatal(err)
				}
				for h := range c.Heads {
					row := a[tap].Index(0, h, from).Data
					want := row[0]
					if from > 0 {
						want = slices.Max(row[1:])
					}
					if got := x.Values[l][h]; math.Abs(got-float64(want)) > 1e-6 {
						t.Errorf("head %d.%d reads %v at %d, want %v", l, h, got, from, want)
					}
				}
			}
		}
	})
}
