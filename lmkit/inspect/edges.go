package inspect

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/integrate/quad"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// edgeScores says how much of the difference between two versions goes through each edge, from writer u to reader v:
// [U, V], 0 where v does not read u.
type edgeScores struct {
	values []float32
	V      int
}

func (s edgeScores) at(u, v int) float64 { return float64(s.values[u*s.V+v]) }

// dissection is two versions of a prompt, what each part of the model writes in them, and the scores of the edges.
type dissection struct {
	*anatomy
	pair          *pair
	clean, broken []float32           // what the parts write in the clean and in the corrupted version [U, T*D]
	stream        map[lm.Tap]lm.Array // the residual stream of the corrupted version, where it is read
	eap, ig       edgeScores          // by one gradient (Syed et al., 2023); by a mean one (Hanna et al., 2024)
	points        int                 // on the way that the mean is taken over
	total         float64             // the sum of ig over all that reads the input
}

// The number of points that the gradient is averaged over, the first time and at most; and how far the sum of the
// input's edges may then be from the difference, as a share of it.
const (
	fewPoints  = 8
	mostPoints = 64
	ofPoints   = 0.02
)

// dissect computes the scores of all edges: two rows for the versions, and one forward and backward for each point.
//
//	score(u -> v) = sum over positions (out_u(c) - out_u(k)) . dm/d in_v
//
// with the gradient by v's own copy of what it reads: eap takes it at the clean version, ig its mean over embeddings on
// the way from the corrupted to the clean ones. Positive says that the edge carries the answer. The input's edges add
// up to m(c) - m(k) as the points get denser, and their number is doubled until they do.
func dissect(ctx context.Context, x *pair, points int) (*dissection, error) {
	a, err := newAnatomy(x.p.Model, len(x.p.IDs))
	if err != nil {
		return nil, err
	}
	d := &dissection{anatomy: a, pair: x, points: points}
	both, err := x.p.Run(ctx, lm.Query{Rows: [][]token.ID{x.clean.ids, x.corrupted.ids}, Taps: a.taps(), Wrt: a.wrt(),
		Of: []lm.Objective{x.p.Objective}})
	if err != nil {
		return nil, err
	}
	d.clean, d.broken, d.stream = a.writes(both.At, 0), a.writes(both.At, 1), map[lm.Tap]lm.Array{}
	for _, tap := range a.taps() {
		d.stream[tap] = both.At[tap].Index(1)
	}
	reads := make([]float32, len(a.readers)*a.size())
	a.grads(both, 0, 1, reads)
	d.eap = d.score(reads)
	for n := max(points, fewPoints); ; n *= 2 {
		clear(reads)
		if err := d.average(ctx, n, reads); err != nil {
			return nil, err
		}
		d.ig, d.points, d.total = d.score(reads), n, 0
		for v := range a.readers {
			d.total += d.ig.at(0, v)
		}
		off := math.Abs(d.total - (x.value - x.base))
		if points > 0 || n*2 > mostPoints || off <= ofPoints*math.Abs(x.value-x.base) {
			return d, nil
		}
	}
}

// average adds up the gradients at n points of Gauss and Legendre on the way from the corrupted to the clean
// embeddings, times their weights.
func (d *dissection) average(ctx context.Context, n int, reads []float32) error {
	at, weight := make([]float64, n), make([]float64, n)
	quad.Legendre{}.FixedLocations(at, weight, 0, 1)
	group := max(1, min(n, 512/d.T))
	for first := 0; first < n; first += group {
		last := min(n, first+group)
		q := lm.Query{Rows: [][]token.ID{d.pair.clean.ids}, Taps: d.taps(), Wrt: d.wrt(),
			Of: []lm.Objective{{Unit: d.pair.p.Objective.Unit}}}
		for i := first; i < last; i++ {
			q.Edits = append(q.Edits, lm.Edit{Tap: embedTap, Rows: []int{len(q.Rows)}, Keep: 1 - at[i], With: lm.FromRow(0)})
			q.Rows, q.Of = append(q.Rows, d.pair.corrupted.ids), append(q.Of, d.pair.p.Objective)
		}
		a, err := d.pair.p.Run(ctx, q)
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			d.grads(a, 1+i-first, weight[i], reads)
		}
	}
	return nil
}

// score multiplies what the writers change by with gradients [V, T*D] by what the readers read.
func (d *dissection) score(reads []float32) edgeScores {
	U, V, n := d.writers(), len(d.readers), d.size()
	change := make([]float32, len(d.clean))
	for i := range change {
		change[i] = d.clean[i] - d.broken[i]
	}
	s := edgeScores{make([]float32, U*V), V}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(U, n, n, change), general(V, n, n, reads), 0, general(U, V, V,
		s.values))
	for u := range U {
		for v, r := range d.readers {
			if u >= r.from {
				s.values[u*V+v] = 0
			}
		}
	}
	return s
}

// edge is one from writer u to reader v.
type edge struct{ u, v int }

// edges lists all of them.
func (x *anatomy) edges() (all []edge) {
	for v, r := range x.readers {
		for u := range r.from {
			all = append(all, edge{u, v})
		}
	}
	return all
}
