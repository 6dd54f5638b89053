package lmkit_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/trial"
)

const vocab = 13

// models are the reference models, those of families that differ most from them, and random ones with weights large
// enough that they are far from linear. The short tests take about half of them.
func models(t testing.TB) map[string]*lm.Model {
	t.Helper()
	ms, families, seeds := explaintest.Models(t), []string{"gemma2", "gpt_neox", "opt-post"}, uint64(2)
	if testing.Short() {
		families, seeds = families[:1], 1
	}
	for _, name := range families {
		m, err := lm.Open(backendtest.PureGo(t), "lm/testdata/families/"+name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		ms[name] = m
	}
	for seed := range seeds {
		for arch, c := range map[string]lm.Config{
			lm.Transformer: {Arch: lm.Transformer, Vocab: vocab, Width: 8, Layers: 2, Heads: 2, Context: 16},
			lm.LSTM:        {Arch: lm.LSTM, Vocab: vocab, Width: 6, Hidden: 8, Layers: 2},
			"llama": {Arch: lm.Transformer, Vocab: vocab, Width: 8, Layers: 2, Heads: 4, KVHeads: 2, HeadWidth: 4, Context: 16,
				Norm: net.RMSNorm, Gated: true, Activation: net.SiLU, Rope: net.Rope{Theta: 100},
				NoBias: net.Projections{QKV: true, Out: true, MLP: true}},
		} {
			ms[fmt.Sprintf("%s %d", arch, seed)] = random(t, c, seed)
		}
	}
	return ms
}

func random(t testing.TB, c lm.Config, seed uint64) *lm.Model {
	t.Helper()
	fresh, err := lm.New(backendtest.PureGo(t), c, nil, seed)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	ws, err := fresh.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(ws)) {
		if c.Attends() && !strings.Contains(name, ".ln") && !strings.HasPrefix(name, "final.") {
			for i := range ws[name].Data {
				ws[name].Data[i] *= 12
			}
		}
		if c.Recurrent() && (name == "embed.weight" || name == "head.weight") {
			for i := range ws[name].Data {
				ws[name].Data[i] *= 8
			}
		}
	}
	return fromWeights(t, fresh, ws)
}

func fromWeights(t testing.TB, like *lm.Model, ws map[string]lm.Array) *lm.Model {
	t.Helper()
	m, err := lm.FromWeights(like.Engine(), like.Config(), like.Tokenizer(), ws)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// quick are settings by which no method refines, and those that can draw do.
var quick = lmkit.Settings{Steps: 24, Samples: 24, Budget: 24}

// eachMethod runs a test on every method and every model that it explains.
func eachMethod(t *testing.T, s lmkit.Settings, test func(t *testing.T, m *lm.Model, info lmkit.MethodInfo,
	method explain.Method)) {
	eachMethodOf(t, models(t), s, test)
}

// eachMethodOf runs a test on every method and each of some models that it explains.
func eachMethodOf(t *testing.T, ms map[string]*lm.Model, s lmkit.Settings, test func(t *testing.T, m *lm.Model,
	info lmkit.MethodInfo, method explain.Method)) {
	for _, info := range lmkit.Methods() {
		method, err := lmkit.Method(info.Name, s)
		if err != nil {
			t.Fatal(err)
		}
		if method.Name() != info.Name {
			t.Errorf("%s is called %s", info.Name, method.Name())
		}
		for _, name := range slices.Sorted(maps.Keys(ms)) {
			if info.Arch == "" || info.Arch == ms[name].Config().Arch {
				t.Run(info.Name+"/"+name, func(t *testing.T) { test(t, ms[name], info, method) })
			}
		}
	}
}

func ask(t *testing.T, m *lm.Model, method explain.Method, q explain.Question) *explain.Attribution {
	t.Helper()
	a, err := explaintest.Explain(context.Background(), m, q, method)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func question(target, foil token.ID) explain.Question {
	return explain.Question{IDs: explaintest.IDs(), Baseline: "#7", Target: []token.ID{target}, Foil: []token.ID{foil}}
}

func size(xs ...[]float64) float64 {
	sum := 1e-6
	for _, x := range slices.Concat(xs...) {
		sum += math.Abs(x)
	}
	return sum
}

// same fails when two lists of scores differ by more than a share of their size.
func same(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > tolerance*size(want) {
			t.Errorf("%s: feature %d has %v, want %v, of %v", what, i, got[i], want[i], want)
		}
	}
}

func TestComplete(t *testing.T) {
	eachMethod(t, lmkit.Settings{}, func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
		a := ask(t, m, method, question(2, 6))
		explaintest.Check(t, a)
		c := a.Evidence.Completeness
		switch promised := slices.Contains(info.Axioms, lmkit.Complete); {
		case promised && (c == nil || !c.Holds):
			t.Errorf("the scores do not add up: %+v", c)
		case !promised && c != nil && info.Name != "expected-gradients": // which promises it of many samples
			t.Errorf("a promise is checked that is not made: %+v", c)
		}
	})
}

