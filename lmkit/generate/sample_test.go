package generate

import (
	"math"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/token"
)

// someLogits draws logits, often with equal ones.
func someLogits(t *rapid.T) []float32 {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.Float32Range(-20, 20), 1, 40),
		rapid.SliceOfN(rapid.Map(rapid.IntRange(-2, 2), func(i int) float32 { return float32(i) }), 1, 40),
	).Draw(t, "logits")
}

func someConfig(t *rapid.T) Config {
	return Config{
		Temperature: rapid.SampledFrom([]float64{0.05, 0.5, 1, 2, 100}).Draw(t, "temperature"),
		TopK:        rapid.IntRange(0, 50).Draw(t, "top-k"),
		TopP:        rapid.SampledFrom([]float64{0, 1e-9, 0.1, 0.5, 0.9, 0.999, 1}).Draw(t, "top-p"),
	}
}

func maxOf(logits []float32) float64 { return float64(slices.Max(logits)) }

// probabilities is softmax(logits / temperature), by the definition.
func probabilities(logits []float32, temperature float64) []float64 {
	p, sum := make([]float64, len(logits)), 0.0
	for i, x := range logits {
		p[i] = math.Exp((float64(x) - maxOf(logits)) / temperature)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// The filters are what their definitions say: sort everything, cut, renormalise, cut.
func TestChoicesByDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logits, c := someLogits(t), someConfig(t)
		got := c.choices(logits, maxOf(logits))

		order := make([]int, len(logits))
		for i := range order {
			order[i] = i
		}
		sort.SliceStable(order, func(a, b int) bool { return logits[order[a]] > logits[order[b]] })
		if c.TopK > 0 {
			order = order[:min(c.TopK, len(order))]
		}
		p, kept := probabilities(logits, c.Temperature), 0.0
		for _, i := range order {
			kept += p[i]
		}
		n := len(order)
		const rounding = 1e-12
		if c.TopP > 0 && c.TopP < 1 {
			n = len(got)
			share := 0.0
			for _, i := range order[:n] {
				share += p[i] / kept
			}
			if share < c.TopP-rounding {
				t.Fatalf("%d tokens have %v of the probability, less than %v", n, share, c.TopP)
			}
			if n > 1 && share-p[order[n-1]]/kept >= c.TopP+rounding {
				t.Fatalf("%d tokens are not the fewest", n)
			}
		}
		var ids, want []int
		sum, weights := 0.0, 0.0
		for _, i := range order[:n] {
			want = append(want, i)
			sum += p[i]
		}
		for _, x := range got {
			ids = append(ids, int(x.id))
			weights += x.weight
		}
		for _, x := range got {
			if math.Abs(x.weight/weights-p[x.id]/sum) > 1e-9 {
				t.Fatalf("token %d has %v of the probability, want %v", x.id, x.weight/weights, p[x.id]/sum)
			}
		}
		slices.Sort(ids)
		slices.Sort(want)
		if !slices.Equal(ids, want) || n == 0 {
			t.Fatalf("tokens %v, want %v", ids, want)
		}
	})
}

func TestChoicesExamples(t *testing.T) {
	log := func(ps ...float64) (xs []float32) {
		for _, p := range ps {
			xs = append(xs, float32(math.Log(p)))
		}
		return xs
	}
	for _, x := range []struct {
		logits []float32
		c      Config
		want   []token.ID
	}{
		{log(.1, .4, .3, .2), Config{Temperature: 1}, []token.ID{0, 1, 2, 3}},
		{log(.1, .4, .3, .2), Config{Temperature: 1, TopK: 2}, []token.ID{1, 2}},
		{log(.1, .4, .3, .2), Config{Temperature: 1, TopP: .39}, []token.ID{1}},
		{log(.1, .4, .3, .2), Config{Temperature: 1, TopP: .41}, []token.ID{1, 2}},
		{log(.1, .4, .3, .2), Config{Temperature: 1, TopP: .95}, []token.ID{1, 2, 3, 0}},
		{log(.1, .4, .3, .2), Config{Temperature: 1, TopK: 2, TopP: .56}, []token.ID{1}}, // .4 of .7
		{log(.1, .4, .3, .2), Config{Temperature: 1, TopP: 1e-300}, []token.ID{1}},
		{[]float32{5, 5, 5, 5}, Config{Temperature: 1, TopP: .5}, []token.ID{0, 1}},
		{[]float32{5, 5, 5, 5}, Config{Temperature: 3, TopK: 3}, []token.ID{0, 1, 2}},
		{log(.1, .4, .3, .2), Config{Temperature: 1e-3, TopP: .99}, []token.ID{1}}, // after the temperature
		{[]float32{7}, Config{Temperature: 1, TopK: 9, TopP: .5}, []token.ID{0}},
	} {
		var got []token.ID
		for _, y := range x.c.choices(x.logits, maxOf(x.logits)) {
			got = append(got, y.id)
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%+v: %v, want %v", x.c, got, x.want)
		}
	}
}

