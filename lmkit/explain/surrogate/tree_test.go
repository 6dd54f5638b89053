package surrogate_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
	"lmkit.internal/lmkit/explain/shapley"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/token"
)

// "not good": what good is worth depends on not. The tree finds it, and its scores are its Shapley values.
func TestLocalTreeFindsAnInteraction(t *testing.T) {
	value := func(c explain.Coalition) float64 { // not, good, film, the
		switch {
		case c[0] && c[1]:
			return -2
		case c[1]:
			return 3
		}
		return 0
	}
	fit, err := surrogate.LocalTree{}.Play(ctx, game{features: 4, value: value}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !fit.Enumerated || !near(fit.R2, 1, 1e-9) || !near(fit.Prediction, -2, 1e-9) {
		t.Errorf("got %+v", fit)
	}
	for i, want := range []float64{-2.5, 0.5, 0, 0} {
		if !near(fit.Scores[i], want, 1e-9) {
			t.Errorf("feature %d has %v, want %v", i, fit.Scores[i], want)
		}
	}
	rules := fit.Tree([]string{`"not"`, `"good"`, `"film"`, `"the"`}, "contrast").Rules()
	for _, want := range []string{`if "not":` + "\n" + `  if "good": contrast -2  (`, "otherwise:\n" +
		`  if "good": contrast 3  (`, "  otherwise: contrast 0  ("} {
		if !strings.Contains(rules, want) {
			t.Errorf("the rules\n%sdo not hold %q", rules, want)
		}
	}
}

// The scores of a tree are the Shapley values of the game that it plays: those of a deep tree, of the game itself.
func TestLocalTreeScoresAreShapleyValues(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 1))
		table := map[string]float64{}
		g := game{features: 6, value: func(c explain.Coalition) float64 {
			key := ""
			for _, in := range c {
				key += map[bool]string{true: "1", false: "0"}[in]
			}
			if _, ok := table[key]; !ok {
				table[key] = rng.NormFloat64()
			}
			return table[key]
		}}
		fit, err := surrogate.LocalTree{Depth: 20}.Play(ctx, g, 1)
		if err != nil {
			t.Fatal(err)
		}
		want, err := shapley.Exact{}.Play(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want.Scores {
			if !near(fit.Scores[i], want.Scores[i], 1e-9) {
				t.Errorf("seed %d: feature %d has %v, want %v", seed, i, fit.Scores[i], want.Scores[i])
			}
		}
	}
}