func TestDummy(t *testing.T) {
	eachMethod(t, lmkit.Settings{Steps: quick.Steps, Samples: quick.Samples},
		func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
			if !slices.Contains(info.Axioms, lmkit.Dummy) {
				return
			}
			a := ask(t, m, method, question(2, 6))
			for _, p := range []int{3, 4} { // these are token 7
				if math.Abs(a.Scores[p]) > 1e-5*size(a.Scores) {
					t.Errorf("token %d is its own baseline, but has %v of %v", p, a.Scores[p], a.Scores)
				}
			}
		})
}

func TestLinear(t *testing.T) {
	eachMethod(t, quick, func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
		linear := slices.Contains(info.Axioms, lmkit.Linear)
		if !linear && !slices.Contains(info.Axioms, lmkit.Antisymmetric) {
			return
		}
		one, other := ask(t, m, method, question(2, 6)), ask(t, m, method, question(6, 2))
		for i := range other.Scores {
			other.Scores[i] *= -1
		}
		same(t, "turned round", other.Scores, one.Scores, 1e-4)
		if !linear {
			return
		}
		logit := func(id token.ID) []float64 {
			return ask(t, m, method, explain.Question{IDs: explaintest.IDs(), Baseline: "#7", Target: []token.ID{id},
				Objective: explain.Logit}).Scores
		}
		target, foil := logit(2), logit(6)
		for i := range target {
			if d := target[i] - foil[i]; math.Abs(d-one.Scores[i]) > 1e-4*size(target, foil) {
				t.Errorf("feature %d has %v for the contrast, and %v for the logits", i, one.Scores[i], d)
			}
		}
	})
}

// Adding the same number to all logits changes no prediction, and no contrast. LRP in an LSTM shares out each logit by
// itself, with a stabiliser that depends on its size, and keeps this only roughly.
func TestConstantLogit(t *testing.T) {
	eachMethod(t, quick, func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
		if !m.Config().Recurrent() { // a Transformer's head has no bias to add it to
			return
		}
		ws, err := m.Weights()
		if err != nil {
			t.Fatal(err)
		}
		for i := range ws["head.bias"].Data {
			ws["head.bias"].Data[i] += 2
		}
		tolerance := 1e-4
		if strings.HasPrefix(info.Name, "lrp") {
			tolerance = 0.03
		}
		same(t, "with all logits raised", ask(t, fromWeights(t, m, ws), method, question(2, 6)).Scores,
			ask(t, m, method, question(2, 6)).Scores, tolerance)
	})
}

// Two networks that compute the same function get the same scores: here hidden units change places.
func TestImplementationInvariance(t *testing.T) {
	eachMethod(t, quick, func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
		same(t, "with units in other places", ask(t, shuffled(t, m), method, question(2, 6)).Scores,
			ask(t, m, method, question(2, 6)).Scores, 1e-3)
	})
}

