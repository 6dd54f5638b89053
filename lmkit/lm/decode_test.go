package lm_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// loud is a small model whose predictions depend strongly on every earlier token: fresh weights, made larger.
func loud(t *testing.T, e *backend.Engine, c lm.Config, gain float32) *lm.Model {
	t.Helper()
	fresh, err := lm.New(e, c, nil, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	ws, err := fresh.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range ws {
		if len(w.Dims) > 1 {
			for i := range w.Data {
				w.Data[i] *= gain
			}
		}
		ws[name] = w
	}
	m, err := lm.FromWeights(e, c, nil, ws)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

var decodeModels = []struct {
	name string
	lm.Config
	gain float32
}{
	{"transformer", lm.Config{Arch: lm.Transformer, Vocab: 11, Width: 12, Layers: 2, Heads: 3, Context: 20}, 12},
	{"lstm", lm.Config{Arch: lm.LSTM, Vocab: 11, Width: 7, Hidden: 9, Layers: 2}, 4},
}

// atOnce is the log-probabilities of what follows row, read in one go.
func atOnce(t *testing.T, m *lm.Model, rows [][]token.ID) [][]float32 {
	t.Helper()
	as, err := m.LogProbs(context.Background(), rows)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float32
	for _, a := range as {
		out = append(out, a.Index(a.Dims[0]-1).Data)
	}
	return out
}

func sameLogProbs(t *testing.T, what string, logits, want [][]float32) {
	t.Helper()
	if len(logits) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(logits), len(want))
	}
	for i, l := range logits {
		got := slices.Clone(l)
		lm.LogSoftmax(got)
		if len(got) != len(want[i]) {
			t.Fatalf("%s: row %d has %d logits, want %d", what, i, len(got), len(want[i]))
		}
		for k := range got {
			if !(math.Abs(float64(got[k]-want[i][k])) < 1e-4) {
				t.Fatalf("%s: row %d: token %d has log-probability %v, want %v", what, i, k, got[k], want[i][k])
			}
		}
	}
}

func someTokens(rng *rand.Rand, n, vocab int) []token.ID {
	row := make([]token.ID, n)
	for i := range row {
		row[i] = token.ID(rng.IntN(vocab))
	}
	return row
}

func TestDecodeEqualsReadingAtOnce(t *testing.T) {
	cases := []struct {
		lengths     []int
		room, steps int
	}{
		{[]int{1}, 12, 12},
		{[]int{5}, 15, 15},                 // padded to 8: the next tokens overwrite the padding
		{[]int{8}, 4, 4},                   // no padding
		{[]int{13}, 0, 7},                  // padded to 16, up to the end of the short context
		{[]int{3, 3, 3}, 6, 6},             // padded to 3 rows
		{[]int{9, 2, 9, 17, 2, 9}, 3, 3},   // lengths in several buckets, out of order
		{[]int{2, 2, 2, 2, 2}, 1000000, 2}, // more room than there is
	}
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		for _, c := range decodeModels {
			m := loud(t, e, c.Config, c.gain)
			for _, x := range cases {
				t.Run(fmt.Sprint(e.Kind, "/", c.name, "/", x.lengths), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(1, 2))
					var rows [][]token.ID
					for _, n := range x.lengths {
						rows = append(rows, someTokens(rng, n, c.Vocab))
					}
					d, err := m.Decode(context.Background(), rows, x.room)
					if err != nil {
						t.Fatal(err)
					}
					defer d.Close()
					for step := range x.steps {
						sameLogProbs(t, fmt.Sprint("after ", step, " tokens"), d.Logits(), atOnce(t, m, rows))
						next := someTokens(rng, len(rows), c.Vocab)
						for i := range rows {
							rows[i] = append(rows[i], next[i])
						}
						if err := d.Push(context.Background(), next); err != nil {
							t.Fatal(err)
						}
					}
					sameLogProbs(t, "at the end", d.Logits(), atOnce(t, m, rows))
				})
			}
		}
	}
}

