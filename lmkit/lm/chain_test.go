package lm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// chainAlways makes every Transformer run as a chain of programs until the test ends; chainNever makes none.
func chainAlways(t *testing.T) { setForTest(t, &chainFrom, struct{ layers, params int }{}) }
func chainNever(t *testing.T) {
	setForTest(t, &chainFrom, struct{ layers, params int }{layers: math.MaxInt})
}

// shapes are small Transformers that differ in what a layer and its gradient need.
var shapes = map[string]Config{
	"gpt2": {Arch: Transformer, Vocab: 17, Width: 12, Layers: 4, Heads: 3, Context: 24, Tied: true},
	"llama": {
		Arch: Transformer, Vocab: 17, Width: 12, Layers: 4, Heads: 4, KVHeads: 2, HeadWidth: 4, Inner: 20, Context: 24,
		Norm: net.RMSNorm, Gated: true, Activation: net.SiLU, Rope: net.Rope{Theta: 100}, Window: 3, Pattern: "fsfs",
		NoBias: net.Projections{QKV: true, Out: true, MLP: true},
	},
	"gemma": {
		Arch: Transformer, Vocab: 17, Width: 12, Layers: 3, Heads: 2, KVHeads: 1, Inner: 20, Context: 24, Tied: true,
		Norm: net.RMSNorm, NormPlace: net.BothNorms, NormOffset: 1, Gated: true, Activation: net.GELUTanh,
		QKNorm: net.EachHead, Rope: net.Rope{Theta: 100}, EmbedScale: 3, ScoreCap: 5, LogitCap: 7,
	},
	"projected": {
		Arch: Transformer, Vocab: 17, Width: 12, EmbedWidth: 8, Layers: 3, Heads: 3, Context: 24, NormPlace: net.SumNorm,
		Tied: true,
	},
	"parallel": {
		Arch: Transformer, Vocab: 17, Width: 12, Layers: 3, Heads: 3, Context: 24, Residual: net.ParallelOne, HeadBias: true,
	},
}

