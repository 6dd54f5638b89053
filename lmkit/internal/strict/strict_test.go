package strict

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type inner struct {
	Steps int            `json:"steps,omitempty"`
	Each  map[string]int `json:"each,omitempty"`
}

type outer struct {
	Name   string   `json:"name"`
	Inner  inner    `json:"inner,omitzero"`
	List   []uint8  `json:"list,omitempty"`
	Number *float64 `json:"number,omitempty"`
}

// What encoding/json writes is read back as it was.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := outer{Name: rapid.String().Draw(t, "name"), Inner: inner{Steps: rapid.Int().Draw(t, "steps")}}
		if rapid.Bool().Draw(t, "more") {
			v.List = rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(t, "list")
			v.Inner.Each = rapid.MapOfN(rapid.StringN(0, 10, 20), rapid.Int(), 1, 3).Draw(t, "each")
			x := rapid.Float64().Draw(t, "number")
			v.Number = &x
		}
		type plain outer // lists of bytes as numbers
		data, err := json.Marshal(struct {
			plain
			List []int `json:"list,omitempty"`
		}{plain(v), ints(v.List)})
		if err != nil {
			t.Fatal(err)
		}
		var got outer
		if err := Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("%s becomes %+v, %v", data, got, err)
		}
	})
}

func ints(bytes []uint8) (out []int) {
	for _, b := range bytes {
		out = append(out, int(b))
	}
	return out
}

// A misspelt name is told which one was meant, as long as most of its letters are right.
func TestNear(t *testing.T) {
	fields := map[string]int{"prompt": 0, "methods": 1, "by": 2, "seed": 3}
	for name, want := range map[string]string{"promt": "prompt", "PROMPT": "prompt", "method": "methods",
		"metods": "methods", "bye": "by",
		"sed": "seed", "x": "", "ab": "", "": "", "colour": "", "memory": "", strings.Repeat("p", 1000): ""} {
		if got := near(name, fields); got != want {
			t.Errorf("%.20q: did you mean %q? want %q", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringMatching(`[a-c]{0,6}`).Draw(t, "a"), rapid.StringMatching(`[a-c]{0,6}`).Draw(t, "b")
		if d := distance(a, b); d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < len(a)-len(b) {
			t.Fatalf("from %q to %q: %d, and back %d", a, b, d, distance(b, a))
		}
	})
}
