package lmkit_test

import (
	"context"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/explaintest"
)

// All methods of one question share its preparation and the measurement of its evidence, and each says what it would
// have cost alone: docs/performance.md has the numbers that this test logs.
func TestTogether(t *testing.T) {
	ctx := context.Background()
	for name, m := range explaintest.Models(t) {
		p, err := explain.Prepare(ctx, m, explain.Question{IDs: explaintest.IDs()})
		if err != nil {
			t.Fatal(err)
		}
		prepared := p.Cost().ForwardRows
		var found []*explain.Scored
		for _, info := range lmkit.Methods() {
			method, err := lmkit.Method(info.Name, lmkit.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			if explain.Suits(method, m, p.Question) != nil {
				continue
			}
			f, err := p.Score(ctx, method)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, f)
		}
		own := p.Cost().ForwardRows - prepared
		as, err := p.Attributions(ctx, found...)
		if err != nil {
			t.Fatal(err)
		}
		together, alone, named := p.Cost().ForwardRows, 0, 0
		for _, a := range as {
			alone += a.Cost.ForwardRows
			if len(a.Top()) > 0 { // else no feature speaks for the target, and there is none to delete
				named++
			}
		}
		if named < len(as)-2 {
			t.Errorf("%s: only %d of %d methods name features", name, named, len(as))
		}
		const evidence = 2 + 6 // rows of one method's: with and without its top features, and six random sets
		if want := own + len(as)*prepared + named*evidence; alone != want {
			t.Errorf("%s: one by one the methods take %d rows, want %d", name, alone, want)
		}
		if most := own + prepared + 6 + 2*len(as); together > most {
			t.Errorf("%s: together the methods take %d rows, want %d at most", name, together, most)
		}
		t.Logf("%s: %d methods take %d rows forward together, %d one by one", name, len(as), together, alone)
	}
}
