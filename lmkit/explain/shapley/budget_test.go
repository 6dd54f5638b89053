package shapley_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/shapley"
)

// The budget that a message names is the smallest that works.
func TestBudgetThatAMessageNames(t *testing.T) {
	named := regexp.MustCompile(`it takes at least (\d+); raise the budget`)
	plays := map[string]func(g explain.Game, budget int) error{
		"kernel": func(g explain.Game, b int) error { _, err := shapley.Kernel{Budget: b}.Play(ctx, g, 1); return err },
		"permutation": func(g explain.Game, b int) error {
			_, err := shapley.Permutation{Budget: b}.Play(ctx, g, 1)
			return err
		},
		"owen": func(g explain.Game, b int) error { _, err := shapley.Owen{Budget: b}.Play(ctx, g); return err },
		"auto": func(g explain.Game, b int) error { _, _, err := shapley.Auto{Budget: b}.Play(ctx, g, 1); return err },
		"interactions": func(g explain.Game, b int) error {
			_, err := shapley.Interactions{Budget: b}.Play(ctx, g, 1)
			return err
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		M := rapid.IntRange(1, 15).Draw(t, "features")
		for name, play := range plays {
			g := random(M, 2, 1)
			err := play(g, 1)
			if err == nil {
				t.Fatalf("%s of %d features takes a budget of 1", name, M)
			}
			m := named.FindStringSubmatch(err.Error())
			if m == nil {
				t.Fatalf("%s: %v", name, err)
			}
			least, _ := strconv.Atoi(m[1])
			for b := 1; b < least; b++ {
				if err := play(g, b); err == nil ||
					!regexp.MustCompile(fmt.Sprintf("at least %d;", least)).MatchString(err.Error()) {
					t.Fatalf("%s of %d features: at %d of %d: %v", name, M, b, least, err)
				}
			}
			if err := play(g, least); err != nil {
				t.Fatalf("%s of %d features: at least %d is said, and %v", name, M, least, err)
			}
		}
	})
}
