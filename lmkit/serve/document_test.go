package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is the API's description as a stranger reads it: JSON, and nothing that this package knows.
type document struct {
	root  map[string]any
	check *jsonschema.Compiler
	mu    sync.Mutex
}

const documentURL = "http://localhost/openapi.json"

func readDocument(t testing.TB, text string) *document {
	t.Helper()
	root, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{root: root.(map[string]any), check: jsonschema.NewCompiler()}
	if err := d.check.AddResource(documentURL, root); err != nil {
		t.Fatal(err)
	}
	return d
}

// at is the part of the document at a path.
func (d *document) at(path ...string) any {
	var here any = d.root
	for _, name := range path {
		next, _ := here.(map[string]any)
		here = next[name]
	}
	return here
}

// valid says what is wrong with a value by the schema at a path, which a JSON pointer has to.
func (d *document) valid(value any, path ...string) error {
	pointer := "#"
	for _, name := range path {
		pointer += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.check.Compile(documentURL + pointer)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// place is where the document describes what a request asks; "": nowhere.
func (d *document) place(r *http.Request) string {
	paths, _ := d.at("paths").(map[string]any)
	method := strings.ToLower(r.Method)
	for path, item := range paths {
		begin, _, parameter := strings.Cut(path, "{")
		rest, is := strings.CutPrefix(r.URL.Path, begin)
		_, known := item.(map[string]any)[method]
		if known && (path == r.URL.Path || parameter && is && rest != "" && !strings.Contains(rest, "/")) {
			return path
		}
	}
	return ""
}

// answered says what is wrong with an answer, or with a body that was accepted, by the document.
func (d *document) answered(r *http.Request, asked []byte, status int, head http.Header, body []byte) error {
	path := d.place(r)
	if path == "" {
		return nil // not of the API
	}
	method := strings.ToLower(r.Method)
	if status == http.StatusOK && len(asked) > 0 {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asked))
		withoutNull(value)
		if err == nil {
			err = d.valid(value, "paths", path, method, "requestBody", "content", "application/json", "schema")
		}
		if err != nil {
			return fmt.Errorf("%s was accepted: %w", asked, err)
		}
	}
	if status == http.StatusSeeOther { // of the token of a browser
		return nil
	}
	code := fmt.Sprint(status)
	if d.at("paths", path, method, "responses", code) == nil {
		code = "default"
	}
	kind, _, _ := mime.ParseMediaType(head.Get("Content-Type"))
	content := []string{"paths", path, method, "responses", code, "content"}
	if d.at(append(content, kind)...) == nil && d.at("paths", path, method, "responses", "default") != nil {
		content[4] = "default" // what stands before the handler answers with a problem
	}
	var value any
	var err error
	if kind == "text/event-stream" {
		value, err = eventsOf(string(body))
	} else {
		value, err = jsonschema.UnmarshalJSON(bytes.NewReader(body))
	}
	if err == nil {
		err = d.valid(value, append(content, kind, "schema")...)
	}
	if err != nil {
		return fmt.Errorf("status %d, %s: %w", status, body, err)
	}
	return nil
}

// withoutNull takes out the fields that are null, which are read as what is not there.
func withoutNull(value any) {
	switch v := value.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, v any) bool { return v == nil })
		for _, field := range v {
			withoutNull(field)
		}
	case []any:
		for _, item := range v {
			withoutNull(item)
		}
	}
}

// eventsOf are server-sent events as the document describes them: objects with event and data.
func eventsOf(stream string) (all []any, err error) {
	for one := range strings.SplitSeq(strings.TrimSpace(stream), "\n\n") {
		e := map[string]any{}
		for line := range strings.Lines(one) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			e[name] = value
			if name == "data" && value != "[DONE]" {
				if e[name], err = jsonschema.UnmarshalJSON(strings.NewReader(value)); err != nil {
					return nil, err
				}
			}
		}
		all = append(all, e)
	}
	return all, nil
}