// Every u of an even grid is drawn once: each token comes as often as its probability says, within one.
func TestDrawIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logits, c := someLogits(t), someConfig(t)
		choices := c.choices(logits, maxOf(logits))
		total := 0.0
		for _, x := range choices {
			total += x.weight
		}
		const n = 2000
		count := map[token.ID]int{}
		for i := range n {
			count[draw(choices, (float64(i)+0.5)/n)]++
		}
		seen := 0
		for _, x := range choices {
			seen += count[x.id]
			if math.Abs(float64(count[x.id])-n*x.weight/total) > 1.001 {
				t.Fatalf("token %d was drawn %d times of %d, but has %v of the probability", x.id, count[x.id], n, x.weight/total)
			}
		}
		if seen != n {
			t.Fatalf("%d of %d draws were of tokens that are no choice", n-seen, n)
		}
	})
}

func TestDrawAtTheEnds(t *testing.T) {
	cs := []choice{{id: 4, weight: 0}, {id: 5, weight: 1}, {id: 6, weight: 3}, {id: 7, weight: 0}}
	for u, want := range map[float64]token.ID{0: 5, 0.2499: 5, 0.25: 6, math.Nextafter(1, 0): 6} {
		if got := draw(cs, u); got != want {
			t.Errorf("at %v: token %d, want %d", u, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logits, c := someLogits(t), someConfig(t)
		seed, step := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 1000).Draw(t, "step")
		id, logProb, err := c.choose(logits, seed, step)
		if err != nil {
			t.Fatal(err)
		}
		if want := math.Log(probabilities(logits, 1)[id]); math.Abs(logProb-want) > 1e-9 {
			t.Fatalf("log-probability %v, want %v, without temperature and filters", logProb, want)
		}
		if again, _, _ := c.choose(logits, seed, step); again != id {
			t.Fatalf("the same draw gave %d and %d", id, again)
		}
		first := token.ID(slices.Index(logits, slices.Max(logits)))
		for _, greedy := range []Config{{TopK: c.TopK, TopP: c.TopP}, {Temperature: c.Temperature, TopK: 1}} {
			if got, _, _ := greedy.choose(logits, seed, step); got != first {
				t.Fatalf("%+v chose %d, the most likely is %d", greedy, got, first)
			}
		}
	})
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		if _, _, err := (Config{}).choose([]float32{1, bad}, 0, 0); err == nil {
			t.Errorf("chose among %v", bad)
		}
	}
}

// Seeds that are neighbours, and steps, draw independently of each other: all pairs of halves come about equally often.
func TestSeedsAndStepsDiffer(t *testing.T) {
	c := Config{Temperature: 1}
	logits := []float32{0, 0}
	count := map[[3]token.ID]int{}
	const n = 4000
	for seed := range uint64(n) {
		a, _, _ := c.choose(logits, seed, 0)
		b, _, _ := c.choose(logits, seed, 1)
		d, _, _ := c.choose(logits, seed+1, 0)
		count[[3]token.ID{a, b, d}]++
	}
	if len(count) != 8 {
		t.Fatalf("only %d of 8 combinations came", len(count))
	}
	for k, v := range count {
		if v < n/8-110 || v > n/8+110 { // five standard deviations
			t.Errorf("combination %v came %d times of %d", k, v, n)
		}
	}
}
