package lm

import (
	"context"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
)

// What is measured of a model's first position does not depend on how long the texts are that are asked about next.
func TestSinkIsTheSameForAllLengths(t *testing.T) {
	want := 0.0
	for i, length := range []int{0, 3, 8, 9, 20, 1000} {
		m, err := New(backendtest.PureGo(t), shapes["gpt2"], nil, 5)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		got, cost, err := m.Sink(context.Background(), length)
		if err != nil || got <= 0 || cost.ForwardRows != 1 {
			t.Fatalf("%d tokens: %v, %+v, %v", length, got, cost, err)
		}
		if i == 0 {
			want = got
		}
		if got != want {
			t.Errorf("%d tokens: %v, on shorter texts %v", length, got, want)
		}
	}
}
