package lm_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Sixteen goroutines that ask one Transformer different questions at once get the bits that one after the other gets:
// predictions, activations, gradients, and what a decoder chooses.
func TestConcurrentQuestions(t *testing.T) {
	const askers, questions = 16, 3
	c := decodeModels[0]
	m := loud(t, backendtest.Engine(t), c.Config, c.gain)
	ctx := context.Background()
	query := func(asker, i int) lm.Query {
		rng := rand.New(rand.NewPCG(uint64(asker), uint64(i)))
		rows := [][]token.ID{someTokens(rng, 6, c.Vocab), someTokens(rng, 8, c.Vocab)}
		q := lm.Query{Rows: rows, Logits: lm.LastLogits, Taps: []lm.Tap{"block.1.attn.pattern"}}
		if i%questions == 0 {
			q.Of, q.Wrt = append(logitOf(3), logitOf(5)...), []lm.Tap{"embed"}
		}
		return q
	}
	ask := func(asker int) (bits []float32) {
		for i := range questions {
			a, err := m.Run(ctx, query(asker, i))
			if err != nil {
				t.Error(err)
				return nil
			}
			bits = append(bits, slices.Concat(join(a.Logits), a.At["block.1.attn.pattern"].Data, a.Grad["embed"].Data)...)
		}
		d, err := m.Decode(ctx, query(asker, 0).Rows[:1], 4, lm.Sampling{})
		if err != nil {
			t.Error(err)
			return nil
		}
		defer d.Close()
		for range 4 {
			bits = append(bits, float32(d.Choices()[0].LogProb))
			if err := d.Push(ctx, []token.ID{lm.Chosen}); err != nil {
				t.Error(err)
			}
		}
		return bits
	}
	var together [askers][]float32
	var wait sync.WaitGroup
	for k := range askers {
		wait.Go(func() { together[k] = ask(k) })
	}
	wait.Wait()
	for k := range askers {
		if alone := ask(k); !slices.Equal(together[k], alone) {
			t.Errorf("goroutine %d got other numbers than it gets alone", k)
		}
	}
}
