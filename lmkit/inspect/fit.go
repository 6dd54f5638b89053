package inspect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// TuneLens fits a tuned lens (Belrose et al., 2023): for each residual x but the last an affine map x + A x + b, with A
// and b 0 at first, so that what it predicts comes near to what the model predicts at the same token: the mean of
// KL(model || lens) falls. The model stays as it is. A fifth of the texts is held out, and measured on.
type TuneLens struct {
	Texts [][]token.ID
	Steps int     // of Adam; 0: 250
	Rate  float64 // its learning rate, which falls to 0; 0: 0.001
	Batch int     // residuals a step; 0: 64
	Seed  uint64  // of the order in which residuals are drawn
}

// The settings of Adam (Kingma and Ba, 2015).
const (
	beta1, beta2 = 0.9, 0.999
	tinyVariance = 1e-8
)

// readTexts is the residuals of some texts, behind each other: of each tap [N, D].
type readTexts struct {
	taps []lm.Tap
	at   map[lm.Tap]lm.Array
	cost lm.Cost
}

func readAll(ctx context.Context, m *lm.Model, texts [][]token.ID) (*readTexts, error) {
	r := &readTexts{taps: streams(m, false), at: map[lm.Tap]lm.Array{}}
	for n := 0; n < len(texts); n += together {
		part := texts[n:min(len(texts), n+together)]
		a, err := m.Run(quiet(ctx), lm.Query{Rows: part, Taps: r.taps})
		if err != nil {
			return nil, err
		}
		r.cost.Add(a.Cost)
		for _, tap := range r.taps {
			x := r.at[tap]
			for i, row := range part {
				for t := range row {
					x.Data = append(x.Data, a.At[tap].Index(i, t).Data...)
				}
			}
			x.Dims = []int{len(x.Data) / m.ResidualWidth(), m.ResidualWidth()}
			r.at[tap] = x
		}
	}
	return r, nil
}

// some returns some of the rows of an array.
func some(x lm.Array, rows []int) lm.Array {
	out := lm.Array{Dims: []int{len(rows), x.Dims[1]}}
	for _, i := range rows {
		out.Data = append(out.Data, x.Index(i).Data...)
	}
	return out
}

// Fit fits the lens. The matrix has the divergence of the output from the lens on the held-out texts, before and after.
func (x TuneLens) Fit(ctx context.Context, m *lm.Model) (*Translator, *explain.Matrix, error) {
	or0(&x.Steps, 250)
	or0(&x.Batch, 64)
	or0(&x.Rate, 1e-3)
	if len(x.Texts) < 5 {
		return nil, nil, fmt.Errorf("%d texts are too few to fit a lens and to hold some out: give five or more",
			len(x.Texts))
	}
	n := len(x.Texts) / 5
	fitted, err := readAll(ctx, m, x.Texts[n:])
	if err != nil {
		return nil, nil, err
	}
	held, err := readAll(ctx, m, x.Texts[:n])
	if err != nil {
		return nil, nil, err
	}
	last := fitted.taps[len(fitted.taps)-1]
	t := &Translator{Hash: m.Hash(), Weights: map[lm.Tap]lm.Array{}, Biases: map[lm.Tap]lm.Array{}}
	out := explain.MatrixScores{About: "how far the output diverges from the lens on held-out texts",
		Axes: [2]string{"residual", "lens"}, Columns: []string{"logit lens", "tuned lens"}, Unit: "nat", Settings: struct {
			Texts int     `json:"texts"`
			Held  int     `json:"held"` // of these, measured on
			Steps int     `json:"steps"`
			Batch int     `json:"batch"`
			Rate  float64 `json:"rate"`
			Seed  uint64  `json:"seed"`
		}{len(x.Texts), n, x.Steps, x.Batch, x.Rate, x.Seed}}
	worse := 0
	for i, tap := range fitted.taps[:len(fitted.taps)-1] {
		a := newAffine(m.ResidualWidth())
		before, err := a.divergence(ctx, m, held.at[tap], held.at[last])
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			plain, err := divergences(ctx, m, held.at[tap], held.at[last])
			if err != nil {
				return nil, nil, err
			}
			out.Identities = append(out.Identities, explain.NewIdentity("before the first step, the tuned lens is the logit "+
				"lens: divergence", plain, before, 1e-4*max(1, plain)))
		}
		rng := rand.New(rand.NewPCG(x.Seed, uint64(i)))
		for step := range x.Steps {
			rows := make([]int, x.Batch)
			for k := range rows {
				rows[k] = rng.IntN(fitted.at[tap].Dims[0])
			}
			rate := x.Rate * float64(x.Steps-step) / float64(x.Steps)
			if err := a.step(ctx, m, some(fitted.at[tap], rows), some(fitted.at[last], rows), step+1, rate); err != nil {
				return nil, nil, err
			}
			progress.From(ctx).At("fitting the lens", int64(i*x.Steps+step+1),
				int64((len(fitted.taps)-1)*x.Steps), "steps")
		}
		after, err := a.divergence(ctx, m, held.at[tap], held.at[last])
		if err != nil {
			return nil, nil, err
		}
		if after > before {
			worse++
		}
		t.Weights[tap], t.Biases[tap] = a.map1(), lm.Array{Dims: []int{a.D}, Data: a.at[a.D*a.D:]}
		out.Rows, out.Values = append(out.Rows, tap), append(out.Values, []float64{before, after})
	}
	out.Notes = []string{fmt.Sprintf("the tuned lens is nearer to the output at %d of %d residuals", len(out.Rows)-worse,
		len(out.Rows))}
	cost := fitted.cost
	cost.Add(held.cost)
	found, err := explain.NewMatrix(m, "tune-lens", out, cost, cost.ForwardRows)
	return t, found, err
}

