package lmkit_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// A request that is stopped at any moment runs no batch after it, and gives what has ended: the attributions of the
// methods before, as they would have been without the stop but for the evidence that takes the model, which a warning
// says. Whatever is told names the method, and no work is told to be farther than its end.
func TestInterruptedRequest(t *testing.T) {
	for _, c := range []lm.Config{
		{Arch: lm.Transformer, Vocab: 9, Width: 8, Layers: 2, Heads: 2, Context: 16},
		{Arch: lm.LSTM, Vocab: 9, Width: 6, Hidden: 6, Layers: 1},
	} {
		m, err := lm.New(backendtest.PureGo(t), c, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		names := []string{"occlusion", "integrated-gradients", "kernel-shap", "sequential-ig", "lime", "auto", "owen",
			"smoothgrad", "expected-gradients", "leave-one-out"}
		ask := func(ctx context.Context, hears progress.Func) (*lmkit.Answer, error) {
			r := lmkit.Request{IDs: []token.ID{1, 2, 3, 4, 5, 6}, Methods: names, FirstToken: explain.ScoreFirst,
				Settings: lmkit.Settings{Samples: 20, Budget: 20}}
			return r.Answer(progress.With(ctx, hears), m)
		}
		events := 0
		whole, err := ask(t.Context(), func(e progress.Event) {
			events++
			if e.Unit != progress.Rows || e.Done > e.Total || e.What == "" {
				t.Errorf("event %+v", e)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			stopAt := rapid.IntRange(1, events-1).Draw(t, "stop at event")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			heard := 0
			part, err := ask(ctx, func(e progress.Event) {
				if heard++; heard == stopAt {
					cancel()
				}
				if heard > stopAt {
					t.Fatalf("event %+v after the stop", e)
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped at event %d of %d: %v", stopAt, events, err)
			}
			if part == nil { // while the question was prepared
				return
			}
			if len(part.Attributions) > len(names) {
				t.Fatalf("%d attributions of %d methods", len(part.Attributions), len(names))
			}
			for i, a := range part.Attributions {
				b := whole.Attributions[i]
				if a.Method.Name != b.Method.Name || !slices.Equal(a.Scores, b.Scores) {
					t.Fatalf("%s: got %v, want %v", a.Method.Name, a.Scores, b.Scores)
				}
				said := slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.HasPrefix(w, "interrupted") })
				if said != (a.Evidence.Necessity == nil) {
					t.Fatalf("%s: evidence %+v, warnings %q", a.Method.Name, a.Evidence, a.Warnings)
				}
				var text bytes.Buffer
				if err := explain.Write(&text, a); err != nil {
					t.Fatal(err)
				}
				if _, err := explain.Read(&text); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
