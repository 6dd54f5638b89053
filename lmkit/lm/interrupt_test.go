package lm_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// A query tells how far it has come, never backwards and up to its end; stopped after any of its batches, it runs no
// other one, and the model answers as before.
func TestInterruptedBetweenBatches(t *testing.T) {
	for _, c := range decodeModels {
		m, err := lm.New(backendtest.PureGo(t), c.Config, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		rapid.Check(t, func(t *rapid.T) {
			rows := make([][]token.ID, rapid.IntRange(1, 80).Draw(t, "rows"))
			for i := range rows {
				rows[i] = []token.ID{token.ID(i % 5), 2, 3}
			}
			q := lm.Query{Rows: rows, Logits: lm.LastLogits, Memory: 1} // the smallest batches
			total := len(rows)
			if rapid.Bool().Draw(t, "gradient") {
				q.Wrt = []lm.Tap{"embed"}
				q.Of = []lm.Objective{{Unit: lm.Logit, Terms: []lm.Term{{Pos: -1, ID: 1, Weight: 1}}}}
				total *= 2
			}
			stopAt := rapid.IntRange(0, total).Draw(t, "stop at")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var last progress.Event
			stopped, after := false, 0
			answer, err := m.Run(progress.With(ctx, func(e progress.Event) {
				if e.Done < last.Done || e.Total != int64(total) || e.Unit != progress.Rows {
					t.Fatalf("event %+v after %+v, of %d rows", e, last, total)
				}
				last = e
				if stopped {
					after++
				}
				if e.Done >= int64(stopAt) && e.Done < e.Total {
					stopped = true
					cancel()
				}
			}), q)
			switch {
			case stopped && (!errors.Is(err, context.Canceled) || after > 0):
				t.Fatalf("stopped at %d of %d rows: error %v, %d more batches", last.Done, total, err, after)
			case stopped:
			case err != nil:
				t.Fatal(err)
			case last.Done != int64(total) || answer.Cost.ForwardRows+answer.Cost.BackwardRows != total:
				t.Fatalf("the last event is %+v, the cost %+v", last, answer.Cost)
			}
			if _, err := m.Run(t.Context(), lm.Query{Rows: rows[:1], Logits: lm.LastLogits}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Opening a model tells how far it has come, up to its end; stopped at any moment, it reads no other tensor, and says
// so.
func TestInterruptedOpening(t *testing.T) {
	e := backendtest.PureGo(t)
	for _, name := range []string{"families/llama", "families/llama-shards", "families/llama.gguf", "reference/lstm"} {
		events := 0
		open := func(ctx context.Context, hears func()) error {
			var last progress.Event
			m, err := lm.Options{}.Open(progress.With(ctx, func(e progress.Event) {
				if e.Done < last.Done || e.Done > e.Total || e.What == "" {
					t.Errorf("%s: event %+v after %+v", name, e, last)
				}
				last = e
				hears()
			}), e, filepath.Join("testdata", name))
			if err == nil {
				if last.Total == 0 || last.Done != last.Total {
					t.Errorf("%s: the last event is %+v", name, last)
				}
				m.Close()
			}
			return err
		}
		if err := open(t.Context(), func() { events++ }); err != nil || events < 3 {
			t.Fatalf("%s: %d events, %v", name, events, err)
		}
		for stop := 1; stop < events; stop += 1 + events/8 {
			ctx, cancel := context.WithCancel(t.Context())
			heard := 0
			err := open(ctx, func() {
				if heard++; heard == stop {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) || heard > stop {
				t.Errorf("%s: stopped at event %d of %d: %d were heard, error %v", name, stop, events, heard, err)
			}
			cancel()
		}
	}
}
