package plot

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Float64Range(-1e9, 1e9).Draw(t, "lo")
		a := axis{from: 0, to: 100}
		a.include(lo)
		a.include(lo + rapid.Float64Range(0, 1e9).Draw(t, "span"))
		a.pad()
		ts := a.ticks(6)
		if len(ts) < 2 || len(ts) > 18 || !slices.IsSorted(ts) {
			t.Fatalf("%v: ticks %v", a, ts)
		}
		for _, v := range ts {
			if at := a.at(v); at < -1 || at > 101 {
				t.Fatalf("%v: the tick %g is at %g", a, v, at)
			}
		}
	})
	logarithmic := axis{lo: 1e-5, hi: 1, log: true, any: true, to: 1}
	if got := fmt.Sprint(logarithmic.ticks(8)); got != "[1e-05 0.0001 0.001 0.01 0.1 1]" {
		t.Errorf("log ticks %s", got)
	}
}
