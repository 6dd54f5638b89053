package corpus

import (
	"slices"
	"testing"

	"lmkit.internal/lmkit/token"
)

func TestHide(t *testing.T) {
	stream := make(Memory, 5000)
	for i := range stream {
		stream[i] = token.ID(1 + i%50)
	}
	plain, err := Carried(stream, 10, 20)
	if err != nil {
		t.Fatal(err)
	}
	some, n := Hide(plain, 0, 0.2, 7), 0
	for i := range plain.Len() {
		a, err := plain.At(i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := some.At(i)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := some.At(i)
		if !slices.Equal(a.Targets, b.Targets) || !slices.Equal(b.Inputs, again.Inputs) || a.Fresh != b.Fresh {
			t.Fatalf("batch %d: more changed than the inputs, or not the same twice", i)
		}
		for k := range a.Inputs {
			if a.Inputs[k] != b.Inputs[k] {
				if b.Inputs[k] != 0 {
					t.Fatalf("batch %d: input %d became #%d", i, k, b.Inputs[k])
				}
				n++
			}
		}
	}
	if share := float64(n) / 5000; share < 0.17 || share > 0.23 {
		t.Errorf("%.3f of the inputs are hidden, want 0.2", share)
	}
}

func TestHolds(t *testing.T) {
	stream := make(Memory, 1<<16+3)
	stream[1<<16+2] = 9
	for id, want := range map[token.ID]bool{0: true, 9: true, 5: false} {
		if got, err := Holds(stream, id); err != nil || got != want {
			t.Errorf("Holds(#%d) = %v, %v", id, got, err)
		}
	}
}