// shuffled is a model whose units have changed places: those of an LSTM's first layer, or of a Transformer's first
// MLP.
func shuffled(t *testing.T, m *lm.Model) *lm.Model {
	t.Helper()
	ws, err := m.Weights()
	if err != nil {
		t.Fatal(err)
	}
	permute := func(name string, axis, blocks int, order []int) {
		w := ws[name]
		out := lm.Array{Dims: w.Dims, Data: make([]float32, len(w.Data))}
		inner := 1
		for _, d := range w.Dims[axis+1:] {
			inner *= d
		}
		for k := range w.Data {
			at := k / inner % w.Dims[axis]
			n := len(order)
			from := at/n*n + order[at%n]
			out.Data[k] = w.Data[k+(from-at)*inner]
		}
		if w.Dims[axis] != blocks*len(order) {
			t.Fatalf("%s has %v along axis %d, want %d blocks of %d", name, w.Dims, axis, blocks, len(order))
		}
		ws[name] = out
	}
	c := m.Config()
	rng := rand.New(rand.NewPCG(5, 5))
	if c.Recurrent() {
		order := rng.Perm(c.Hidden)
		for _, name := range []string{"lstm.0.input.weight", "lstm.0.hidden.weight", "lstm.0.input.bias",
			"lstm.0.hidden.bias"} {
			permute(name, 0, 4, order)
		}
		permute("lstm.0.hidden.weight", 1, 1, order)
		permute("lstm.1.input.weight", 1, 1, order)
	} else {
		order := rng.Perm(ws["block.0.mlp.out.weight"].Dims[1])
		for _, part := range []string{"pre", "gate", "up"} {
			for _, name := range []string{"block.0.mlp." + part + ".weight", "block.0.mlp." + part + ".bias"} {
				if _, ok := ws[name]; ok {
					permute(name, 0, 1, order)
				}
			}
		}
		permute("block.0.mlp.out.weight", 1, 1, order)
	}
	return fromWeights(t, m, ws)
}

// The seed decides what is drawn, and nothing else does: not the memory, by which rows are split into batches.
func TestSeedAndMemory(t *testing.T) {
	draws := []string{"smoothgrad", "expected-gradients", "shapley", "kernel-shap", "permutation-shapley", "lime",
		"surrogate-tree"}
	eachMethod(t, quick, func(t *testing.T, m *lm.Model, info lmkit.MethodInfo, method explain.Method) {
		q := question(2, 6)
		first, again := ask(t, m, method, q).Scores, ask(t, m, method, q).Scores
		if !slices.Equal(first, again) {
			t.Errorf("the same seed gives %v and %v", first, again)
		}
		q.Memory = 1
		same(t, "in the smallest batches", ask(t, m, method, q).Scores, first, 1e-5)
		q.Memory, q.Seed = 0, 1
		if other := ask(t, m, method, q).Scores; slices.Equal(first, other) == slices.Contains(draws, info.Name) {
			t.Errorf("with another seed %v, before %v", other, first)
		}
	})
}

// What comes after a prediction cannot matter for it: its gradient is exactly zero, by any rules. And a row has the
// same gradients by itself as beside a longer one, which pads it to another length.
func TestFutureTokens(t *testing.T) {
	ctx := context.Background()
	for name, m := range models(t) {
		for _, rules := range []lm.Rules{lm.Ordinary, lm.AttnLRP, lm.CPLRP, lm.LRP, lm.LRPHalf, lm.GIM, lm.DeepLIFT} {
			if rules.Check(m.Config()) != nil {
				continue
			}
			ids := explaintest.IDs()
			q := lm.Query{Rows: [][]token.ID{ids, ids}, Wrt: []lm.Tap{"embed"}, Rules: rules,
				Of:    []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: 3, ID: 2, Weight: 1}, {Pos: 3, ID: 6, Weight: -1}}}},
				Edits: []lm.Edit{{Tap: "embed", Rows: []int{1}, Keep: 0.5}}}
			alone, err := m.Run(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			long := append(slices.Clone(ids), ids[:5]...)
			q.Rows = append(q.Rows, long, long)
			beside, err := m.Run(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for p := range ids {
				var one, other []float64
				for d, v := range alone.Grad["embed"].Index(0, p).Data {
					if p > 3 && v != 0 {
						t.Fatalf("%s, rules %q: token %d comes after the prediction, but has the gradient %v", name, rules, p, v)
					}
					one, other = append(one, float64(v)), append(other, float64(beside.Grad["embed"].Index(0, p).Data[d]))
				}
				same(t, fmt.Sprintf("%s, rules %q, beside a longer row", name, rules), other, one, 1e-4)
			}
		}
	}
}

