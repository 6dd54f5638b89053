package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// decodeStrict reads a well-formed JSON value into v. Unlike encoding/json it takes nothing for granted: names match
// exactly, and a field that is unknown, repeated, null, or missing without omitempty is an error that says where.
func decodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return strict{dec}.value(reflect.ValueOf(v).Elem(), "")
}

type strict struct{ dec *json.Decoder }

var rawType = reflect.TypeFor[json.RawMessage]()

func (s strict) value(v reflect.Value, path string) error {
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
	case v.Kind() == reflect.Slice && tok == json.Delim('['):
		return s.array(v, path)
	case scalar(v, tok):
		return nil
	}
	return fmt.Errorf("%s: expected %s, found %s", path, kindName(v), tokenName(tok))
}

func (s strict) object(v reflect.Value, path string) error {
	if path != "" {
		path += "."
	}
	fields := map[string]int{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = i
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
			return fmt.Errorf("unknown field %q: this lmkit would lose it", cut(path+name))
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
		if !seen[i] && options != "omitempty" {
			return fmt.Errorf("the field %s%s is missing", path, name)
		}
	}
	_, err := s.dec.Token()
	return err
}

func (s strict) array(v reflect.Value, path string) error {
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

func kindName(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Struct:
		return "an object"
	case v.Kind() == reflect.Slice:
		return "an array"
	case v.CanFloat():
		return "a number that a float64 can hold"
	case v.CanInt():
		return "a whole number"
	case v.CanUint():
		return "a whole number, 0 or more"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a string"
}

func tokenName(tok json.Token) string {
	switch x := tok.(type) {
	case nil:
		return "null"
	case string:
		return "the string " + strconv.Quote(cut(x))
	case json.Delim:
		if x == '{' {
			return "an object"
		}
		return "an array"
	}
	return cut(fmt.Sprint(tok))
}

// cut keeps a foreign value from filling an error line.
func cut(s string) string {
	if len(s) > 40 {
		return s[:37] + "..."
	}
	return s
}