func or0[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// affine is x + A x + b with Adam's means: A [D, D] and b [D] behind each other.
type affine struct {
	D                  int
	at, mean, variance []float32
}

func newAffine(D int) *affine {
	n := D*D + D
	return &affine{D, make([]float32, n), make([]float32, n), make([]float32, n)}
}

// map1 is 1 + A.
func (a *affine) map1() lm.Array {
	w := lm.Array{Dims: []int{a.D, a.D}, Data: append([]float32{}, a.at[:a.D*a.D]...)}
	for i := range a.D {
		w.Data[i*a.D+i]++
	}
	return w
}

// of returns what residuals [N, D] come to.
func (a *affine) of(x lm.Array) lm.Array {
	N, D := x.Dims[0], a.D
	out := lm.Array{Dims: x.Dims, Data: slices.Clone(x.Data)}
	for i := range out.Data {
		out.Data[i] += a.at[D*D+i%D]
	}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(N, D, D, x.Data), general(D, D, D, a.at[:D*D]), 1,
		general(N, D, D, out.Data))
	return out
}

// step takes one step of Adam on a batch.
func (a *affine) step(ctx context.Context, m *lm.Model, x, toward lm.Array, step int, rate float64) error {
	_, by, err := m.Divergence(ctx, a.of(x), toward)
	if err != nil {
		return err
	}
	N, D := x.Dims[0], a.D
	g := make([]float32, len(a.at))
	for i, v := range by.Data {
		g[D*D+i%D] += v / float32(N)
	}
	blas32.Gemm(blas.Trans, blas.NoTrans, 1/float32(N), general(N, D, D, by.Data), general(N, D, D, x.Data), 0,
		general(D, D, D, g[:D*D]))
	c1, c2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
	for i, v := range g {
		a.mean[i] = beta1*a.mean[i] + (1-beta1)*v
		a.variance[i] = beta2*a.variance[i] + (1-beta2)*v*v
		a.at[i] -= float32(rate * float64(a.mean[i]) / c1 / (math.Sqrt(float64(a.variance[i])/c2) + tinyVariance))
	}
	return nil
}

// divergence is the mean divergence of the output from the lens.
func (a *affine) divergence(ctx context.Context, m *lm.Model, x, toward lm.Array) (float64, error) {
	return divergences(ctx, m, a.of(x), toward)
}

func divergences(ctx context.Context, m *lm.Model, x, toward lm.Array) (float64, error) {
	sum, N := 0.0, x.Dims[0]
	for first := 0; first < N; first += together {
		var rows []int
		for i := first; i < min(N, first+together); i++ {
			rows = append(rows, i)
		}
		each, _, err := m.Divergence(ctx, some(x, rows), some(toward, rows))
		if err != nil {
			return 0, err
		}
		for _, v := range each {
			sum += float64(v) / float64(N)
		}
	}
	return sum, nil
}

// JacobianLens finds the mean Jacobian of the last residual by each earlier one: J = mean over texts and tokens p of
// the sum over tokens q from p on of d x_last(q) / d x(p). A residual times J is what it comes to, to first order, on
// average. The first tokens of a text, which attention looks at for want of anything else, and its last one are left
// out. It is for Transformers. Cost: one row forward and backward for each text and number of a residual.
type JacobianLens struct {
	Texts  [][]token.ID
	Memory int64 // bytes of activations to hold at once, about; 0: lm's default
}

// leftOut is how many tokens at the beginning of a text are left out, where it is long enough.
const leftOut = 16

