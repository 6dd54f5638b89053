package lm_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/lmtest"
	"lmkit.internal/lmkit/token"
)

// Activations and gradients at some places are, to the bit, those of the whole recording there, in every family and
// under every switch: whatever the places, in any order, once or several times. Less is copied from the engine.
func TestPlaces(t *testing.T) {
	check := func(t *testing.T, m *lm.Model, rng *rand.Rand) {
		q := lm.Query{Taps: tapNames(m), Of: logitOf(5), Wrt: []lm.Tap{"embed"}}
		for _, info := range m.Taps() {
			if rng.IntN(4) == 0 {
				q.Wrt = append(q.Wrt, info.Name)
			}
		}
		for _, n := range []int{7, 3, 8} {
			q.Rows = append(q.Rows, someTokens(rng, n, lmtest.Vocab))
		}
		whole := ask(t, m, q)
		for _, row := range q.Rows {
			places := make([]int, 1+rng.IntN(2))
			for k := range places {
				places[k] = rng.IntN(2*len(row)) - len(row)
			}
			q.Places = append(q.Places, places)
		}
		some := ask(t, m, q)
		for _, info := range m.Taps() {
			sameAtPlaces(t, q, info, some.At[info.Name], whole.At[info.Name])
			if slices.Contains(q.Wrt, info.Name) {
				sameAtPlaces(t, q, info, some.Grad[info.Name], whole.Grad[info.Name])
			}
		}
		if !slices.Equal(some.Values, whole.Values) {
			t.Errorf("the objective is %v, want %v", some.Values, whole.Values)
		}
		if some.Cost.Copied*2 > whole.Cost.Copied || some.Cost.Copied == 0 {
			t.Errorf("%d bytes were copied of at most two tokens of eight, and %d of all", some.Cost.Copied, whole.Cost.Copied)
		}
	}
	lmtest.EachModel(t, backendtest.PureGo(t), func(t *testing.T, m *lm.Model) {
		check(t, m, rand.New(rand.NewPCG(4, 4)))
	})
	lmtest.EachRandom(t, backendtest.PureGo(t), 16, check)
	t.Run("compiled", func(t *testing.T) {
		check(t, openReference(t, backendtest.Engine(t), "gpt2").Model, rand.New(rand.NewPCG(4, 5)))
	})
}

// sameAtPlaces compares what was recorded at the places of a query [B, P, ...] with the whole [B, T, ...].
func sameAtPlaces(t *testing.T, q lm.Query, info lm.TapInfo, some, whole lm.Array) {
	t.Helper()
	axis := strings.IndexByte(info.Axes, 'T')
	for i, row := range q.Rows {
		if axis < 0 {
			if !slices.Equal(some.Index(i).Data, whole.Index(i).Data) {
				t.Errorf("%s, which has no tokens, is another in row %d", info.Name, i)
			}
			continue
		}
		heads := 1
		if axis == 2 {
			heads = info.Heads()
		}
		for h := range heads {
			for k, place := range q.Places[i] {
				at := (place + len(row)) % len(row)
				got, want := some.Index(i), whole.Index(i)
				if axis == 2 {
					got, want = got.Index(h), want.Index(h)
				}
				if !slices.Equal(got.Index(k).Data, want.Index(at).Data) {
					t.Errorf("%s of row %d at %d: %v, want %v", info.Name, i, place, got.Index(k).Data, want.Index(at).Data)
				}
			}
		}
	}
}

// Places that are none of a row's are an error that names them.
func TestPlacesMistaken(t *testing.T) {
	m := tiny(t, lm.Transformer)
	rows := [][]token.ID{{1, 2, 3}, {4, 5}}
	for want, places := range map[string][][]int{
		"places were given for 1 rows of 2": {{0}},
		"row 1 has no place":                {{0}, {}},
		"at position 2, but the row has 2":  {{0}, {2}},
		"at position -4, but the row has 3": {{-4}, {0}},
	} {
		_, err := m.Run(context.Background(), lm.Query{Rows: rows, Taps: []lm.Tap{"embed"}, Places: places})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", places, err, want)
		}
	}
}