// A method that looks at the weights says something else of random ones. Random scores do not, as they must.
func TestRandomWeightsDestroyTheRanking(t *testing.T) {
	task, err := plant.New(plant.Config{Task: "marker", Unknown: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	trained, err := trial.Train(context.Background(), backendtest.Engine(t), task,
		trial.Config{Arch: lm.Transformer, Width: 32})
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Model.Close()
	ws, err := trained.Model.Weights()
	if err != nil {
		t.Fatal(err)
	}
	// Every stage is a new model, and the pure-Go engine compiles none.
	m, err := lm.FromWeights(backendtest.PureGo(t), trained.Model.Config(), trained.Model.Tokenizer(), ws)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	methods := []explain.Method{faithful.Random{}}
	for _, name := range []string{"saliency", "input-x-gradient", "integrated-gradients", "deeplift", "attn-lrp"} {
		method, err := lmkit.Method(name, lmkit.Settings{Steps: 16})
		if err != nil {
			t.Fatal(err)
		}
		methods = append(methods, method)
	}
	const items = 3
	for _, method := range methods {
		left := 0.0
		for _, it := range task.Items(0, plant.Test, items) {
			q := explain.Question{Prompt: it.Text, Objective: explain.Logit}
			stages, err := faithful.ParameterRandomization(context.Background(), m, method, q, 1)
			if err != nil {
				t.Fatal(err)
			}
			left += stages[len(stages)-1].Spearman / items
		}
		if fixed := method.Name() == "random"; left > 0.6 && !fixed || left < 1 && fixed {
			t.Errorf("%s: with random weights, the ranking still correlates by %.2f", method.Name(), left)
		}
	}
}

func TestAuto(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		long := slices.Concat(explaintest.IDs(), explaintest.IDs())[:12]
		cheapest := "deeplift"
		if m.Config().Attends() {
			cheapest = "cp-lrp"
		}
		for _, tt := range []struct {
			ids    []token.ID
			budget int
			want   string
		}{
			{explaintest.IDs(), 0, "shapley-exact"}, {explaintest.IDs(), 128, "shapley-exact"},
			{explaintest.IDs(), 127, "integrated-gradients"},
			{explaintest.IDs(), 29, "occlusion"}, {explaintest.IDs(), 8, "occlusion"}, {explaintest.IDs(), 7, cheapest},
			{long, 0, "shapley-exact"}, {long, 4095, "integrated-gradients"},
		} {
			auto, err := lmkit.Method("auto", lmkit.Settings{Budget: tt.budget})
			if err != nil {
				t.Fatal(err)
			}
			q := explain.Question{IDs: tt.ids}
			a := ask(t, m, auto, q)
			explaintest.Check(t, a)
			chosen, err := lmkit.Method(tt.want, lmkit.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(a.Method.Settings), `"chosen":"`+tt.want+`"`) {
				t.Errorf("%d tokens, budget %d: %s, want %s", len(tt.ids), tt.budget, a.Method.Settings, tt.want)
			} else {
				alone := ask(t, m, chosen, q)
				same(t, "auto", a.Scores, alone.Scores, 0.02)
				if a.Cost.ForwardRows != alone.Cost.ForwardRows || a.Cost.BackwardRows != alone.Cost.BackwardRows {
					t.Errorf("auto is said to cost %+v, and %s alone %+v", a.Cost, tt.want, alone.Cost)
				}
			}
		}
		if _, err := explaintest.Explain(context.Background(), m, explain.Question{IDs: long},
			lmkit.Auto{Budget: -1}); err == nil {
			t.Errorf("%s: a negative budget, and no error", name)
		}
		// No integral is as exact as this asks for.
		q := explain.Question{IDs: long, Tolerance: 1e-12, FirstToken: explain.ScoreFirst}
		a := ask(t, m, lmkit.Auto{Budget: 400}, q)
		if !strings.Contains(string(a.Method.Settings), `"chosen":"owen","why":"integrated`) {
			t.Errorf("%s: an integral that does not add up: %s", name, a.Method.Settings)
		}
	}
}