// The cache was made for fewer tokens than came, and grows.
func TestDecodeBeyondRoom(t *testing.T) {
	c := decodeModels[0]
	c.Context = 100
	m := loud(t, backendtest.Engine(t), c.Config, c.gain)
	rng := rand.New(rand.NewPCG(3, 4))
	rows := [][]token.ID{someTokens(rng, 58, c.Vocab), someTokens(rng, 61, c.Vocab)}
	d, err := m.Decode(context.Background(), rows, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for d.Room() > 0 {
		next := someTokens(rng, 2, c.Vocab)
		for i := range rows {
			rows[i] = append(rows[i], next[i])
		}
		if err := d.Push(context.Background(), next); err != nil {
			t.Fatal(err)
		}
		if n := len(rows[1]); n%13 == 0 || n >= 62 && n <= 66 || n == c.Context {
			sameLogProbs(t, fmt.Sprint(n, " tokens"), d.Logits(), atOnce(t, m, rows))
		}
	}
	if len(rows[1]) != c.Context {
		t.Errorf("the decoder took %d tokens, of a context of %d", len(rows[1]), c.Context)
	}
	err = d.Push(context.Background(), []token.ID{0, 0})
	if err == nil || !strings.Contains(err.Error(), "reads at most 100 tokens") {
		t.Errorf("a full context: %v", err)
	}
	sameLogProbs(t, "after the error", d.Logits(), atOnce(t, m, rows))
}

func TestDecodeState(t *testing.T) {
	c := decodeModels[1]
	m := loud(t, backendtest.Engine(t), c.Config, c.gain)
	rows := [][]token.ID{{1, 2, 3}, {4, 5, 6, 7, 8, 9, 10, 0, 1}}
	d, err := m.Decode(context.Background(), rows, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Push(context.Background(), []token.ID{5, 6}); err != nil {
		t.Fatal(err)
	}
	got, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{append(rows[0], 5), append(rows[1], 6)}, Final: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want.States {
		for k, a := range []lm.Array{got[i].Hidden, got[i].Cell} {
			b := []lm.Array{w.Hidden, w.Cell}[k]
			if !slices.Equal(a.Dims, b.Dims) {
				t.Fatalf("row %d: shape %v, want %v", i, a.Dims, b.Dims)
			}
			for j := range b.Data {
				if !(math.Abs(float64(a.Data[j]-b.Data[j])) < 1e-5) {
					t.Fatalf("row %d: %v, want %v", i, a.Data, b.Data)
				}
			}
		}
	}
	if d.Room() != math.MaxInt {
		t.Errorf("an LSTM has room for %d tokens", d.Room())
	}
}

func TestDecodeErrors(t *testing.T) {
	ctx := context.Background()
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		m := loud(t, e, decodeModels[0].Config, 1)
		for _, x := range []struct {
			ctx  context.Context
			rows [][]token.ID
			want string
		}{
			{ctx, nil, "no rows"},
			{ctx, [][]token.ID{{1}, {}}, "row 1: there are no tokens"},
			{ctx, [][]token.ID{{1, 11}}, "row 0: token 1 is #11, outside the vocabulary of 11"},
			{ctx, [][]token.ID{make([]token.ID, 21)}, "21 tokens are more than the 20"},
			{canceled, [][]token.ID{{1}}, context.Canceled.Error()},
		} {
			if d, err := m.Decode(x.ctx, x.rows, 1); err == nil || d != nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: Decode(%v): %v, %v, want %q", e.Kind, x.rows, d, err, x.want)
			}
		}
		d, err := m.Decode(ctx, [][]token.ID{{1, 2}, {3}}, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			ids  []token.ID
			want string
		}{{[]token.ID{1}, "1 tokens were given for 2 rows"}, {[]token.ID{1, -1}, "row 1: token #-1 is outside the vocabulary"}} {
			if err := d.Push(ctx, x.ids); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: Push(%v): %v, want %q", e.Kind, x.ids, err, x.want)
			}
		}
		if err := d.Push(canceled, []token.ID{1, 1}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a canceled Push: %v", e.Kind, err)
		}
		if _, err := d.State(); err == nil {
			t.Errorf("%s: a Transformer has a state", e.Kind)
		}
		if err := d.Push(ctx, []token.ID{4, 5}); err != nil { // as if nothing had happened
			t.Error(err)
		}
		sameLogProbs(t, "after errors", d.Logits(), atOnce(t, m, [][]token.ID{{1, 2, 4}, {3, 5}}))
		d.Close()
		d.Close()
		if err := d.Push(ctx, []token.ID{1, 1}); err == nil {
			t.Errorf("%s: a closed decoder took a token", e.Kind)
		}
	}
}

// BenchmarkDecode is greedy generation with a Transformer of 4 layers, 128 wide, and 65 tokens.
func BenchmarkDecode(b *testing.B) {
	for _, rows := range []int{1, 8} {
		b.Run(fmt.Sprint("rows=", rows), func(b *testing.B) {
			m, err := lm.New(backendtest.Engine(b), lm.Config{Arch: lm.Transformer, Vocab: 65, Width: 128, Layers: 4, Heads: 4, Context: 64}, nil, 1)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			var d *lm.Decoder
			next := make([]token.ID, rows)
			start := func() {
				prompts := make([][]token.ID, rows)
				for i := range prompts {
					prompts[i] = []token.ID{token.ID(i)}
				}
				if d, err = m.Decode(context.Background(), prompts, 63); err != nil {
					b.Fatal(err)
				}
			}
			start()
			for b.Loop() {
				if d.Room() == 0 {
					d.Close()
					start()
				}
				for i, l := range d.Logits() {
					next[i] = token.ID(slices.Index(l, slices.Max(l)))
				}
				if err := d.Push(context.Background(), next); err != nil {
					b.Fatal(err)
				}
			}
			d.Close()
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
