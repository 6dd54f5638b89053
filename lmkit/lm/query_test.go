package lm_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// tiny is a small model on the pure-Go engine, which compiles in no time.
func tiny(t *testing.T, arch string) *lm.Model {
	t.Helper()
	c := lm.Config{Arch: arch, Vocab: 17, Width: 12, Layers: 2}
	if arch == lm.LSTM {
		c.Hidden = 10
	} else {
		c.Heads, c.Context, c.Tied = 3, 24, true
	}
	m, err := lm.New(backendtest.PureGo(t), c, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func randomRow(seed uint64, n, vocab int) []token.ID {
	rng := rand.New(rand.NewPCG(seed, 0))
	row := make([]token.ID, n)
	for i := range row {
		row[i] = token.ID(rng.IntN(vocab))
	}
	return row
}

// Rows answer the same to the bit whoever their neighbours are, and whatever the padding holds.
func TestNeighboursChangeNothing(t *testing.T) {
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m := tiny(t, arch)
		row := randomRow(1, 9, 17)
		of := []lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}}}}
		ask := func(rows ...[]token.ID) *lm.Answer {
			a, err := m.Gradient(context.Background(), rows, of, []lm.Tap{"embed"})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		alone := ask(row)
		many := ask(randomRow(2, 12, 17), randomRow(3, 4, 17), row, randomRow(4, 1, 17))
		if alone.Values[0] != many.Values[2] {
			t.Errorf("%s: %v alone, %v among others", arch, alone.Values[0], many.Values[2])
		}
		if !slices.Equal(alone.Grad["embed"].Index(0).Data, many.Grad["embed"].Index(2).Data[:9*12]) {
			t.Errorf("%s: the gradient changes among others", arch)
		}
		for _, g := range many.Grad["embed"].Index(2).Data[9*12:] {
			if g != 0 {
				t.Errorf("%s: the gradient by padding is %v", arch, g)
			}
		}
	}
}

// What is asked about the last tokens alone takes less of the last layer, and is the same under all rules.
func TestOnlyTheLastTokens(t *testing.T) {
	m := tiny(t, lm.Transformer)
	rows := [][]token.ID{randomRow(1, 9, 17), randomRow(2, 5, 17)}
	for _, rules := range []lm.Rules{lm.Ordinary, lm.AttnLRP, lm.CPLRP, lm.GIM, lm.DeepLIFT} {
		for _, unit := range []lm.Unit{lm.Logit, lm.Prob} {
			if rules != lm.Ordinary && unit == lm.Prob {
				continue
			}
			q := lm.Query{Rows: rows, Wrt: []lm.Tap{"embed", "block.0.resid.post"}, Rules: rules, Logits: lm.LastLogits,
				Of:    []lm.Objective{{Unit: unit, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: -1, ID: 4, Weight: -0.5}}}},
				Edits: []lm.Edit{{Tap: "block.0.mlp.out", Rows: []int{0}, Positions: []int{2}, With: lm.Zero()}}}
			if rules == lm.DeepLIFT {
				q.Rows = [][]token.ID{rows[0], randomRow(3, 9, 17)}
			}
			last, err := m.Run(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			q.Taps = []lm.Tap{"head.in"} // of all tokens
			all, err := m.Run(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				close(t, last.Values[i:i+1], all.Values[i:i+1])
				close(t, last.Logits[i].Data, all.Logits[i].Data)
				for _, tap := range q.Wrt {
					close(t, last.Grad[tap].Index(i).Data, all.Grad[tap].Index(i).Data)
				}
			}
			if rules.Conserve() {
				close(t, last.Constants, all.Constants)
			}
		}
	}
}

