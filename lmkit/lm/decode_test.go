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

// logits is those of the next tokens.
func logits(t *testing.T, d *lm.Decoder) [][]float32 {
	t.Helper()
	ls, err := d.Logits()
	if err != nil {
		t.Fatal(err)
	}
	return ls
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
		{[]int{9, 2, 9, 17, 2, 9}, 3, 3},   // an LSTM's may have different lengths
		{[]int{2, 2, 2, 2, 2}, 1000000, 2}, // more room than there is
	}
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		for _, c := range decodeModels {
			m := loud(t, e, c.Config, c.gain)
			for i, x := range cases {
				different := slices.Min(x.lengths) < slices.Max(x.lengths)
				if c.Arch == lm.Transformer && different || !backendtest.Runs(e, i+3) {
					continue
				}
				t.Run(fmt.Sprint(e.Kind, "/", c.name, "/", x.lengths), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(1, 2))
					var rows [][]token.ID
					for _, n := range x.lengths {
						rows = append(rows, someTokens(rng, n, c.Vocab))
					}
					d, err := m.Decode(context.Background(), rows, x.room, lm.Sampling{})
					if err != nil {
						t.Fatal(err)
					}
					defer d.Close()
					for step := range x.steps {
						sameLogProbs(t, fmt.Sprint("after ", step, " tokens"), logits(t, d), atOnce(t, m, rows))
						next := someTokens(rng, len(rows), c.Vocab)
						for i := range rows {
							rows[i] = append(rows[i], next[i])
						}
						if err := d.Push(context.Background(), next); err != nil {
							t.Fatal(err)
						}
					}
					sameLogProbs(t, "at the end", logits(t, d), atOnce(t, m, rows))
				})
			}
		}
	}
}

// The cache was made for fewer tokens than came, and grows.
func TestDecodeBeyondRoom(t *testing.T) {
	c := decodeModels[0]
	c.Context = 100
	m := loud(t, backendtest.Either(t), c.Config, c.gain)
	rng := rand.New(rand.NewPCG(3, 4))
	rows := [][]token.ID{someTokens(rng, 61, c.Vocab), someTokens(rng, 61, c.Vocab)}
	d, err := m.Decode(context.Background(), rows, 1, lm.Sampling{})
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
			sameLogProbs(t, fmt.Sprint(n, " tokens"), logits(t, d), atOnce(t, m, rows))
		}
	}
	if len(rows[1]) != c.Context {
		t.Errorf("the decoder took %d tokens, of a context of %d", len(rows[1]), c.Context)
	}
	err = d.Push(context.Background(), []token.ID{0, 0})
	if err == nil || !strings.Contains(err.Error(), "reads at most 100 tokens") {
		t.Errorf("a full context: %v", err)
	}
	sameLogProbs(t, "after the error", logits(t, d), atOnce(t, m, rows))
}

func TestDecodeState(t *testing.T) {
	c := decodeModels[1]
	m := loud(t, backendtest.Engine(t), c.Config, c.gain)
	rows := [][]token.ID{{1, 2, 3}, {4, 5, 6, 7, 8, 9, 10, 0, 1}}
	d, err := m.Decode(context.Background(), rows, 1, lm.Sampling{})
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
	want, err := m.Run(context.Background(), lm.Query{Rows: [][]token.ID{append(rows[0], 5), append(rows[1], 6)},
		Final: true})
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
			{ctx, [][]token.ID{{1}, {2, 3}}, "row 1 has 2 tokens, and row 0 1"},
			{canceled, [][]token.ID{{1}}, context.Canceled.Error()},
		} {
			if d, err := m.Decode(x.ctx, x.rows, 1, lm.Sampling{}); err == nil || d != nil ||
				!strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: Decode(%v): %v, %v, want %q", e.Kind, x.rows, d, err, x.want)
			}
		}
		d, err := m.Decode(ctx, [][]token.ID{{1, 2}, {3, 4}}, 4, lm.Sampling{})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			ids  []token.ID
			want string
		}{{[]token.ID{1}, "1 tokens were given for 2 rows"}, {[]token.ID{1, -2}, "row 1: token #-2 is outside " +
			"the vocabulary"}} {
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
		sameLogProbs(t, "after errors", logits(t, d), atOnce(t, m, [][]token.ID{{1, 2, 4}, {3, 4, 5}}))
		d.Close()
		d.Close()
		if err := d.Push(ctx, []token.ID{1, 1}); err == nil {
			t.Errorf("%s: a closed decoder took a token", e.Kind)
		}
	}
}

// A decoder goes on with the tokens that it chose: the most likely ones, or drawn ones, as the draws say; and gives
// their log-probabilities. Rows may be told what to read instead.
func TestDecodeChooses(t *testing.T) {
	ways := []lm.Sampling{{}, {Temperature: 2}, {Temperature: 1.5, TopK: 4, TopP: .8}, {Temperature: 1, TopK: 11, TopP: 1}}
	for _, e := range []*backend.Engine{backendtest.Engine(t), backendtest.PureGo(t)} {
		for _, c := range decodeModels {
			m := loud(t, e, c.Config, c.gain)
			for i, s := range ways {
				if !backendtest.Runs(e, i+2) { // in a short run that with every setting
					continue
				}
				name := fmt.Sprintf("%s/%s/%v,%v,%v", e.Kind, c.name, s.Temperature, s.TopK, s.TopP)
				t.Run(name, func(t *testing.T) { decodeChoosing(t, m, s) })
			}
		}
	}
}

