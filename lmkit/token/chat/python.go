package chat

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
	"lmkit.internal/lmkit/internal/printable"
)

// Templates are written for Python's idea of white space and of JSON; what differs from the interpreter's is here.

// stringMethods are the methods that templates may call on texts.
func stringMethods() *exec.MethodSet[string] {
	all := map[string]exec.Method[string]{}
	for _, name := range []string{
		"capitalize", "count", "endswith", "find", "isdigit", "isspace", "isupper", "islower", "join", "lower", "partition",
		"removeprefix", "removesuffix", "replace", "rfind", "rpartition", "rsplit", "split", "splitlines", "startswith",
		"title", "upper",
	} {
		if m, ok := builtins.Methods.Str.Get(name); ok {
			all[name] = m
		}
	}
	all["strip"] = stripMethod(true, true)
	all["lstrip"] = stripMethod(true, false)
	all["rstrip"] = stripMethod(false, true)
	return exec.NewMethodSet(all)
}

func stripMethod(left, right bool) exec.Method[string] {
	return func(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
		if len(args.Args) > 1 || len(args.KwArgs) > 0 {
			return nil, fmt.Errorf("a strip of %d arguments", len(args.Args)+len(args.KwArgs))
		}
		cut := isSpace
		if len(args.Args) == 1 && !args.Args[0].IsNil() {
			set := args.Args[0].String()
			cut = func(r rune) bool { return strings.ContainsRune(set, r) }
		}
		if left {
			self = strings.TrimLeftFunc(self, cut)
		}
		if right {
			self = strings.TrimRightFunc(self, cut)
		}
		return self, nil
	}
}

// trimFilter is the filter trim.
func trimFilter(_ *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if chars, ok := args.KwArgs["chars"]; ok && len(args.Args) == 0 {
		args = &exec.VarArgs{Args: []*exec.Value{chars}}
	}
	out, err := stripMethod(true, true)(in.String(), nil, args)
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsValue(out)
}

// jsonFilter is the filter tojson, as transformers has it: Python's separators, nothing escaped for HTML.
func jsonFilter(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	text, err := pythonJSON(in.ToGoSimpleType(false))
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(text)
}

func pythonJSON(v any) (string, error) {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			part, err := pythonJSON(x)
			if err != nil {
				return "", err
			}
			parts[i] = part
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name, err := pythonJSON(key)
			if err != nil {
				return "", err
			}
			value, err := pythonJSON(v[key])
			if err != nil {
				return "", err
			}
			parts = append(parts, name+": "+value)
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	}
	if text, ok := v.(string); ok {
		return pythonString(text), nil
	}
	out, err := json.Marshal(v) // a number, a truth value or null
	return string(out), err
}

// pythonString is a text in JSON: what must be escaped is, nothing else.
func pythonString(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	for _, r := range text {
		switch {
		case short[r] != "":
			out.WriteString(short[r])
		case r < 0x20:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String() + `"`
}

// strftime writes a time by C's format, in English.
func strftime(t time.Time, format string) (string, error) {
	layouts := map[byte]string{
		'd': "02", 'e': "_2", 'm': "01", 'Y': "2006", 'y': "06", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002",
		'F': "2006-01-02", 'T': "15:04:05", 'Z': "MST", 'z': "-0700",
	}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		if i++; i < len(format) && format[i] == '%' {
			out.WriteByte('%')
			continue
		}
		if i == len(format) || layouts[format[i]] == "" {
			return "", fmt.Errorf("a date in the form %q", printable.Short(format, 40))
		}
		out.WriteString(t.Format(layouts[format[i]]))
	}
	return out.String(), nil
}
