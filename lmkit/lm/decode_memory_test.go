package lm

import (
	"context"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/net"
	"lmkit.internal/lmkit/token"
)

// What a decoder held before a token, and at its end, is freed at once, not when the garbage collector comes by.
func TestDecoderFreesItsMemory(t *testing.T) {
	for _, c := range []Config{
		{Arch: Transformer, Vocab: 5, Width: 4, Layers: 1, Heads: 1, Context: 70},
		{Arch: LSTM, Vocab: 5, Width: 4, Hidden: 4, Layers: 1},
	} {
		if c.Arch == Transformer && !backendtest.Engine(t).Loops() {
			continue // it holds none
		}
		m, err := New(backendtest.Engine(t), c, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		d, err := m.Decode(context.Background(), [][]token.ID{{1, 2}, {3, 4}}, 1, Sampling{})
		if err != nil {
			t.Fatal(err)
		}
		alive := func() []*tensors.Tensor {
			all := []*tensors.Tensor{d.last[net.Chosen], d.last[net.Logits]}
			for _, x := range d.memory {
				all = append(all, x[net.Keys], x[net.Vals])
			}
			return all
		}
		for range 68 { // the cache grows on the way
			before := alive()
			if err := d.Push(context.Background(), []token.ID{4, Chosen}); err != nil {
				t.Fatal(err)
			}
			for _, x := range before {
				if x.Ok() {
					t.Fatalf("%s: a token later, memory is still held", c.Arch)
				}
			}
		}
		last := alive()
		if len(last) < 4 || !last[3].Ok() {
			t.Fatalf("%s: there is no memory", c.Arch)
		}
		d.Close()
		for _, x := range last {
			if x.Ok() {
				t.Errorf("%s: closed, but memory is still held", c.Arch)
			}
		}
		if n := m.programs.Stats().Running; n != 0 {
			t.Errorf("%s: closed, but %d programs are still running", c.Arch, n)
		}
	}
}