// Where versions are sampled, R2 is measured on those held out: of noise, nothing is explained.
func TestLocalTreeOnNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fit, err := surrogate.LocalTree{Samples: 500}.Play(ctx,
		game{features: 30, value: func(explain.Coalition) float64 { return rng.NormFloat64() }}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if fit.R2 > 0.05 || fit.Enumerated {
		t.Errorf("R2 %v on noise", fit.R2)
	}
	for _, bad := range []surrogate.LocalTree{{Samples: 3}, {Depth: -1}, {Depth: 21}} {
		if _, err := bad.Play(ctx, additive(0, []float64{1}), 1); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

// reviews returns texts whose label is the word good, unless there is a not.
func reviews(n int, seed uint64) (inputs [][]string, values [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	words := []string{"the", "film", "was", "a", "long", "story", "good", "not", "plot", "end"}
	for range n {
		var text []string
		good, not := false, false
		for range 4 + rng.IntN(6) {
			w := words[rng.IntN(len(words))]
			text = append(text, w)
			good, not = good || w == "good", not || w == "not"
		}
		p := 0.1
		if good && !not {
			p = 0.9
		}
		inputs, values = append(inputs, text), append(values, []float64{p, 1 - p})
	}
	return inputs, values
}

func TestGlobalTreeFindsTheRule(t *testing.T) {
	inputs, values := reviews(400, 1)
	g, err := surrogate.GlobalTree{Depth: 3}.Fit(inputs, values, []string{"positive", "negative"})
	if err != nil {
		t.Fatal(err)
	}
	if g.Agreement < 0.999 || g.R2 < 0.999 || g.Commonest > 0.9 || g.HeldOut != 100 || g.Fitted != 300 ||
		g.Warnings != nil {
		t.Errorf("got %+v", g)
	}
	rules := g.Tree.Rules()
	if !strings.Contains(rules, `contains "good"`) || !strings.Contains(rules, `contains "not"`) ||
		!strings.Contains(rules, `"positive" with 0.90`) {
		t.Errorf("the rules are\n%s", rules)
	}
	again, _ := surrogate.GlobalTree{Depth: 3}.Fit(inputs, values, []string{"positive", "negative"})
	if !reflect.DeepEqual(g, again) {
		t.Error("the same inputs give another tree")
	}
}

// On labels at random a tree is no better than a constant, and says so.
func TestGlobalTreeOnNoise(t *testing.T) {
	inputs, values := reviews(300, 2)
	rng := rand.New(rand.NewPCG(3, 1))
	for i := range values {
		values[i] = []float64{-1}
		if rng.Float64() < 0.2 {
			values[i] = []float64{1}
		}
	}
	g, err := surrogate.GlobalTree{}.Fit(inputs, values, []string{"score"})
	if err != nil {
		t.Fatal(err)
	}
	if g.R2 > 0.1 || len(g.Warnings) != 1 || !strings.Contains(g.Warnings[0], "has found no rule") {
		t.Errorf("got R2 %v, warnings %q", g.R2, g.Warnings)
	}
}

func TestGlobalTreeErrors(t *testing.T) {
	in, v := [][]string{{"a"}, {"b"}}, [][]float64{{1}, {2}}
	for _, tt := range []struct {
		tree   surrogate.GlobalTree
		inputs [][]string
		values [][]float64
		want   string
	}{
		{surrogate.GlobalTree{Depth: -1}, in, v, "cannot be"},
		{surrogate.GlobalTree{HeldOut: 1}, in, v, "cannot be"},
		{surrogate.GlobalTree{}, in[:1], v[:1], "at least two inputs"},
		{surrogate.GlobalTree{}, in, v[:1], "values for each"},
		{surrogate.GlobalTree{}, in, [][]float64{{1}, {2, 3}}, "input 1 has 2 values"},
		{surrogate.GlobalTree{}, in, [][]float64{{1}, {math.NaN()}}, "input 1 has the value NaN"},
	} {
		if _, err := tt.tree.Fit(tt.inputs, tt.values, []string{"y"}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got error %v, want one with %q", tt.tree, err, tt.want)
		}
	}
}

func TestGlobalTreeOnModels(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		rng := rand.New(rand.NewPCG(1, 1))
		var inputs []token.Encoding
		for range 60 {
			row := []token.ID{7} // held: in every input, and nothing to ask for
			for range 2 + rng.IntN(5) {
				row = append(row, token.ID(rng.IntN(m.Config().Vocab)))
			}
			inputs = append(inputs, token.Encoding{IDs: row, Held: append([]bool{true}, make([]bool, len(row)-1)...)})
		}
		g, err := surrogate.GlobalTree{Seed: 1}.Explain(ctx, m, inputs, []token.ID{2, 5, 8})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range g.Tree.Root.Value {
			sum += v
		}
		if !near(sum, 1, 1e-9) || g.Fitted != 45 || g.HeldOut != 15 || g.Tree.Root.Rows != 45 {
			t.Errorf("%s: probabilities add up to %v, %+v", name, sum, g)
		}
		if _, err := (surrogate.GlobalTree{}).Explain(ctx, m, inputs, []token.ID{2}); err == nil {
			t.Error("one choice is none, but there is no error")
		}
		if _, err := (surrogate.GlobalTree{}).Explain(ctx, m, inputs, []token.ID{2, 99}); err == nil {
			t.Error("no error for a token outside the vocabulary")
		}
	}
}

// One feature is enough for every method.
func TestOneFeature(t *testing.T) {
	g := additive(1, []float64{3})
	local, err := surrogate.LIME{}.Play(ctx, g, 1)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := surrogate.LocalTree{}.Play(ctx, g, 1)
	if err != nil {
		t.Fatal(err)
	}
	owen, err := shapley.Owen{}.Play(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	// The ridge holds LIME back: the input itself is but one of its samples.
	if local.Scores[0] < 0.5 || local.Scores[0] > 3 || !near(tree.Scores[0], 3, 1e-9) || owen.Scores[0] != 3 {
		t.Errorf("got %v, %v and %v, want about 3", local.Scores, tree.Scores, owen.Scores)
	}
}
