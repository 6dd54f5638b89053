package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/internal/strict/stricttest"
)

// schema is the one at a path of the document, or the one that it refers to.
func (d *document) schema(s any) map[string]any {
	is, _ := s.(map[string]any)
	for is["$ref"] != nil {
		is, _ = d.at(strings.Split(strings.TrimPrefix(is["$ref"].(string), "#/"), "/")...).(map[string]any)
	}
	return is
}

// wrong yields values in the place of one that a schema describes: others altogether, and the same with another one in
// each of its fields, those that it does not have yet included.
func (d *document) wrong(schema map[string]any, value any, depth int, yield func(place string, v any) bool) bool {
	for place, text := range stricttest.Wrong([]byte("null")) {
		if json.Valid(text) && !yield(place, json.RawMessage(text)) {
			return false
		}
	}
	if depth == 0 {
		return true
	}
	fields, _ := value.(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		ok := d.wrong(d.schema(properties[name]), fields[name], depth-1, func(place string, v any) bool {
			changed := maps.Clone(fields)
			if changed == nil {
				changed = map[string]any{}
			}
			changed[name] = v
			return yield("."+name+place, changed)
		})
		if !ok {
			return false
		}
	}
	if items := d.schema(schema["items"]); items != nil {
		var first any
		if list, _ := value.([]any); len(list) > 0 {
			first = list[0]
		}
		return d.wrong(items, first, depth-1, func(place string, v any) bool { return yield("[0]"+place, []any{v}) })
	}
	return true
}

// refused says what is wrong with how a body was refused, if it was: it is the client's mistake, told in short lines of
// words that steer no terminal.
func refused(res *http.Response, got string) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	if res.StatusCode >= 500 && res.StatusCode != http.StatusGatewayTimeout || res.StatusCode < 400 {
		return fmt.Errorf("the status is %d", res.StatusCode)
	}
	var problem struct {
		Detail string
		Errors []struct{ Message string }
		Error  *struct{ Message string } // as completions have it
	}
	if err := json.Unmarshal([]byte(got), &problem); err != nil {
		return err
	}
	said := []string{problem.Detail}
	for _, e := range problem.Errors {
		said = append(said, e.Message)
	}
	if problem.Error != nil {
		said = []string{problem.Error.Message}
	}
	for _, text := range said {
		switch wrong := stricttest.Unreadable(fmt.Errorf("%s", text)); {
		case text == "":
			return fmt.Errorf("it does not say why")
		case wrong != "":
			return fmt.Errorf("%q: %s", text, wrong)
		case printable.Clean(text) != text:
			return fmt.Errorf("%q could steer a terminal", text)
		}
	}
	if len(got) > 4000 {
		return fmt.Errorf("it takes %d bytes", len(got))
	}
	return nil
}

// Whatever stands in any field that the document describes, of every operation, the answer is one, or a mistake of the
// client's in words.
func TestWrongValuesInEveryField(t *testing.T) {
	s := server(t, Config{Limits: Limits{Tokens: 20, Time: time.Second}})
	_, text := ask(s, "GET", "/openapi.json", "")
	d, asked := readDocument(t, text), 0
	for path, body := range everything {
		operation := path
		if strings.HasPrefix(path, "/v1/inspect/") {
			operation = "/v1/inspect/{tool}"
		}
		var value any
		if err := json.Unmarshal([]byte(strings.ReplaceAll(body, "TEXT", "what is")), &value); err != nil {
			t.Fatal(err)
		}
		described := d.schema(d.at("paths", operation, "post", "requestBody", "content", "application/json", "schema"))
		if described["properties"] == nil {
			t.Fatalf("%s: the document does not describe its body: %v", operation, described)
		}
		d.wrong(described, value, 3, func(place string, v any) bool {
			asked++
			if testing.Short() && asked%5 != 0 {
				return true
			}
			body, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			res, got := ask(s, "POST", path, string(body))
			if err := refused(res, got); err != nil {
				t.Errorf("%s%s: %v: %.600s", path, place, err, got)
			}
			return true
		})
	}
	if asked < 1000 {
		t.Errorf("only %d bodies", asked)
	}
}

