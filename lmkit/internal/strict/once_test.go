package strict

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// text draws a string as JSON, in which letters may be written as escapes.
func text(t *rapid.T, s string) string {
	if s != "" && rapid.Bool().Draw(t, "escaped") {
		return fmt.Sprintf(`"\u%04x%s`, s[0], strings.TrimPrefix(quote(s[1:]), `"`))
	}
	return quote(s)
}

func quote(s string) string {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// value draws a JSON value whose objects have each key once, but for the one in which twice is drawn, if any.
func value(t *rapid.T, depth int, twice *bool) string {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"})
	switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
	case depth == 0 || kind == 0:
		return text(t, rapid.SampledFrom([]string{"", "a:", `{"a":1,"a":2}`, "\\", `"`, "é"}).Draw(t, "text"))
	case kind == 1:
		return rapid.SampledFrom([]string{"1", "-2.5e3", "true", "null", "[]", "{}"}).Draw(t, "scalar")
	case kind == 2:
		var items []string
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			items = append(items, value(t, depth-1, twice))
		}
		return "[" + strings.Join(items, ",") + "]"
	default:
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z\\\\":{]{0,3}`), 1, 4, rapid.ID[string]).Draw(t, "keys")
		if !*twice && rapid.Bool().Draw(t, "twice") {
			keys, *twice = append(keys, keys[0]), true
		}
		var items []string
		for _, k := range keys {
			items = append(items, text(t, k)+space.Draw(t, "space")+":"+value(t, depth-1, twice))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
}

// A key that stands twice in one object is found, at any depth and in every spelling; nothing else is.
func TestOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var twice bool
		data := value(t, 4, &twice)
		if !json.Valid([]byte(data)) {
			t.Fatalf("the test makes no JSON: %s", data)
		}
		if err := Once([]byte(data)); (err != nil) != twice {
			t.Fatalf("%s: %v, and a key is there twice: %v", data, err, twice)
		}
		if err := Once([]byte(data[:len(data)/2])); err != nil && json.Valid([]byte(data[:len(data)/2])) == false {
			t.Fatalf("half of it: %v", err)
		}
	})
}
