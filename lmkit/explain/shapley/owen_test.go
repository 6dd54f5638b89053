package shapley_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain/shapley"
)

// randomTree groups the features from..to-1 at random.
func randomTree(t *rapid.T, from, to int) *shapley.Tree {
	if to-from == 1 {
		return &shapley.Tree{Feature: from}
	}
	cut := rapid.IntRange(from+1, to-1).Draw(t, "cut")
	return &shapley.Tree{Left: randomTree(t, from, cut), Right: randomTree(t, cut, to)}
}

// What the features of a branch get together is what the branch gets where it is a feature itself.
func TestQuotientGame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(3, 8).Draw(t, "features")
		first := rapid.IntRange(0, M-2).Draw(t, "first")
		inside := rapid.IntRange(2, M-first).Draw(t, "inside") // features first.. become one
		g := random(M, 4, rapid.Uint64().Draw(t, "seed"))
		// Two trees that differ in the branch alone: grouped, and collapsed.
		n := M - inside + 1
		quotient := table{features: n, value: make([]float64, 1<<n)}
		expand := func(set int) int {
			out := set & (1<<first - 1)
			if set>>first&1 == 1 {
				out |= (1<<inside - 1) << first
			}
			return out | set>>(first+1)<<(first+inside)
		}
		for set := range quotient.value {
			quotient.value[set] = g.value[expand(set)]
		}
		small := randomTree(t, 0, n)
		branch := randomTree(t, first, first+inside)
		var grow func(*shapley.Tree) *shapley.Tree
		grow = func(s *shapley.Tree) *shapley.Tree {
			switch {
			case s.Left != nil:
				return &shapley.Tree{Left: grow(s.Left), Right: grow(s.Right)}
			case s.Feature == first:
				return branch
			case s.Feature > first:
				return &shapley.Tree{Feature: s.Feature + inside - 1}
			}
			return s
		}
		a, err := shapley.Owen{Budget: 1 << n, Tree: small}.Play(ctx, quotient)
		if err != nil {
			t.Fatal(err)
		}
		b, err := shapley.Owen{Budget: 1 << M, Tree: grow(small)}.Play(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		for f := range n {
			got := b.Scores[min(f, M-1)]
			switch {
			case f == first:
				got = sum(b.Scores[first : first+inside])
			case f > first:
				got = b.Scores[f+inside-1]
			}
			if !near(got, a.Scores[f], 1e-9) {
				t.Fatalf("branch %d gets %v, its features %v", f, a.Scores[f], got)
			}
		}
	})
}

// Where the budget ends, credit is shared within branches, and what is known stays.
func TestOwenWithLittleBudget(t *testing.T) {
	g := random(8, 4, 3)
	full, err := shapley.Owen{Budget: 256}.Play(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	for budget := 2; budget <= 256; budget += 3 {
		e, err := shapley.Owen{Budget: budget}.Play(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		if e.Asked > budget || !near(sum(e.Scores), e.Full-e.Empty, 1e-9) || (e.Warnings == nil) != (e.Asked == full.Asked) {
			t.Errorf("budget %d: asked for %d, scores add up to %v of %v, warnings %q", budget, e.Asked, sum(e.Scores),
				e.Full-e.Empty, e.Warnings)
		}
		if budget >= 4 && !near(sum(e.Scores[:4]), sum(full.Scores[:4]), 1e-9) {
			t.Errorf("budget %d: the left half has %v, want %v", budget, sum(e.Scores[:4]), sum(full.Scores[:4]))
		}
	}
}

func TestTokenTree(t *testing.T) {
	for _, tt := range []struct {
		pieces []string
		want   string
	}{
		{[]string{"a"}, "0"},
		{[]string{"", "", "", ""}, "[[0,1],[2,3]]"},
		// pieces of words, and marks that go with the word before
		{[]string{"The", " key", "s", ",", " old", " ones"}, "[[0,[[1,2],3]],[4,5]]"},
		{[]string{"He", " said", " (", "so", ")", "."}, "[[0,1],[[2,3],[4,5]]]"},
		// sentences before commas before words
		{[]string{"Yes", ",", " he", " did", ".", " She", " left", "."}, "[[[0,1],[2,[3,4]]],[5,[6,7]]]"},
		// words only, as a word tokenizer gives them
		{[]string{"good", "food", ",", "bad", "wine", ".", "Fine", "view"}, "[[[0,[1,2]],[3,[4,5]]],[6,7]]"},
		// a paragraph is stronger than a sentence; a number is not a sentence's end
		{[]string{"A", ".", " B", ".\n", "C", " 3.", "14"}, "[[[0,1],[2,3]],[4,[5,6]]]"},
	} {
		tree := shapley.TokenTree(tt.pieces)
		got, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%q: got %s, want %s", tt.pieces, got, tt.want)
		}
		if err := tree.Validate(len(tt.pieces)); err != nil {
			t.Error(err)
		}
	}
}

// Any pieces give a valid tree.
func TestTokenTreeOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("ab .,\n(;\"\u00a0—")), 0, 4, -1), 1, 40).Draw(t,
			"pieces")
		if err := shapley.TokenTree(pieces).Validate(len(pieces)); err != nil {
			t.Fatal(err)
		}
	})
}