// chainQueries are questions that open a model in every way; taps are drawn from the model's.
func chainQueries(m *Model, rng *rand.Rand) map[string]Query {
	row := func(n int) []token.ID {
		ids := make([]token.ID, n)
		for i := range ids {
			ids[i] = token.ID(rng.IntN(17))
		}
		return ids
	}
	rows := [][]token.ID{row(9), row(5), row(7)}
	pair := [][]token.ID{row(6), row(6)}
	end := []Objective{{Unit: Logit, Terms: []Term{{Pos: -1, ID: 3, Weight: 1}, {Pos: -1, ID: 4, Weight: -0.5}}}}
	all := []Objective{{Unit: LogProb, Terms: []Term{{Pos: 0, ID: 3, Weight: 1}, {Pos: -2, ID: 4, Weight: 2}}}}
	some := make([]Tap, 4)
	for i := range some {
		taps := m.Taps()
		some[i] = taps[rng.IntN(len(taps))].Name
	}
	value := FromValues(Array{Dims: []int{1}, Data: []float32{0.3}})
	edits := []Edit{
		{Tap: "embed", Rows: []int{1}, Positions: []int{2, 3}, With: Zero()},
		{Tap: "block.1.attn.z", Rows: []int{0}, Heads: []int{1}, Keep: 0.25, With: value},
		{Tap: "block.2.resid.pre", Rows: []int{0, 1}, Positions: []int{1}, With: FromRow(2)},
	}
	D := m.ResidualWidth()
	line := Array{Dims: []int{D}, Data: make([]float32, D)}
	for i := range line.Data {
		line.Data[i] = float32(rng.NormFloat64())
	}
	added := []Edit{
		{Tap: "block.1.resid.post", Rows: []int{0, 2}, Positions: []int{1, 2}, Add: true, Times: 0.7, With: FromValues(line)},
		{Tap: "block.1.resid.post", Rows: []int{0}, Positions: []int{2}, Keep: 0.5, With: FromRow(1)},
		{Tap: "block.2.attn.out", Add: true, Times: -1, With: Along(line)},
	}
	read := []Objective{{Reads: []Read{{Tap: "block.1.attn.out", Coefficients: line},
		{Tap: "block.2.resid.pre", Positions: []int{0, -1}, Coefficients: line}}}}
	both := []Objective{{Unit: Logit, Terms: end[0].Terms, Reads: read[0].Reads}}
	return map[string]Query{
		"added":              {Rows: rows, Of: end, Wrt: []Tap{"embed", "block.2.resid.pre"}, Edits: added},
		"reads":              {Rows: rows, Of: read, Wrt: []Tap{"embed", "block.1.attn.z", "block.2.resid.post"}},
		"reads, no gradient": {Rows: rows, Of: read},
		"reads and logits":   {Rows: rows, Of: both, Wrt: []Tap{"block.0.resid.pre", "block.1.attn.out"}, Edits: added},
		"last logits":        {Rows: rows, Logits: LastLogits},
		"all logits":         {Rows: rows, Logits: AllLogits},
		"taps alone":         {Rows: rows, Taps: some},
		"by the input":       {Rows: rows, Of: end, Wrt: []Tap{"embed"}, Logits: LastLogits},
		"by some":            {Rows: rows, Of: all, Wrt: some, Taps: []Tap{"block.1.attn.pattern"}},
		"by a late one":      {Rows: rows, Of: end, Wrt: []Tap{"block.2.mlp.out"}},
		"by the end":         {Rows: rows, Of: all, Wrt: []Tap{"head.in"}, Logits: AllLogits},
		"edits":              {Rows: rows, Of: end, Wrt: []Tap{"embed", "block.1.attn.z", "block.2.resid.pre"}, Edits: edits},
		"edits, all logits":  {Rows: rows, Logits: AllLogits, Taps: []Tap{"block.2.resid.post"}, Edits: edits},
		"attn-lrp":           {Rows: rows, Of: end, Wrt: []Tap{"block.0.resid.pre"}, Rules: AttnLRP},
		"attn-lrp, late one": {Rows: rows, Of: end, Wrt: []Tap{"block.1.resid.pre"}, Rules: AttnLRP},
		"gim":                {Rows: rows, Of: end, Wrt: []Tap{"embed", "block.1.attn.scores"}, Rules: GIM},
		"cp-lrp, edited":     {Rows: rows, Of: end, Wrt: []Tap{"block.0.resid.pre", "embed"}, Rules: CPLRP, Edits: edits[:1]},
		"at some places": {Rows: rows, Of: all, Wrt: append([]Tap{"block.1.resid.pre"}, some[:2]...),
			Taps: []Tap{"block.1.attn.pattern", "block.2.resid.post", "block.0.resid.pre", "head.in"}, Edits: edits,
			Places: [][]int{{3, -1}, {0}, {-2}}},
		"one text": {Rows: [][]token.ID{rows[0], rows[0], rows[1], rows[0]}, Of: end, Wrt: []Tap{"block.2.mlp.out"},
			Edits: []Edit{{Tap: "block.1.attn.out", Rows: []int{0}, Positions: []int{2}, With: FromRow(2)},
				{Tap: "block.2.resid.pre", Rows: []int{1}, Positions: []int{1}, With: FromRow(2)},
				{Tap: "head.in", Rows: []int{3}, Positions: []int{8}, Keep: 0.5, With: Zero()}}},
		"deeplift": {Rows: pair, Of: end, Wrt: []Tap{"embed", "block.1.attn.out"}, Rules: DeepLIFT},
	}
}

// A chain of programs answers as one program does, whether layers keep what their gradient needs or compute it again.
func TestChainEqualsWhole(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.PureGo(t), backendtest.Engine(t)} {
		for name, c := range shapes {
			if e != backendtest.PureGo(t) && name != "llama" {
				continue // to compile all takes long, and shows no more
			}
			m, err := New(e, c, nil, 5)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Close)
			for what, q := range chainQueries(m, rand.New(rand.NewPCG(1, 2))) {
				if e != backendtest.PureGo(t) && what != "by some" && (what != "edits" || testing.Short()) {
					continue
				}
				t.Run(e.Kind+"/"+name+"/"+what, func(t *testing.T) {
					ask := func() *Answer {
						a, err := m.Run(context.Background(), q)
						if err != nil {
							t.Fatal(err)
						}
						return a
					}
					chainNever(t)
					want := ask()
					chainAlways(t)
					sameAnswers(t, "chain", ask(), want)
					setForTest(t, &worthSharing, -1)
					sameAnswers(t, "chain that reads each text once up to the first edit", ask(), want)
					q.Memory = 1 // nothing is kept
					sameAnswers(t, "chain that keeps nothing", ask(), want)
				})
			}
		}
	}
}

