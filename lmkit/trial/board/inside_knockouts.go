package board

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// byChance is the way that knows nothing.
const byChance = "random"

// habits are ways that do not ask about a text: what heads do on random tokens that are repeated. Feed-forward layers,
// which read no other token, have none.
var habits = []string{inspect.Induction, inspect.Previous}

// knockouts gathers the scores of some texts, and what is left when parts are taken out.
type knockouts struct {
	model  *lm.Model
	means  map[lm.Tap]lm.Array // nil: parts get what they have in the corrupted text
	seed   uint64
	full   bool // a curve has every number of parts
	parts  []string
	ways   []string
	habits [][]float64   // the scores of the parts by each of habits
	out    []int         // numbers of parts
	scores [][][]float64 // of each text, the ablation's and each way's scores of the parts
	left   [][][]float64 // of each text and way, at each number of parts
}

// add scores one text by all ways, and takes out the first parts of each.
func (k *knockouts) add(ctx context.Context, q explain.Question, by inspect.Parts) error {
	found, err := explain.Inside(ctx, k.model, q, by)
	if err != nil {
		return err
	}
	if broken := found.Evidence.Broken(); broken != nil {
		return errors.New(strings.Join(broken, "; ") + ": not so")
	}
	if k.parts == nil {
		if err := k.begin(ctx, found); err != nil {
			return err
		}
	}
	scores := [][]float64{found.Values[0]} // the ablation's
	for i, name := range found.Rows {
		if slices.Contains(k.ways, name) {
			scores = append(scores, found.Values[i])
		}
	}
	rng, random := rand.New(rand.NewPCG(k.seed, uint64(len(k.scores)))), make([]float64, len(k.parts))
	for i := range random {
		random[i] = rng.Float64()
	}
	scores = append(append(scores, k.habits...), random)
	p, err := explain.Prepare(ctx, k.model, q)
	if err != nil {
		return err
	}
	left, err := k.curves(ctx, p, by, scores[1:], found.Value-found.Base)
	if err != nil {
		return err
	}
	k.scores, k.left = append(k.scores, scores), append(k.left, left)
	return nil
}

// begin notes the parts and the ways, and finds what heads do whatever the text. Where parts are taken out by the
// corrupted text, noising is what is to be found.
func (k *knockouts) begin(ctx context.Context, found *explain.Matrix) error {
	k.parts = found.Columns
	for _, name := range found.Rows[1:] {
		if name != inspect.ByNoising || k.means != nil {
			k.ways = append(k.ways, name)
		}
	}
	heads, err := inspect.Heads{Seed: k.seed}.Measure(ctx, k.model)
	if err != nil {
		return err
	}
	for _, name := range habits {
		scores := make([]float64, len(k.parts))
		for _, measure := range heads.More {
			for i, part := range k.parts {
				if l, h, isHead := strings.Cut(part, "."); isHead && measure.Name == name {
					scores[i] = measure.Values[number(l)][number(h)]
				}
			}
		}
		k.ways, k.habits = append(k.ways, name), append(k.habits, scores)
	}
	k.ways = append(k.ways, byChance)
	for n := range len(k.parts) + 1 {
		if round := []int{0, 1, 2, 3, 5, 10, 20, 30, 50, 100, len(k.parts)}; k.full || slices.Contains(round, n) {
			k.out = append(k.out, n)
		}
	}
	return nil
}

// number reads one that stands in a part's name.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// curves returns the share of the difference that is left, by the ways, when their first parts are taken out together.
func (k *knockouts) curves(
	ctx context.Context, p *explain.Problem, by inspect.Parts, ways [][]float64, difference float64,
) ([][]float64, error) {
	corrupted, err := p.IDs, error(nil)
	if k.means == nil {
		e, err := k.model.Tokenizer().Encode(by.Corrupted)
		if err != nil {
			return nil, err
		}
		corrupted = e.IDs
	}
	q := lm.Query{Rows: [][]token.ID{p.IDs, corrupted}, Of: []lm.Objective{p.Objective}}
	for _, scores := range ways {
		order := make([]int, len(scores))
		for i := range order {
			order[i] = i
		}
		sizes := size(scores)
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
		for _, n := range k.out {
			q.Edits = append(q.Edits, k.without(order[:n], len(q.Rows))...)
			q.Rows = append(q.Rows, p.IDs)
		}
	}
	a, err := p.Run(ctx, q)
	if err != nil {
		return nil, err
	}
	var left [][]float64
	for values := range slices.Chunk(a.Values[2:], len(k.out)) {
		var curve []float64
		for _, v := range values {
			curve = append(curve, 1-(a.Values[0]-v)/difference)
		}
		left = append(left, curve)
	}
	return left, nil
}