func close[N float32 | float64](t *testing.T, got, want []N) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5*(1+math.Abs(float64(want[i])))) {
			t.Fatalf("number %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// Small batches, with the rows that they copy from, answer as one large one does.
func TestBatchesAgree(t *testing.T) {
	for _, arch := range []string{lm.Transformer, lm.LSTM} {
		m := tiny(t, arch)
		tap := "block.1.resid.pre"
		if arch == lm.LSTM {
			tap = "lstm.0.cell"
		}
		q := lm.Query{Taps: []lm.Tap{"head.in"}, Logits: lm.LastLogits}
		for i := range 30 {
			q.Rows = append(q.Rows, randomRow(uint64(i), 7, 17))
			if i < 29 {
				q.Edits = append(q.Edits, lm.Edit{Tap: tap, Rows: []int{i}, Positions: []int{i % 7}, Keep: 0.25,
					With: lm.FromRow((i + 15) % 30)})
			}
		}
		whole, err := m.Run(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		q.Memory = 1
		parts, err := m.Run(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if parts.Cost.ForwardRows <= whole.Cost.ForwardRows {
			t.Errorf("%d rows in small batches with donors, %d in one: it was not split", parts.Cost.ForwardRows,
				whole.Cost.ForwardRows)
		}
		closeTo(t, arch, parts.At["head.in"].Data, whole.At["head.in"].Data)
		closeTo(t, arch, join(parts.Logits), join(whole.Logits))
	}
}

func closeTo(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := got[i] - want[i]; d > 1e-5 || d < -1e-5 || d != d {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// Different values for different rows are kept apart, and equal rows with equal values agree.
func TestValuesPerRow(t *testing.T) {
	m := tiny(t, lm.Transformer)
	row := randomRow(1, 6, 17)
	one := lm.Array{Dims: []int{12}, Data: make([]float32, 12)}
	two := lm.Array{Dims: []int{6, 12}, Data: make([]float32, 72)}
	for i := range one.Data {
		one.Data[i] = float32(i) / 10
	}
	for i := range two.Data {
		two.Data[i] = 1 - float32(i)/50
	}
	at, err := m.Trace(context.Background(), [][]token.ID{row, row, row, row}, []lm.Tap{"embed"},
		lm.Edit{Tap: "embed", Rows: []int{1}, Positions: []int{2}, With: lm.FromValues(one)},
		lm.Edit{Tap: "embed", Rows: []int{2}, With: lm.FromValues(two)},
		lm.Edit{Tap: "embed", Rows: []int{3}, Positions: []int{5}, With: lm.Zero()})
	if err != nil {
		t.Fatal(err)
	}
	x := at["embed"]
	closeTo(t, "given at one position", x.Index(1, 2).Data, one.Data)
	closeTo(t, "untouched position", x.Index(1, 3).Data, x.Index(0, 3).Data)
	closeTo(t, "given at all positions", x.Index(2).Data, two.Data)
	closeTo(t, "zero", x.Index(3, 5).Data, make([]float32, 12))
}

// The gradient by any activation predicts what a small change of that activation does.
func TestGradientsAgainstDifferences(t *testing.T) {
	for _, name := range []string{"gpt2", "lstm"} {
		m := openReference(t, backendtest.PureGo(t), name)
		row := randomRow(5, 6, 13)
		of := []lm.Objective{{Unit: lm.LogProb, Terms: []lm.Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: 2, ID: 5, Weight: -0.5}}}}
		for k, info := range m.Taps() {
			a, err := m.Gradient(context.Background(), [][]token.ID{row}, of, []lm.Tap{info.Name})
			if err != nil {
				t.Fatal(err)
			}
			x, g := a.At[info.Name], a.Grad[info.Name]
			rng := rand.New(rand.NewPCG(9, uint64(k)))
			rms := 0.0
			for _, v := range x.Data {
				rms += float64(v) * float64(v) / float64(len(x.Data))
			}
			size := 3e-3 * max(math.Sqrt(rms), 0.1)
			plus, minus := lm.Array{Dims: x.Dims, Data: slices.Clone(x.Data)}, lm.Array{Dims: x.Dims, Data: slices.Clone(x.Data)}
			slope := 0.0
			for i := range x.Data {
				// An edit holds the activation at the given values whatever happens upstream. Inside a recurrence that
				// cuts what an earlier step does to a later one: there, change the last step alone.
				if strings.HasPrefix(info.Name, "lstm.") && !strings.Contains(info.Name, "state") && i < len(x.Data)*5/6 {
					continue
				}
				d := float32(rng.NormFloat64() * size)
				plus.Data[i] += d
				minus.Data[i] -= d
				slope += float64(d) * float64(g.Data[i])
			}
			both, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{row, row}, Of: of, Edits: []lm.Edit{
				{Tap: info.Name, Rows: []int{0}, With: lm.FromValues(plus)},
				{Tap: info.Name, Rows: []int{1}, With: lm.FromValues(minus)}}})
			if err != nil {
				t.Fatal(err)
			}
			got := (both.Values[0] - both.Values[1]) / 2
			if math.Abs(got-slope) > 5e-6+0.01*math.Abs(slope) {
				t.Errorf("%s %s: the objective changes by %v, the gradient says %v", name, info.Name, got, slope)
			}
		}
	}
}
func TestWrongQueries(t *testing.T) {
	tf, rnn := tiny(t, lm.Transformer), tiny(t, lm.LSTM)
	row := []token.ID{1, 2, 3}
	rows := [][]token.ID{row}
	of := []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 1, Weight: 1}}}}
	tests := []struct {
		name string
		m    *lm.Model
		q    lm.Query
		want string
	}{
		{"no rows", tf, lm.Query{}, "no rows"},
		{"empty row", tf, lm.Query{Rows: [][]token.ID{{}}}, "no tokens"},
		{"too long", tf, lm.Query{Rows: [][]token.ID{make([]token.ID, 25)}}, "25 tokens are more than the 24"},
		{"unknown token", tf, lm.Query{Rows: [][]token.ID{{1, 17}}}, "token 1 is #17, outside the vocabulary of 17"},
		{"unknown tap", tf, lm.Query{Rows: rows, Taps: []lm.Tap{"block.9.attn.pattern"}},
			`no activation "block.9.attn.pattern"; did you mean block.0.attn.pattern`},
		{"tap of the other kind", rnn, lm.Query{Rows: rows, Taps: []lm.Tap{"block.0.attn.pattern"}}, "no activation"},
		{"gradient of nothing", tf, lm.Query{Rows: rows, Wrt: []lm.Tap{"embed"}}, "need an objective"},
		{"state of a transformer", tf, lm.Query{Rows: rows, Final: true}, "no state"},
		{"mis-shaped state", rnn, lm.Query{Rows: rows, States: []lm.State{{}}}, "the model has [2 10]"},
		{"unknown unit", tf, lm.Query{Rows: rows, Of: []lm.Objective{{Unit: "bits"}}}, `no unit "bits"`},
		{"position past the end", tf, lm.Query{Rows: rows, Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: 3}}}}},
			"at position 3, but the row has 3"},
		{"objective's token", tf, lm.Query{Rows: rows, Of: []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{ID: -1}}}}},
			"token #-1"},
		{"objectives and rows", tf, lm.Query{Rows: [][]token.ID{row, row, row}, Of: append(of, of...)},
			"2 objectives were given for 3 rows"},
		{"edit's row", tf, lm.Query{Rows: rows, Edits: []lm.Edit{{Tap: "embed", Rows: []int{1}}}},
			"there is no row 1; there are 1"},
		{"edit's head", tf, lm.Query{Rows: rows, Edits: []lm.Edit{{Tap: "block.0.attn.z", Heads: []int{3}}}},
			"there is no head 3; there are 3"},
		{"heads of none", tf, lm.Query{Rows: rows, Edits: []lm.Edit{{Tap: "embed", Heads: []int{0}}}}, "no axis of heads"},
		{"donor", tf, lm.Query{Rows: rows, Edits: []lm.Edit{{Tap: "embed", With: lm.FromRow(4)}}},
			"there is no row 4 to copy from"},
		{"values' shape", tf, lm.Query{Rows: rows,
			Edits: []lm.Edit{{Tap: "embed", With: lm.FromValues(lm.Array{Dims: []int{5}, Data: make([]float32, 5)})}}},
			"values of shape [5] do not fit the activation's shape [1 3 12]"},
		{"overlapping edits", tf, lm.Query{Rows: rows, Logits: lm.LastLogits,
			Edits: []lm.Edit{{Tap: "embed", Positions: []int{1}}, {Tap: "embed", With: lm.FromRow(0)}}},
			"replace the same part"},
		{"two donors", tf, lm.Query{Rows: [][]token.ID{row, row, row}, Logits: lm.LastLogits,
			Edits: []lm.Edit{{Tap: "embed", Rows: []int{2}, Positions: []int{1}, With: lm.FromRow(0)},
				{Tap: "embed", Rows: []int{2}, Positions: []int{2}, With: lm.FromRow(1)}}},
			"can copy from one"},
	}
	for _, tt := range tests {
		_, err := tt.m.Run(context.Background(), tt.q)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got error %v, want one line with %q", tt.name, err, tt.want)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tiny(t, lm.LSTM).LogProbs(ctx, [][]token.ID{{1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	m := tiny(t, lm.Transformer)
	want, err := m.LogProbs(context.Background(), [][]token.ID{randomRow(0, 5, 17)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				got, err := m.LogProbs(context.Background(), [][]token.ID{randomRow(0, 5, 17)})
				if err != nil || !slices.Equal(got[0].Data, want[0].Data) {
					t.Errorf("another answer beside others (%v)", err)
				}
			}
		})
	}
	wg.Wait()
}