// Layers are computed once for each text as long as nothing in them is edited in a row of the batch, asked for or
// differentiated.
func TestLayersAlike(t *testing.T) {
	m, err := New(backendtest.PureGo(t), shapes["gpt2"], nil, 5) // of four layers
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	of := []Objective{{Unit: Logit, Terms: []Term{{Pos: -1, ID: 3, Weight: 1}}}}
	edit := func(tap Tap) []Edit { return []Edit{{Tap: tap, Rows: []int{1}, With: Zero()}} }
	for _, x := range []struct {
		q    Query
		want int
	}{
		{Query{Of: of}, 3}, // the last layer returns the last token alone
		{Query{Of: of, Edits: edit("head.in")}, 3},
		{Query{Of: of, Edits: edit("block.3.mlp.out")}, 3},
		{Query{Of: of, Edits: edit("block.2.resid.pre")}, 2},
		{Query{Of: of, Edits: append(edit("block.1.attn.z"), edit("block.2.resid.pre")...)}, 1},
		{Query{Of: of, Edits: edit("block.0.resid.pre")}, 0},
		{Query{Of: of, Edits: edit("embed")}, 0},
		{Query{Of: of, Edits: []Edit{{Tap: "block.1.resid.pre", Rows: []int{2}, With: Zero()}}}, 3}, // of another batch
		{Query{Of: of, Taps: []Tap{"block.1.attn.z"}}, 1},
		{Query{Of: of, Taps: []Tap{"block.2.resid.pre"}}, 2}, // it is read where it passes
		{Query{Of: of, Taps: []Tap{"embed"}}, 0},
		{Query{Of: of, Wrt: []Tap{"block.2.mlp.out"}}, 2},
		{Query{Of: of, Wrt: []Tap{"embed"}}, 0},
	} {
		x.q.Rows = [][]token.ID{{1, 5, 2, 8}, {1, 5, 2, 8}, {1, 5, 2, 9}}
		r, err := newRun(m, x.q)
		if err != nil {
			t.Fatal(err)
		}
		r.chained = true
		in := newInputs(r, batch{rows: []int{0, 1}, own: 2}, 8, 8)
		if got := r.chain(8).alike(in); got != x.want {
			t.Errorf("%+v: %d layers are alike, want %d", x.q, got, x.want)
		}
	}
}

// To read the residual stream between layers, a chain compiles nothing, and runs no layer that nobody asks about.
func TestStreamIsReadAsItPasses(t *testing.T) {
	chainAlways(t)
	m, err := New(backendtest.PureGo(t), shapes["gpt2"], nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ran := func(taps ...Tap) (*Answer, int) {
		a, err := m.Run(context.Background(), Query{Rows: [][]token.ID{{1, 5, 2, 8}}, Taps: taps})
		if err != nil {
			t.Fatal(err)
		}
		return a, m.programs.Stats().Programs
	}
	if _, n := ran("block.0.resid.pre"); n != 1 {
		t.Errorf("%d programs read the stream before the first layer, want 1", n)
	}
	a, n := ran("block.1.resid.pre", "block.0.resid.post", "block.2.resid.post")
	if n != 2 {
		t.Errorf("%d programs read the stream between layers, want 2: the embeddings and a layer", n)
	}
	for i, x := range a.At["block.0.resid.post"].Data {
		if y := a.At["block.1.resid.pre"].Data[i]; x != y || x == a.At["block.2.resid.post"].Data[i] {
			t.Fatalf("number %d is %v after a layer and %v before the next", i, x, y)
		}
	}
	if _, n := ran("block.1.resid.pre", "block.1.attn.out"); n != 3 {
		t.Errorf("%d programs, want one more for the layer that is opened", n)
	}
}

// A decoder with edits has the same logits as a chain and as one program.
func TestChainDecodesEdits(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.PureGo(t), backendtest.Engine(t)} {
		m, err := New(e, shapes["llama"], nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		v := FromValues(Array{Dims: []int{1}, Data: []float32{0.3}})
		edits := []Edit{{Tap: "embed", Add: true, Times: 2, With: v}, {Tap: "block.1.resid.post", Rows: []int{0}, With: v}}
		logits := func() (all [][]float32) {
			d, err := m.Decode(context.Background(), [][]token.ID{{1, 2, 3}, {4, 5, 6}}, 2, Sampling{}, edits...)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for range 2 {
				rows, err := d.Logits()
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, rows...)
				if err := d.Push(context.Background(), []token.ID{7, 8}); err != nil {
					t.Fatal(err)
				}
			}
			return all
		}
		chainNever(t)
		want := logits()
		chainAlways(t)
		for i, got := range logits() {
			n := []int{len(got)}
			closeArrays(t, fmt.Sprint("logits ", i), Array{Dims: n, Data: got}, Array{Dims: n, Data: want[i]})
		}
	}
}