// Fit finds the lens. The matrix says how far each map is from doing nothing, and how much the last text changed it.
func (x JacobianLens) Fit(ctx context.Context, m *lm.Model) (*Translator, *explain.Matrix, error) {
	if m.Config().Recurrent() {
		return nil, nil, errors.New("a Jacobian lens is of a residual stream, which an LSTM has not: fit a tuned lens")
	}
	taps, D := streams(m, false), m.ResidualWidth()
	last := taps[len(taps)-1]
	sums := map[lm.Tap][]float64{}
	for _, tap := range taps {
		sums[tap] = make([]float64, D*D)
	}
	cost, texts := lm.Cost{}, 0
	changed := make([]float64, len(taps)) // by the last text: the relative size
	for k, row := range x.Texts {
		skip := min(leftOut, len(row)/4)
		if len(row)-1-skip < 1 {
			continue
		}
		texts++
		J, spent, err := x.one(ctx, m, row, skip, taps, last)
		if err != nil {
			return nil, nil, err
		}
		cost.Add(spent)
		for i, tap := range taps {
			change, size := 0.0, 0.0
			for j, v := range J[tap] {
				before := sums[tap][j]
				sums[tap][j] += v
				now := sums[tap][j] / float64(texts)
				if texts > 1 {
					d := now - before/float64(texts-1)
					change += d * d
				}
				size += now * now
			}
			changed[i] = math.Sqrt(change / max(1e-30, size))
		}
		progress.From(ctx).At("finding the Jacobian", int64(k+1), int64(len(x.Texts)), "texts")
	}
	if texts == 0 {
		return nil, nil, errors.New("no text is long enough: a Jacobian lens needs texts of a few tokens or more")
	}
	return x.lens(m, taps, sums, changed, texts, cost)
}

// lens makes the means, and what is said of them.
func (x JacobianLens) lens(m *lm.Model, taps []lm.Tap, sums map[lm.Tap][]float64, changed []float64, texts int,
	cost lm.Cost) (*Translator, *explain.Matrix, error) {
	D := m.ResidualWidth()
	t := &Translator{Hash: m.Hash(), Weights: map[lm.Tap]lm.Array{}}
	out := explain.MatrixScores{About: "how far residuals are from what they come to behind the last layer",
		Axes: [2]string{"residual", "measure"}, Columns: []string{"|J-1|/|1|", "changed"}, Unit: "share",
		Settings: struct {
			Texts int `json:"texts"`
		}{texts}}
	worst := 0.0
	for i, tap := range taps {
		w, off := lm.Array{Dims: []int{D, D}}, 0.0
		for j, v := range sums[tap] {
			v /= float64(texts)
			w.Data = append(w.Data, float32(v))
			if j/D == j%D {
				v--
			}
			off += v * v
			if i == len(taps)-1 {
				worst = max(worst, math.Abs(v))
			}
		}
		if i < len(taps)-1 {
			t.Weights[tap] = w
		}
		out.Rows = append(out.Rows, tap)
		out.Values = append(out.Values, []float64{math.Sqrt(off / float64(D)), changed[i]})
	}
	out.Notes = []string{fmt.Sprintf("of %d texts; %q is how much the last one changed the mean: a hundred texts or more "+
		"make a lens that can be read", texts, "changed")}
	out.Identities = []explain.Identity{explain.NewIdentity("the Jacobian of the last residual by itself is 1: largest "+
		"difference", 0, worst, 1e-4)}
	found, err := explain.NewMatrix(m, "jacobian-lens", out, cost, cost.ForwardRows+cost.BackwardRows)
	return t, found, err
}

// one finds the Jacobians of one text: a row of the query is a copy of the text for each number of the last residual.
func (x JacobianLens) one(ctx context.Context, m *lm.Model, row []token.ID, skip int, taps []lm.Tap, last lm.Tap) (
	map[lm.Tap][]float64, lm.Cost, error) {
	D, n := m.ResidualWidth(), len(row)-1-skip
	var at []int
	for t := skip; t < len(row)-1; t++ {
		at = append(at, t)
	}
	J, cost := map[lm.Tap][]float64{}, lm.Cost{}
	for first := 0; first < D; first += together {
		q := lm.Query{Wrt: taps, Memory: x.Memory}
		for d := first; d < min(D, first+together); d++ {
			c := lm.Array{Dims: []int{D}, Data: make([]float32, D)}
			c.Data[d] = 1
			q.Rows, q.Places = append(q.Rows, row), append(q.Places, at)
			q.Of = append(q.Of, lm.Objective{Reads: []lm.Read{{Tap: last, Positions: at, Coefficients: c}}})
		}
		a, err := m.Run(quiet(ctx), q)
		if err != nil {
			return nil, cost, err
		}
		cost.Add(a.Cost)
		for _, tap := range taps {
			for r := range q.Rows {
				sum := make([]float64, D)
				for k := range at {
					for i, v := range a.Grad[tap].Index(r, k).Data {
						sum[i] += float64(v) / float64(n)
					}
				}
				J[tap] = append(J[tap], sum...)
			}
		}
	}
	return J, cost, nil
}
