package printable

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestVisual(t *testing.T) {
	for _, c := range []struct {
		parts  []string
		toLeft bool
		want   string
	}{
		{[]string{"the", " keys"}, false, "[the  keys]"},
		{[]string{"אני", " אוהב", " חתולים"}, true, "[ חתולים  אוהב אני]"},
		{[]string{"אני", " like", " cats", "."}, true, "[.  like  cats אני]"},
		{[]string{"say", " אני", " אוהב", " now"}, false, "[say  אוהב  אני  now]"},
		{[]string{"אני", ",", " אוהב", " 12"}, true, "[ 12  אוהב , אני]"},
		{nil, true, "[]"},
	} {
		var seen []string
		for _, i := range Visual(c.parts, c.toLeft) {
			seen = append(seen, c.parts[i])
		}
		if got := fmt.Sprint(seen); got != c.want {
			t.Errorf("%q: %s, want %s", c.parts, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"שלום", "a", "1", "."}))).
			Draw(t, "parts")
		order := Visual(parts, rapid.Bool().Draw(t, "left"))
		slices.Sort(order)
		for i, k := range order {
			if i != k {
				t.Fatalf("the order of %d parts is none: %v", len(parts), order)
			}
		}
	})
}