// sameAnswers compares all that two answers hold.
func sameAnswers(t *testing.T, what string, got, want *Answer) {
	t.Helper()
	compareAnswers(t, what, got, want)
	for tap := range want.At {
		closeArrays(t, fmt.Sprintf("%s: %s", what, tap), got.At[tap], want.At[tap])
	}
	for tap := range want.Grad {
		closeArrays(t, fmt.Sprintf("%s: gradient by %s", what, tap), got.Grad[tap], want.Grad[tap])
	}
	for i, w := range want.Constants {
		if d := math.Abs(got.Constants[i] - w); !(d <= 1e-5*(1+math.Abs(w))) {
			t.Fatalf("%s: constants of row %d take %v, want %v", what, i, got.Constants[i], w)
		}
	}
	if got.Cost.ForwardRows != want.Cost.ForwardRows && got.Cost.ForwardRows < len(want.Values) {
		t.Errorf("%s: cost %+v, want %+v", what, got.Cost, want.Cost)
	}
}

// closeArrays compares arrays to 1e-5 of their largest number.
func closeArrays(t *testing.T, what string, got, want Array) {
	t.Helper()
	size := 0.0
	for _, w := range want.Data {
		size = max(size, math.Abs(float64(w)))
	}
	if len(got.Data) != len(want.Data) {
		t.Fatalf("%s: shape %v, want %v", what, got.Dims, want.Dims)
	}
	for i, w := range want.Data {
		if d := math.Abs(float64(got.Data[i] - w)); !(d <= 1e-5*(size+1e-3)) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, got.Data[i], w)
		}
	}
}

// What later constants took of the objective is counted from the activation that is asked about, whichever layer it is
// in: at the residual stream before any layer, tokens and constants have all of the objective.
func TestConstantsAreThoseOfLaterLayers(t *testing.T) {
	for name, c := range shapes {
		m, err := New(backendtest.PureGo(t), c, nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for _, run := range []func(t *testing.T){chainNever, chainAlways} {
			run(t)
			for l := range c.Layers {
				if c.NormPlace == net.BothNorms || c.ScoreCap > 0 {
					continue // the first-order expansion of a cap is not complete
				}
				tap := fmt.Sprintf("block.%d.resid.pre", l)
				q := Query{Rows: [][]token.ID{{1, 5, 2, 8}}, Wrt: []Tap{tap}, Rules: CPLRP}
				q.Of = []Objective{{Unit: Logit, Terms: []Term{{Pos: -1, ID: 3, Weight: 1}}}}
				a, err := m.Run(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				sum := a.Constants[0]
				for i, x := range a.At[tap].Data {
					sum += float64(x) * float64(a.Grad[tap].Data[i])
				}
				if d := math.Abs(sum - a.Values[0]); !(d <= 1e-5*(1+math.Abs(a.Values[0]))) {
					t.Errorf("%s: %s and later constants have %v of %v", name, tap, sum, a.Values[0])
				}
			}
		}
	}
}

// A decoder of a chain reads on as one program does: its logits are those of reading the whole text at once.
func TestChainDecodes(t *testing.T) {
	for _, e := range []*backend.Engine{backendtest.PureGo(t), backendtest.Engine(t)} {
		for name, c := range shapes {
			if e != backendtest.PureGo(t) && name != "llama" {
				continue
			}
			m, err := New(e, c, nil, 5)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Close)
			t.Run(e.Kind+"/"+name, func(t *testing.T) { decodeAsChain(t, m) })
		}
	}
}

func decodeAsChain(t *testing.T, m *Model) {
	chainAlways(t)
	setForTest(t, &grouped, 3) // of four layers, two groups of two
	rows := [][]token.ID{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}}
	draw := func(row, n int) float64 { return float64((row*7+n*3)%10) / 10 }
	d, err := m.Decode(context.Background(), rows, 5, Sampling{Temperature: 1, TopK: 9, TopP: 0.95, Draw: draw})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for step := range 6 {
		chainNever(t)
		want, err := m.Run(context.Background(), Query{Rows: rows, Logits: LastLogits})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Logits()
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			closeArrays(t, fmt.Sprintf("step %d, row %d", step, i), Array{Data: got[i]}, want.Logits[i])
		}
		next := []token.ID{Chosen, Chosen}
		if step == 2 {
			next[1] = 11
		}
		for i, choice := range d.Choices() {
			id := next[i]
			if id == Chosen {
				id = choice.ID
			}
			rows[i] = append(rows[i], id)
		}
		if err := d.Push(context.Background(), next); err != nil {
			t.Fatal(err)
		}
	}
}
