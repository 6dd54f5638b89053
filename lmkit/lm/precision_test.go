package lm

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
)

// A model in bfloat16 gives other numbers than in float32, near to these, as a chain of programs and as one; and
// its view in float32 gives those to the bit.
func TestPrecision(t *testing.T) {
	e := backendtest.Engine(t)
	if !e.Loops() {
		t.Skip("this engine computes in float32 alone")
	}
	c := heldShapes["llama"]
	c.Width, c.HeadWidth, c.Inner = 32, 4, 64
	c = c.WithDefaults()
	rng := rand.New(rand.NewPCG(7, 1))
	from := inMemory{}
	for _, p := range c.Params() { // products keep the size of what goes in
		a := Array{Dims: p.Dims, Data: make([]float32, p.Size())}
		for i := range a.Data {
			a.Data[i] = float32(p.Init.Value + rng.NormFloat64()/math.Sqrt(float64(p.Dims[len(p.Dims)-1])))
		}
		from[p.Name] = a
	}
	plain, err := assemble(t.Context(), e, c, nil, from, Options{Precision: Float32})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	narrow, err := assemble(t.Context(), e, c, nil, from, Options{Precision: BFloat16})
	if err != nil {
		t.Fatal(err)
	}
	defer narrow.Close()
	if plain.Precision() != Float32 || narrow.Precision() != BFloat16 || narrow.InFloat32().Precision() != Float32 {
		t.Errorf("%s, %s, %s", plain.Precision(), narrow.Precision(), narrow.InFloat32().Precision())
	}
	q := chainQueries(plain, rng)["edits"] // values and gradients
	for _, way := range []func(*testing.T){chainAlways, chainNever} {
		way(t)
		want := numbersOf(ask(t, plain, q))
		if off := distance(numbersOf(ask(t, narrow.InFloat32(), q)), want); off != 0 {
			t.Errorf("in float32 it is off by %.2g", off)
		}
		// Each factor is off by 2^-9 of itself at most. What that comes to in three layers adds up, or cancels.
		if off := distance(numbersOf(ask(t, narrow, q)), want); off < 1e-5 || off > 0.05 {
			t.Errorf("in bfloat16 the answers are off by %.2g of their length", off)
		}
	}
}

// What cannot be computed in bfloat16 is not computed in something else.
func TestPrecisionRefused(t *testing.T) {
	for _, x := range []struct {
		shape  string
		o      Options
		pure   bool
		reason string
	}{
		{"llama", Options{Precision: BFloat16}, true, "the pure-Go engine computes in float32 alone"},
		{"lstm", Options{Precision: BFloat16}, false, "an LSTM is computed in float32 alone"},
		{"gpt2", Options{Precision: "float16"}, false, "not in \"float16\""},
	} {
		e := backendtest.Engine(t)
		if x.pure {
			e = backendtest.PureGo(t)
		} else if !e.Loops() {
			continue
		}
		c := heldShapes[x.shape]
		m, err := assemble(t.Context(), e, c, nil, newStored(t, c, 3), x.o)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.reason) {
			t.Errorf("%s in %s: %v, want %q", x.shape, x.o.Precision, err, x.reason)
		}
	}
}

// numbersOf is all that an answer says: values, activations and gradients.
func numbersOf(a *Answer) (all []float64) {
	all = append(all, a.Values...)
	add := func(data []float32) {
		for _, v := range data {
			all = append(all, float64(v))
		}
	}
	for _, l := range a.Logits {
		add(l.Data)
	}
	for _, tap := range slices.Sorted(maps.Keys(a.Grad)) {
		add(a.Grad[tap].Data)
	}
	return all
}

// distance is how far two lists of numbers are from each other, in lengths of the second.
func distance(got, want []float64) float64 {
	off, size := 0.0, 0.0
	for i, v := range want {
		off, size = off+(got[i]-v)*(got[i]-v), size+v*v
	}
	return math.Sqrt(off / size)
}
