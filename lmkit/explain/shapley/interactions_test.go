package shapley_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain/shapley"
)

// A product of two features is their interaction; a product of three is shared: half of it to each of its pairs.
func TestInteractionsOfProducts(t *testing.T) {
	g := table{features: 5, value: make([]float64, 32)}
	for set := range g.value {
		if set&0b00011 == 0b00011 {
			g.value[set] += 2
		}
		if set&0b11100 == 0b11100 {
			g.value[set] += 6
		}
		if set&1 == 1 {
			g.value[set]++
		}
	}
	p, err := shapley.Interactions{}.Play(ctx, g, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]float64{{2, 2, 0, 0, 0}, {2, 1, 0, 0, 0}, {0, 0, 2, 3, 3}, {0, 0, 3, 2, 3}, {0, 0, 3, 3, 2}}
	for i := range want {
		for j, w := range want[i] {
			if !near(p.Values[i][j], w, 1e-9) {
				t.Errorf("%d, %d: %v, want %v", i, j, p.Values[i][j], w)
			}
		}
	}
}

// Where features interact at most in twos, one set of orders tells all pairs exactly; otherwise within standard errors.
func TestSampledInteractions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(5, 9).Draw(t, "features")
		g := random(M, 2, rapid.Uint64().Draw(t, "game"))
		compare(t, g, M*M+2, rapid.Uint64().Draw(t, "seed"), func(got, want, _ float64) bool { return near(got, want, 1e-8) })
	})
	far, n := 0.0, 0.0
	for game := range uint64(8) {
		compare(t, random(9+int(game%2), 4, game), 480, game, func(got, want, spread float64) bool {
			n++
			if math.Abs(got-want) > 3*spread+1e-9 {
				far++
			}
			return true
		})
	}
	if n < 300 || far/n > 0.1 {
		t.Errorf("%.3f of %v are off by more than three standard errors", far/n, n)
	}
}

func compare(t rapid.TB, g table, budget int, seed uint64, same func(got, want, spread float64) bool) {
	want, err := shapley.Interactions{Budget: 1 << g.features}.Play(ctx, g, seed)
	if err != nil {
		t.Fatal(err)
	}
	p, err := shapley.Interactions{Budget: budget}.Play(ctx, g, seed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.features {
		for j := range i {
			spread := math.Inf(1)
			if p.Spread != nil {
				spread = p.Spread[i][j]
			}
			if p.Values[i][j] != p.Values[j][i] || !same(p.Values[i][j], want.Values[i][j], spread) {
				t.Fatalf("%d features, pair %d, %d: %v and %v, want %v", g.features, i, j, p.Values[i][j], p.Values[j][i],
					want.Values[i][j])
			}
		}
	}
}