// without takes parts out of a row. Row 1 of the query is the corrupted text.
func (k *knockouts) without(parts []int, row int) (edits []lm.Edit) {
	heads := map[string][]int{}
	for _, i := range parts {
		e := lm.Edit{Rows: []int{row}}
		if l, isMLP := strings.CutPrefix(k.parts[i], "mlp "); isMLP {
			e.Tap = "block." + l + ".mlp.out"
			edits = append(edits, k.source(e))
			continue
		}
		l, h, _ := strings.Cut(k.parts[i], ".")
		heads[l] = append(heads[l], number(h))
	}
	for l, of := range heads {
		edits = append(edits, k.source(lm.Edit{Rows: []int{row}, Tap: fmt.Sprintf("block.%s.attn.z", l), Heads: of}))
	}
	return edits
}

// source says what stands in a part's place.
func (k *knockouts) source(e lm.Edit) lm.Edit {
	e.With = lm.FromRow(1)
	if k.means != nil {
		e.With = lm.FromValues(k.means[e.Tap])
	}
	return e
}

// tabulate compares the ways with the ablation.
func (k *knockouts) tabulate(task string) (*InsideModel, error) {
	if len(k.scores) == 0 {
		return nil, errors.New("the model tells no text from its corrupted version: train it longer")
	}
	m := &InsideModel{Task: task, Items: len(k.scores), Parts: k.parts, Truth: make([]float64, len(k.parts)), Out: k.out}
	for _, of := range k.scores {
		for i, v := range of[0] {
			m.Truth[i] += v / float64(len(k.scores))
		}
	}
	for w, name := range k.ways {
		way := Way{Name: name, Left: make([]float64, len(k.out))}
		var found, rank, area []float64
		for i, of := range k.scores {
			truth, scores := size(of[0]), size(of[1+w])
			if f := discrimination(scores, truth); !math.IsNaN(f) {
				found = append(found, f)
			}
			if r, err := explain.Spearman(scores, truth); err == nil && !math.IsNaN(r) {
				rank = append(rank, r)
			}
			curve := k.left[i][w]
			for j, v := range curve {
				way.Left[j] += v / float64(len(k.scores))
			}
			area = append(area, under(k.out, curve))
		}
		var err error
		for _, x := range []struct {
			to     *faithful.Interval
			values []float64
		}{{&way.Found, found}, {&way.Rank, rank}, {&way.Area, area}} {
			if len(x.values) == 0 {
				continue // all parts matter, or none does
			}
			if *x.to, err = faithful.Bootstrap(x.values, faithful.Resampling{Seed: k.seed}); err != nil {
				return nil, err
			}
		}
		m.Ways = append(m.Ways, way)
	}
	slices.SortStableFunc(m.Ways, func(a, b Way) int {
		return cmp.Or(cmp.Compare(b.Found.Mean, a.Found.Mean), cmp.Compare(b.Rank.Mean, a.Rank.Mean))
	})
	return m, nil
}

// discrimination is the area under the ROC curve of scores for the parts that matter: NaN where all do, or none.
func discrimination(scores, truth []float64) float64 {
	won, of := 0.0, 0
	for i, a := range scores {
		for j, b := range scores {
			if truth[i] < matters || truth[j] >= matters {
				continue
			}
			of++
			if a > b {
				won++
			} else if a == b {
				won += 0.5
			}
		}
	}
	if of == 0 {
		return math.NaN()
	}
	return won / float64(of)
}

// under is the mean height of a curve over the numbers of parts, by trapezoids. Shares are cut to 0 and 1: what an
// overshoot gains is no merit.
func under(at []int, curve []float64) float64 {
	cut := func(v float64) float64 { return min(1, max(0, v)) }
	sum := 0.0
	for i := 1; i < len(at); i++ {
		sum += float64(at[i]-at[i-1]) * (cut(curve[i]) + cut(curve[i-1])) / 2
	}
	return sum / float64(at[len(at)-1])
}
