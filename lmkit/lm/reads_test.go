package lm_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// readable is some activations with numbers at each position, with random coefficients.
func readable(m *lm.Model, rng *rand.Rand) (reads []lm.Read) {
	for _, t := range m.Taps() {
		if strings.Contains(t.Axes, "S") || !strings.Contains(t.Axes, "T") || rng.IntN(3) > 0 {
			continue
		}
		c := lm.Array{Dims: t.Shape(1, 1)[2:]}
		n := 1
		for _, d := range c.Dims {
			n *= d
		}
		for range n {
			c.Data = append(c.Data, float32(rng.NormFloat64()))
		}
		r := lm.Read{Tap: t.Name, Coefficients: c}
		if rng.IntN(2) == 0 {
			r.Positions = []int{1, -1}
		}
		reads = append(reads, r)
	}
	return reads
}

// An objective that reads activations is the sum of their numbers times the coefficients, beside its terms; and its
// gradient is that of this sum, by finite differences.
func TestReads(t *testing.T) {
	check := func(t *testing.T, m *lm.Model) {
		rng := rand.New(rand.NewPCG(3, 4))
		rows := [][]token.ID{someTokens(rng, 6, lmtest.Vocab), someTokens(rng, 4, lmtest.Vocab)}
		of := logitOf(5)
		of[0].Reads = readable(m, rng)
		var taps []lm.Tap
		for _, r := range of[0].Reads {
			taps = append(taps, r.Tap)
		}
		a := ask(t, m, lm.Query{Rows: rows, Of: of, Wrt: []lm.Tap{"embed"}})
		plain := ask(t, m, lm.Query{Rows: rows, Of: logitOf(5), Taps: taps})
		for i, row := range rows {
			want := plain.Values[i]
			for _, r := range of[0].Reads {
				for p := range row {
					if r.Positions == nil || p == 1 || p == len(row)-1 {
						want += dot(plain.At[r.Tap].Index(i, p).Data, r.Coefficients.Data)
					}
				}
			}
			if got := a.Values[i]; math.Abs(got-want) > 1e-3*max(1, math.Abs(want)) {
				t.Errorf("row %d: the objective is %v, want %v", i, got, want)
			}
		}
		x, g := a.At["embed"].Index(0), a.Grad["embed"].Index(0)
		direction := make([]float32, len(x.Data))
		for i := range direction {
			direction[i] = float32(rng.NormFloat64() / math.Sqrt(float64(len(direction))))
		}
		q := lm.Query{Of: of}
		for r, step := range []float64{0.004, -0.004, 0.002, -0.002} {
			q.Rows = append(q.Rows, rows[0])
			q.Edits = append(q.Edits, lm.Edit{Tap: "embed", Rows: []int{r}, Add: true, Times: step,
				With: lm.FromValues(lm.Array{Dims: x.Dims, Data: direction})})
		}
		v := ask(t, m, q).Values
		difference := (4*(v[2]-v[3])/0.004 - (v[0]-v[1])/0.008) / 3
		if along := dot(direction, g.Data); math.Abs(difference-along) > 1e-2*max(1, math.Abs(along)) {
			t.Errorf("the gradient says %v, the values %v", along, difference)
		}
	}
	lmtest.EachModel(t, backendtest.PureGo(t), check)
	for _, name := range []string{"lstm", "gpt2"} { // with loops, and compiled
		t.Run("compiled/"+name, func(t *testing.T) { check(t, openReference(t, backendtest.Engine(t), name).Model) })
	}
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// What is added to an activation is added, after it was replaced, and in every row and position asked for; its own part
// along a direction, taken away once, leaves nothing of it.
func TestAddedEdits(t *testing.T) {
	lmtest.EachModel(t, backendtest.PureGo(t), func(t *testing.T, m *lm.Model) {
		rng := rand.New(rand.NewPCG(5, 6))
		row := someTokens(rng, 5, lmtest.Vocab)
		for _, info := range m.Taps() {
			if !strings.Contains(info.Axes, "T.") || strings.HasSuffix(info.Name, "scale") || rng.IntN(4) > 0 {
				continue
			}
			tap, D := info.Name, info.Sizes[len(info.Sizes)-1]
			v := lm.Array{Dims: []int{D}, Data: make([]float32, D)}
			for i := range v.Data {
				v.Data[i] = float32(rng.NormFloat64())
			}
			rows := [][]token.ID{row, row, row}
			a := ask(t, m, lm.Query{Rows: rows, Taps: []lm.Tap{tap}, Edits: []lm.Edit{
				{Tap: tap, Rows: []int{1}, Positions: []int{4}, Add: true, Times: -0.5, With: lm.FromValues(v)},
				{Tap: tap, Rows: []int{1}, Positions: []int{4}, Keep: 0.5, With: lm.Zero()},
				{Tap: tap, Rows: []int{2}, Positions: []int{4}, Add: true, Times: -1, With: lm.Along(v)},
			}}).At[tap]
			for i, x := range a.Index(0, 4).Data {
				got, want := a.Index(1, 4).Data[i], 0.5*x-0.5*v.Data[i]
				if math.Abs(float64(got-want)) > 1e-4*(1+math.Abs(float64(x))) {
					t.Fatalf("%s: number %d is %v, want %v", tap, i, got, want)
				}
			}
			left, was := dot(a.Index(2, 4).Data, v.Data), dot(a.Index(0, 4).Data, v.Data)
			if math.Abs(left) > 1e-3*max(1, math.Abs(was)) {
				t.Errorf("%s: %v is left along the direction", tap, left)
			}
		}
	})
}

// Mistakes in what is added and read are errors that say so.
func TestAddedEditsAndReadsMistaken(t *testing.T) {
	m := openReference(t, backendtest.PureGo(t), "gpt2").Model
	two := lm.Array{Dims: []int{2}, Data: []float32{0, 0}}
	read := func(r lm.Read) lm.Query { return lm.Query{Of: []lm.Objective{{Reads: []lm.Read{r}}}} }
	for want, q := range map[string]lm.Query{
		"times for what":        {Edits: []lm.Edit{{Tap: "embed", Times: 2}}},
		"keep is for":           {Edits: []lm.Edit{{Tap: "embed", Keep: 1, Add: true}}},
		"does not fit":          {Edits: []lm.Edit{{Tap: "embed", Add: true, With: lm.Along(two)}}},
		"do not fit embed":      read(lm.Read{Tap: "embed", Coefficients: two}),
		"for each two tokens":   read(lm.Read{Tap: "block.0.attn.pattern", Coefficients: two}),
		"has no activation":     read(lm.Read{Tap: "embed2", Coefficients: two}),
		"replace the same":      {Edits: []lm.Edit{{Tap: "embed", Add: true, Times: 1}, {Tap: "embed", Add: true, Times: 2}}},
		"there is no unit \"\"": {Of: []lm.Objective{{Terms: []lm.Term{{Pos: -1}}}}},
	} {
		q.Rows = [][]token.ID{{1, 2}}
		if _, err := m.Run(context.Background(), q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that has %q", err, want)
		}
	}
}