// conform lets every answer of a server be compared with its own description. A client that goes away gets half an
// answer, which is not looked at.
func conform(t testing.TB, s *Server) {
	t.Helper()
	_, text := ask(s, "GET", "/openapi.json", "", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+s.config.Token)
	})
	d, next := readDocument(t, text), s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		body := io.Reader(bytes.NewReader(asked))
		if err != nil {
			body = io.MultiReader(body, iotest.ErrReader(err))
		}
		r.Body = io.NopCloser(body)
		seen := &copied{recorder: recorder{ResponseWriter: w}}
		next.ServeHTTP(seen, r)
		if r.Context().Err() != nil || seen.failed {
			return
		}
		if err := d.answered(r, asked, or(seen.status, http.StatusOK), w.Header(), seen.body.Bytes()); err != nil {
			t.Errorf("%s %s is not answered as the document says: %v", r.Method, r.URL.Path, err)
		}
	})
}

// copied is a response that keeps what was written.
type copied struct {
	recorder
	body   bytes.Buffer
	failed bool
}

func (w *copied) Write(b []byte) (int, error) {
	w.body.Write(b)
	n, err := w.recorder.Write(b)
	w.failed = w.failed || err != nil
	return n, err
}

// A client that knows nothing but the document asks everything that stands there: every operation by each of its
// examples, whole and in events, and once with a setting that is none. What it sends and what it gets is as described.
func TestClientOfTheDocument(t *testing.T) {
	s := server(t, Config{Dictionaries: dictionaries()})
	l := httptest.NewServer(s)
	defer l.Close()
	get, err := http.Get(l.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(get.Body)
	_ = get.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	d := readDocument(t, string(text))
	for what, wrong := range map[string]string{"another value": `{"status":"fine"}`, "nothing": `{}`,
		"more": `{"status":"ok","x":1}`} {
		r := httptest.NewRequest(http.MethodGet, "/v1/healthz", nil)
		head := http.Header{"Content-Type": {"application/json"}}
		if d.answered(r, nil, http.StatusOK, head, []byte(wrong)) == nil {
			t.Errorf("an answer of %s is as the document says", what)
		}
	}
	asked := 0
	ask := func(method, path, body, accept string, want int) {
		t.Helper()
		r, err := http.NewRequest(strings.ToUpper(method), l.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.answered(r, []byte(body), res.StatusCode, res.Header, got); err != nil {
			t.Errorf("%s %s %s: %v", method, path, body, err)
		}
		if asked++; res.StatusCode != want {
			t.Errorf("%s %s %s: %d %s", method, path, body, res.StatusCode, got)
		}
	}
	for pattern, item := range d.at("paths").(map[string]any) {
		for method := range item.(map[string]any) {
			body, _ := d.at("paths", pattern, method, "requestBody", "content", "application/json").(map[string]any)
			examples := map[string]any{pattern: body["example"]}
			if named, are := body["examples"].(map[string]any); are {
				delete(examples, pattern)
				begin, _, _ := strings.Cut(pattern, "{")
				for name, example := range named {
					examples[begin+name] = example.(map[string]any)["value"]
				}
			}
			for path, example := range examples {
				if body == nil {
					ask(method, path, "", "application/json", http.StatusOK)
					continue
				}
				written, err := json.Marshal(example)
				if err != nil || example == nil {
					t.Fatalf("%s %s has no example: %v", method, path, err)
				}
				kinds, _ := d.at("paths", pattern, method, "responses", "200", "content").(map[string]any)
				for kind := range kinds {
					ask(method, path, string(written), kind, http.StatusOK)
				}
				stray := strings.TrimSuffix(string(written), "}") + `, "no such setting": 1}`
				mistake := http.StatusUnprocessableEntity
				if d.at("paths", pattern, method, "responses", fmt.Sprint(mistake)) == nil {
					mistake = http.StatusBadRequest
				}
				ask(method, path, stray, "application/json", mistake)
			}
		}
	}
	if asked < 40 {
		t.Errorf("%d requests alone", asked)
	}
}