// fields are the names that JSON has for the fields of a struct that p points to.
func fields(p any) (names []string) {
	is := reflect.TypeOf(p).Elem()
	for i := range is.NumField() {
		if name, _, _ := strings.Cut(is.Field(i).Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// Whatever stands in any setting of any tool, one that it does not have included, it is refused in words, or there is
// an answer.
func TestWrongValuesInSettings(t *testing.T) {
	s := server(t, Config{Limits: Limits{Time: time.Second}, Dictionaries: dictionaries()})
	settings := map[string][]any{dictionaryTool: {new(DictionaryOf)}}
	for name, tool := range tools {
		settings[name] = append(settings[name], tool())
	}
	for name, study := range studies {
		x, _ := study()
		settings[name] = append(settings[name], x)
	}
	asked := 0
	for name, all := range settings {
		example, _ := s.inspections()[name].(Inspection)
		for _, of := range all {
			body := example
			if _, is := of.(explain.MatrixMethod); !is && name != dictionaryTool {
				body.Request = nil // what follows no prompt
			}
			for _, field := range append(fields(of), "unheard_of") {
				for place, text := range stricttest.Wrong([]byte("null")) {
					if asked++; !json.Valid(text) || testing.Short() && asked%5 != 0 {
						continue
					}
					body.Settings = maps.Clone(example.Settings)
					if body.Settings == nil {
						body.Settings = map[string]any{}
					}
					body.Settings[field] = json.RawMessage(text)
					in, err := json.Marshal(body)
					if err != nil {
						t.Fatal(err)
					}
					res, got := ask(s, "POST", "/v1/inspect/"+name, string(in))
					if err := refused(res, got); err != nil {
						t.Errorf("%s: %s%s: %v: %.600s", name, field, place, err, got)
					}
				}
			}
		}
	}
	if asked < 500 {
		t.Errorf("only %d bodies", asked)
	}
}

// A form that is too large is refused in words, too.
func TestHostileForm(t *testing.T) {
	s := server(t, Config{})
	res, got := ask(s, "POST", "/ask", "prompt="+strings.Repeat("x", 5<<20), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	})
	if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got, "a request may have 4194") {
		t.Errorf("%d: %.300s", res.StatusCode, got)
	}
}

// What is no JSON, or is more of it than anything needs, is refused in words.
func TestHostileBodies(t *testing.T) {
	s := server(t, Config{Limits: Limits{Tokens: 20, Time: time.Second}})
	long := strings.Repeat("x", 1<<20)
	for path, body := range everything {
		good := strings.ReplaceAll(body, "TEXT", "what is")
		first, _, _ := strings.Cut(strings.TrimPrefix(good, "{"), ":")
		for what, body := range map[string]string{
			"nothing":             " ",
			"half":                good[:len(good)/2],
			"twice":               good + good,
			"more behind it":      good + "x",
			"a key twice":         "{" + first + ": 1, " + strings.TrimPrefix(good, "{"),
			"depth":               strings.Repeat("[", 1e5),
			"whole depth":         strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000),
			"deeper than ever":    strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
			"a long key":          `{"` + long + `": 1}`,
			"a long text":         `{` + first + `: "` + long + `"}`,
			"a long text in half": `{` + first + `: "` + long,
			"many keys":           "{" + strings.Repeat(`"a": 1, `, 1e5) + `"a": 1}`,
			"controls":            `{"` + "\u202e\u0085" + `\u001b[2J": "\u0000\u009b"}`,
			"raw controls":        "{\"\x1b[2J\": 1}",
			"other bytes":         "\xff\xfe{\x00}\x00",
		} {
			res, got := ask(s, "POST", path, body)
			if err := refused(res, got); err != nil || res.StatusCode == http.StatusOK {
				t.Errorf("%s: %s: %d, %v: %.600s", path, what, res.StatusCode, err, got)
			}
		}
		for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded",
			"multipart/form-data; boundary=x",
			"application/xml", "application/jsonx", "\u202e"} {
			res, got := ask(s, "POST", path, good, func(r *http.Request) { r.Header.Set("Content-Type", kind) })
			if err := refused(res, got); err != nil || res.StatusCode == http.StatusOK {
				t.Errorf("%s as %q: %d, %v: %s", path, kind, res.StatusCode, err, got)
			}
		}
	}
}
