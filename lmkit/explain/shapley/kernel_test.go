package shapley

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
)

// Pairs are distinct, small sizes come complete and first, the weights add up to those of all coalitions, and the
// sample of each size is its share, up to rounding.
func TestDraw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(4, 40).Draw(t, "features")
		n := rapid.IntRange(M+1, 600).Draw(t, "pairs")
		all := 0.0
		for s := 1; s < M; s++ {
			all += float64(M-1) / float64(s*(M-s))
		}
		if enumerable(M, 2*n+2) {
			return // enumerated
		}
		sum, seen := 0.0, map[string]bool{}
		sizes, sampled := map[int]int{}, map[int]bool{}
		pairs := draw(M, n, rapid.Uint64().Draw(t, "seed"))
		for _, p := range pairs {
			for _, k := range []string{p.in.Key(), p.in.Complement().Key()} {
				if seen[k] {
					t.Fatalf("a coalition was drawn twice")
				}
				seen[k] = true
			}
			s := 0
			for _, in := range p.in {
				if in {
					s++
				}
			}
			sizes[s]++
			sampled[s] = sampled[s] || p.sampled
			sum += p.weight
		}
		if len(pairs) != n || math.Abs(sum-all) > 1e-6*all {
			t.Fatalf("%d pairs of weight %v, want %d of %v", len(pairs), sum, n, all)
		}
		incomplete := false
		for s := 1; s <= M/2; s++ {
			want := newStratum(M, s).pairs
			if !sampled[s] && sizes[s] > 0 && (incomplete || float64(sizes[s]) != want) {
				t.Fatalf("size %d has %d pairs of %v, after sizes that are incomplete: %v", s, sizes[s], want, incomplete)
			}
			incomplete = incomplete || sampled[s] || sizes[s] == 0
		}
	})
}

// Binomials beyond float64 and thousands of features do no harm.
func TestDrawOfMany(t *testing.T) {
	pairs := draw(1200, 1500, 1)
	if len(pairs) != 1500 || !pairs[1499].sampled || pairs[1199].sampled {
		t.Errorf("%d pairs", len(pairs))
	}
}

type sums struct{ M int }

func (s sums) Features() int { return s.M }
func (s sums) Values(_ context.Context, of []explain.Coalition) ([]float64, error) {
	out := make([]float64, len(of))
	for k, c := range of {
		for i, in := range c {
			if in {
				out[k] += float64(i)
			}
		}
	}
	return out, nil
}

// Long inputs: every method finds what features add.
func TestManyFeatures(t *testing.T) {
	const M = 250
	ctx := context.Background()
	for name, play := range map[string]func() (Estimate, error){
		"kernel":      func() (Estimate, error) { return Kernel{}.Play(ctx, sums{M}, 1) },
		"permutation": func() (Estimate, error) { return Permutation{}.Play(ctx, sums{M}, 1) },
		"auto":        func() (Estimate, error) { e, _, err := Auto{}.Play(ctx, sums{M}, 1); return e, err },
	} {
		e, err := play()
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range e.Scores {
			if math.Abs(s-float64(i)) > 1e-6 || e.Spread[i] > 1e-6 {
				t.Errorf("%s: feature %d has %v", name, i, s)
				break
			}
		}
	}
}