// decodeChoosing continues three rows by eight choices each, of which one is overruled, and checks every choice.
func decodeChoosing(t *testing.T, m *lm.Model, s lm.Sampling) {
	drawn := map[[2]int]bool{} // the rows and steps that were drawn for
	s.Draw = func(row, n int) float64 {
		drawn[[2]int{row, n}] = true
		return float64(row*7+n*3%10) / 31
	}
	rows := [][]token.ID{{1, 2, 3}, {4, 5, 6}, {1, 2, 3}}
	d, err := m.Decode(context.Background(), rows, 8, s)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for n := range 8 {
		want := atOnce(t, m, rows)
		next := []token.ID{lm.Chosen, lm.Chosen, lm.Chosen}
		if n == 3 {
			next[1] = 7
		}
		for i, x := range d.Choices() {
			if wrong := wrongChoice(s, x, want[i]); wrong != "" {
				t.Fatalf("step %d, row %d: %s", n, i, wrong)
			}
			if s.Temperature > 0 && !drawn[[2]int{i, n}] {
				t.Fatalf("step %d, row %d: nobody asked for a draw", n, i)
			}
			id := x.ID
			if next[i] != lm.Chosen {
				id = next[i]
			}
			rows[i] = append(rows[i], id)
		}
		if err := d.Push(context.Background(), next); err != nil {
			t.Fatal(err)
		}
	}
	sameLogProbs(t, "at the end", logits(t, d), atOnce(t, m, rows))
}

// wrongChoice says what is wrong with a choice, given the log-probabilities of all tokens: its own log-probability, or
// how likely it is beside the others.
func wrongChoice(s lm.Sampling, x lm.Choice, p []float32) string {
	if !(math.Abs(x.LogProb-float64(p[x.ID])) < 1e-4) {
		return fmt.Sprintf("token %d has %v, want %v", x.ID, x.LogProb, p[x.ID])
	}
	if s.Temperature == 0 && slices.Max(p)-p[x.ID] > 1e-4 {
		return fmt.Sprintf("token %d has %v, the most likely one %v", x.ID, p[x.ID], slices.Max(p))
	}
	better := 0
	for _, q := range p {
		if q > p[x.ID]+1e-4 {
			better++
		}
	}
	if s.TopK > 0 && better >= s.TopK {
		return fmt.Sprintf("%d tokens are more likely than the chosen one", better)
	}
	return ""
}

func TestSamplingErrors(t *testing.T) {
	for _, x := range []struct {
		s    lm.Sampling
		want string
	}{
		{lm.Sampling{Temperature: -1}, "temperature is -1"},
		{lm.Sampling{Temperature: math.NaN()}, "temperature is NaN"},
		{lm.Sampling{Temperature: 1}, "give Draw"},
		{lm.Sampling{TopK: -1}, "top-k is -1"},
		{lm.Sampling{TopP: 2}, "top-p is 2"},
	} {
		m := loud(t, backendtest.PureGo(t), decodeModels[1].Config, 1)
		if d, err := m.Decode(context.Background(), [][]token.ID{{1}}, 1, x.s); err == nil || d != nil ||
			!strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, want %q", x.s, err, x.want)
		}
	}
}

// BenchmarkDecode is a token of generation with a Transformer of 10,000 tokens, 4 layers, 256 wide.
func BenchmarkDecode(b *testing.B) {
	draw := func(row, n int) float64 { return float64((row+n)%16) / 16 }
	m, err := lm.New(backendtest.Engine(b), lm.Config{Arch: lm.Transformer, Vocab: 10000, Width: 256, Layers: 4, Heads: 4,
		Context: 128}, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	for name, s := range map[string]lm.Sampling{"greedy": {}, "drawn": {Temperature: 1, Draw: draw},
		"filtered": {Temperature: 1, TopK: 40, TopP: .9, Draw: draw}} {
		for _, rows := range []int{1, 8} {
			b.Run(fmt.Sprint(name, "/rows=", rows), func(b *testing.B) {
				var d *lm.Decoder
				prompts, next := make([][]token.ID, rows), make([]token.ID, rows)
				for i := range prompts {
					prompts[i], next[i] = []token.ID{token.ID(i)}, lm.Chosen
				}
				start := func() {
					if d, err = m.Decode(b.Context(), prompts, 127, s); err != nil {
						b.Fatal(err)
					}
				}
				start()
				if err := d.Push(b.Context(), next); err != nil { // which compiles
					b.Fatal(err)
				}
				for b.Loop() {
					if d.Room() == 0 {
						d.Close()
						start()
					}
					if err := d.Push(b.Context(), next); err != nil {
						b.Fatal(err)
					}
				}
				d.Close()
				b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}
