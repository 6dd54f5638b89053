// Package stricttest makes JSON that is wrong in one place, and reads errors as a person would who knows no Go.
package stricttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// others are what a file may hold where something else belongs: other kinds of values, and numbers that are too large
// for what they are read into, or for any.
var others = []any{
	json.Number("1e12"), json.Number("1000000000000"), json.Number("-1000000000000"), json.Number("1e400"),
	json.Number("-99999999999999999999"), json.Number("0.5"), json.Number("-1"), json.Number("0"), "text", "",
	"\u202etxet\x1b[2J",
	true, nil, []any{}, []any{"text"}, []any{json.Number("1e12")}, []any{nil, []any{[]any{}}}, map[string]any{},
	map[string]any{"a": json.Number("1e12")}, map[string]any{"content": []any{}}, noNumbers[0], noNumbers[1],
}

// noNumbers are what some programs write for numbers that JSON does not have. In a text without the quotes.
var noNumbers = []string{"NaN", "-Infinity"}

// Wrong yields JSON texts that are data but for one value, which is another one; and what was changed. Every value at
// every depth has its turn, the whole included; of a list or an object with many entries the first and the last. Each
// object is also given another field, and some of the texts are no JSON: they have a NaN.
func Wrong(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var root any
		if err := d.Decode(&root); err != nil {
			panic(fmt.Sprintf("the text to begin with is not JSON: %v", err))
		}
		change(root, "", func(v any) { root = v }, func(place string) bool {
			text, err := json.Marshal(root)
			if err != nil {
				panic(err)
			}
			for _, none := range noNumbers {
				text = bytes.ReplaceAll(text, []byte(`"`+none+`"`), []byte(none))
			}
			return yield(place, text)
		})
	}
}

// change puts other values in the place of one, and of those inside it. set puts a value there.
func change(value any, place string, set func(any), each func(place string) bool) bool {
	for _, other := range others {
		set(other)
		text, _ := json.Marshal(other)
		if !each(fmt.Sprintf("%s = %s", place, text)) {
			return false
		}
	}
	set(value)
	switch v := value.(type) {
	case map[string]any:
		for _, key := range some(slices.Sorted(maps.Keys(v))) {
			if !change(v[key], place+"."+key, func(to any) { v[key] = to }, each) {
				return false
			}
		}
		const unknown = "unheard_of"
		v[unknown] = json.Number("1")
		if !each(place + "." + unknown + " = 1") {
			return false
		}
		delete(v, unknown)
	case []any:
		places := make([]int, len(v))
		for i := range places {
			places[i] = i
		}
		for _, i := range some(places) {
			if !change(v[i], fmt.Sprintf("%s[%d]", place, i), func(to any) { v[i] = to }, each) {
				return false
			}
		}
	}
	return true
}

// some are all entries of a short list, and the first and the last of a long one.
func some[T any](of []T) []T {
	if len(of) > 40 {
		return []T{of[0], of[len(of)-1]}
	}
	return of
}

// Unreadable says what of an error is not for people: names that only Go has, a second line, or too much; "" if it is a
// short line of words, or nil.
func Unreadable(err error) string {
	if err == nil {
		return ""
	}
	switch text := err.Error(); {
	case names.MatchString(text):
		return "it says " + names.FindString(text)
	case strings.Contains(text, "\n"):
		return "it has several lines"
	case len(text) > 700:
		return fmt.Sprintf("it has %d bytes", len(text))
	case !utf8.ValidString(text):
		return "it is no UTF-8"
	}
	return ""
}

var names = regexp.MustCompile(`(^|[^.])json: |\bstrconv\b|\bu?int(8|16|32|64)?\b|\bfloat(32|64)\b|` +
	`\bGo (value|struct)|\bstruct\b|map\[|\[\][a-zA-Z]|%!|\.go:\d|runtime error|interface \{|<nil>|` +
	`\b(json|token|chat|corpus|lm|net|lmkit|explain|inspect|generate|batch|serve|reflect)\.[A-Z]\w+`)
