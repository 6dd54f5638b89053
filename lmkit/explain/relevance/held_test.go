package relevance_test

import (
	"testing"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
)

// A first token that is held has the relevance that it has as a feature, and the base has it in its place.
func TestTheHeldTokensShare(t *testing.T) {
	for name, m := range explaintest.Models(t) {
		for _, method := range family[name] {
			q := explain.Question{IDs: ids(7), Tolerance: 1e-3, FirstToken: explain.ScoreFirst}
			all := run(t, m, method, q)
			q.FirstToken = explain.HoldFirst
			a := run(t, m, method, q)
			held := a.Evidence.Held
			if a.BaseOf == "" {
				t.Errorf("%s: nothing says what the base is", method.Name())
			}
			if held == nil || held.Share == nil || !near(*held.Share, all.Scores[0], 1e-5) {
				t.Fatalf("%s: %+v, should have the share %v", method.Name(), held, all.Scores[0])
			}
			if !near(a.Base, all.Base+*held.Share, 1e-5) {
				t.Errorf("%s: the base is %v, should be %v and %v", method.Name(), a.Base, all.Base, *held.Share)
			}
		}
	}
}
