package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// Decode is json.Unmarshal with other errors: they say in words what stands where, and what must stand there. Unlike
// [Unmarshal], it passes over what v has no field for.
func Decode(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return Syntax(data)
	}
	return Plain(err)
}

// Known is [Decode], but it fails on what v has no field for.
func Known(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return Plain(d.Decode(v))
}

// Plain is an error of encoding/json in words, without the names of Go's types. Any other error is returned as it is.
func Plain(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		found, known := foundNames[wrong.Value]
		if !known { // "number 1e300"
			found = strings.TrimPrefix(wrong.Value, "number ")
		}
		if wrong.Field == "" {
			return fmt.Errorf("expected %s, found %s", kindName(wrong.Type), Cut(found))
		}
		return fmt.Errorf("%s: expected %s, found %s", wrong.Field, kindName(wrong.Type), Cut(found))
	case err != nil && strings.HasPrefix(err.Error(), "json: "): // of an unknown field
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return err
}

// foundNames are what encoding/json calls the kinds of values, in words.
var foundNames = map[string]string{
	"object": "an object", "array": "an array", "string": "a string", "number": "a number", "bool": "true or false",
}

// kindName is what a value that becomes this type must be.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Float32:
		return "a number up to 3.4e38"
	case reflect.Float64:
		return "a number up to 1.8e308"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return fmt.Sprintf("a whole number up to %d", uint64(math.MaxUint64)>>(65-t.Bits()))
	case reflect.Uint, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	case reflect.Bool:
		return "true or false"
	}
	return "a string"
}
