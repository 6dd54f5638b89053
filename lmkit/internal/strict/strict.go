// Package strict reads JSON that must say exactly what a Go value holds, no less and no more.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lmkit.internal/lmkit/internal/kind"
)

// Unmarshal reads a JSON value into v, to which it must be a pointer. Unlike encoding/json it takes nothing for
// granted: names match exactly, and a field that is unknown, repeated, null, or missing without omitempty or
// omitzero is an error that says where, as are text that is not UTF-8 and anything after the value.
func Unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		if is := kind.Of(data[:min(kind.Head, len(data))]); is != "" {
			return fmt.Errorf("not JSON: %s", is)
		}
		return errors.New("not UTF-8 text")
	}
	if err := Syntax(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return reader{dec}.value(reflect.ValueOf(v).Elem(), "")
}

// Syntax says on which line JSON stops being JSON.
func Syntax(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	if is := kind.Of(data[:min(kind.Head, len(data))]); is != "" {
		return fmt.Errorf("not JSON: %s", is)
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	var at *json.SyntaxError
	if errors.As(err, &at) {
		line := 1 + bytes.Count(data[:min(int(at.Offset), len(data))], []byte("\n"))
		return fmt.Errorf("not JSON: line %d: %w", line, err)
	}
	return fmt.Errorf("not JSON: %w", err)
}

type reader struct{ dec *json.Decoder }

var rawType = reflect.TypeFor[json.RawMessage]()

func (s reader) value(v reflect.Value, path string) error {
	if v.Type() == rawType {
		return s.dec.Decode(v.Addr().Interface())
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return s.value(v.Elem(), path)
	}
	tok, err := s.dec.Token()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case v.Kind() == reflect.Struct && tok == json.Delim('{'):
		return s.object(v, path)
	case v.Kind() == reflect.Map && tok == json.Delim('{'):
		return s.mapping(v, path)
	case v.Kind() == reflect.Slice && tok == json.Delim('['):
		return s.array(v, path)
	case scalar(v, tok):
		return nil
	}
	if path == "" {
		return fmt.Errorf("expected %s, found %s", kindName(v.Type()), tokenName(tok))
	}
	return fmt.Errorf("%s: expected %s, found %s", path, kindName(v.Type()), tokenName(tok))
}

// left is the name of a field that JSON leaves out.
const left = "-"

func (s reader) object(v reflect.Value, path string) error {
	if path != "" {
		path += "."
	}
	fields := map[string]int{}
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != left {
			fields[name] = i
		}
	}
	seen := make([]bool, v.NumField())
	for s.dec.More() {
		key, err := s.dec.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := key.(string)
		i, known := fields[name]
		if !known {
			if like := near(name, fields); like != "" {
				return fmt.Errorf("unknown field %q; did you mean %s?", Cut(path+name), like)
			}
			return fmt.Errorf("unknown field %q: this lmkit would lose it", Cut(path+name))
		}
		if seen[i] {
			return fmt.Errorf("%s%s is there twice", path, name)
		}
		seen[i] = true
		if err := s.value(v.Field(i), path+name); err != nil {
			return err
		}
	}
	for i := range seen {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if !seen[i] && name != left && options != "omitempty" && options != "omitzero" {
			return fmt.Errorf("the field %s%s is missing", path, name)
		}
	}
	_, err := s.dec.Token()
	return err
}

// mapping reads an object whose names are free.
func (s reader) mapping(v reflect.Value, path string) error {
	v.Set(reflect.MakeMap(v.Type()))
	for s.dec.More() {
		key, err := s.dec.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := reflect.ValueOf(key)
		if v.MapIndex(name).IsValid() {
			return fmt.Errorf("%s.%s is there twice", path, Cut(name.String()))
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := s.value(item, path+"."+Cut(name.String())); err != nil {
			return err
		}
		v.SetMapIndex(name, item)
	}
	_, err := s.dec.Token()
	return err
}

func (s reader) array(v reflect.Value, path string) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for s.dec.More() {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := s.value(item, fmt.Sprintf("%s[%d]", path, v.Len())); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	_, err := s.dec.Token()
	return err
}

// scalar stores a token if it is a value of v's kind and fits.
func scalar(v reflect.Value, tok json.Token) bool {
	var err error
	switch x := tok.(type) {
	case string:
		if v.Kind() != reflect.String {
			return false
		}
		v.SetString(x)
	case bool:
		if v.Kind() != reflect.Bool {
			return false
		}
		v.SetBool(x)
	case json.Number:
		switch {
		case v.CanFloat():
			var f float64
			f, err = strconv.ParseFloat(x.String(), 64)
			v.SetFloat(f)
		case v.CanInt():
			var n int64
			n, err = strconv.ParseInt(x.String(), 10, v.Type().Bits())
			v.SetInt(n)
		case v.CanUint():
			var n uint64
			n, err = strconv.ParseUint(x.String(), 10, v.Type().Bits())
			v.SetUint(n)
		default:
			return false
		}
	default:
		return false
	}
	return err == nil
}

func tokenName(tok json.Token) string {
	switch x := tok.(type) {
	case nil:
		return "null"
	case string:
		return "the string " + strconv.Quote(Cut(x))
	case json.Delim:
		if x == '{' {
			return "an object"
		}
		return "an array"
	}
	return Cut(fmt.Sprint(tok))
}

// Cut keeps a foreign value from filling an error line.
func Cut(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:37], "") + "..."
	}
	return s
}

// near is the name that a misspelt one was meant to be: the closest one, if two letters or fewer are wrong, added,
// or left away, and at least as many are right.
func near(name string, fields map[string]int) string {
	best, least := "", min(2, len(name)/2)+1
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if d := distance(strings.ToLower(name), field); d < least {
			best, least = field, d
		}
	}
	return best
}

// distance is how many letters of a must be changed, added or left away to get b (Levenshtein 1966).
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
