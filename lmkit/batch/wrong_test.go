package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/internal/strict/stricttest"
)

// readable fails a test where an error is not for people.
func readable(t *testing.T, place string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for mistake := range strings.SplitSeq(err.Error(), "\n") { // of which there may be several
		if wrong := stricttest.Unreadable(errors.New(mistake)); wrong != "" {
			t.Errorf("%s: %s: %s", place, mistake, wrong)
		}
	}
}

// questions are rows of all forms, with something in every column that means anything.
var questions = []string{
	`{"label":"good","prompt":"the cat sat","target":"on","foil":"mat","year":1999}`,
	`{"text":"a dog ran","answer":"good bad","label":"bad","after":"the cat"}`,
	`{"messages":[{"role":"user","content":"the cat"}]}`,
	`{"id":"a","ids":[1,2,3]}`,
}

// Whatever stands in a row in the place of something else, the row is an item or a failure in words, whatever is asked
// of it, and the others go on. A number that is none is never taken for one.
func TestWrongValuesInRows(t *testing.T) {
	m := words(t)
	var rows, places []string
	for _, row := range questions {
		for place, text := range stricttest.Wrong([]byte(row)) {
			rows, places = append(rows, string(text)), append(places, row+place)
		}
	}
	file := write(t, "items.jsonl", rows...)
	read := 0
	for x, err := range Items(Source{File: file}, common) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; x.Line != read {
			t.Fatalf("line %d is the item %d", x.Line, read)
		}
		if x.Wrong != "" {
			readable(t, places[x.Line-1], errors.New(x.Wrong))
		} else if err := x.Request.Validate(); err != nil {
			t.Errorf("%s is a question that has a mistake: %v", places[x.Line-1], err)
		}
	}
	if read != len(rows) {
		t.Errorf("%d of %d rows", read, len(rows))
	}
	for what, j := range map[string]Job{"explained": {Request: common}, "labelled": {Labels: []string{"good", "bad"}},
		"scored": {Score: true}} {
		j.Source.File, j.Out = file, filepath.Join(t.TempDir(), what)
		p, err := Open(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Explain(t.Context(), m)
		if err != nil || got.Explained+got.Failed != len(rows) || got.Explained < 50 || got.Failed < 50 {
			t.Errorf("%s: %v, %d items and %d failures of %d rows", what, err, got.Explained, got.Failed, len(rows))
		}
		for f, err := range Failures(j.Out) {
			if err != nil {
				t.Fatal(err)
			}
			readable(t, what+": "+places[f.Line-1], errors.New(f.Error))
		}
		if _, err := Summarise(j.Out, Summarising{}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A list of token IDs is one of whole numbers, and a field that is there twice has no value.
func TestRowsThatSayNothing(t *testing.T) {
	for _, row := range []string{`{"ids":[1,null]}`, `{"ids":[1.5]}`, `{"ids":[true]}`, `{"ids":"[1,null]"}`,
		`{"text":"the cat","text":"the dog"}`, `{"messages":[{"role":"user","role":"user","content":"the cat"}]}`} {
		for x, err := range Items(Source{File: write(t, "items.jsonl", row)}, common) {
			if err != nil || x.Wrong == "" {
				t.Errorf("%s is a question: %+v (%v)", row, x.Request, err)
			}
			readable(t, row, errors.New(x.Wrong))
		}
	}
}

// Whatever stands in the place of something else in what all items have in common, it is refused in words before
// anything runs, or something comes of each item.
func TestWrongValuesInTheRequest(t *testing.T) {
	m, file := words(t), write(t, "items.jsonl", `{"text":"the cat sat"}`, `{"text":"a dog ran on","target":"on"}`)
	refused, ran := 0, 0
	for _, text := range []string{
		`{"objective":"contrast","target":"on","foil":"mat","by":"word","baseline":"zero","first_token":"hold",
			"methods":["shapley","integrated-gradients"],"settings":{"budget":64,"steps":8},
			"each":{"shapley":{"budget":32}},"tolerance":0.1,"seed":3,"memory":1000000}`,
		`{"objective":"logit","target_any":["on","mat"],"groups":[[0],[1,2]],"methods":["occlusion"]}`,
		`{"generate":2,"only":["cat"],"matrix":"answer","methods":["occlusion"],"settings":{"steps":4}}`,
	} {
		for place, text := range stricttest.Wrong([]byte(text)) {
			r, err := ReadCommon(bytes.NewReader(text))
			readable(t, place, err)
			if err != nil {
				refused++
				continue
			}
			ran++
			out := filepath.Join(t.TempDir(), "out")
			p, err := Open(t.Context(), Job{Source: Source{File: file}, Request: r, Out: out})
			if err != nil {
				readable(t, place, err)
				continue
			}
			got, err := p.Explain(t.Context(), m)
			readable(t, place, err)
			if err == nil && got.Explained+got.Failed != 2 {
				t.Errorf("%s: %+v", place, got)
			}
			for f := range Failures(out) {
				readable(t, place, errors.New(f.Error))
			}
		}
	}
	if refused < 300 || ran < 20 {
		t.Errorf("%d requests were refused, and %d were not", refused, ran)
	}
}

// Whatever stands in the manifest or in the results of a folder in the place of something else, all that read the
// folder say what is wrong in words, or make something of it that can be written.
func TestWrongValuesInResults(t *testing.T) {
	m, file := words(t), write(t, "items.jsonl", questions...)
	pairs, err := bias.Open(write(t, "pairs.csv", "sentence,other", "the cat sat,the dog sat", "a cat ran,a dog ran"), "")
	if err != nil {
		t.Fatal(err)
	}
	source := Source{File: file}
	for what, j := range map[string]Job{"explained": {Source: source, Request: common}, "scored": {Source: source,
		Score: true}, "labelled": {Source: source, Labels: []string{"good", "bad"}}, "pairs": {Suite: pairs}} {
		j.Model, j.Out = "words", filepath.Join(t.TempDir(), what)
		p, err := Open(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Explain(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{ManifestFile, fmt.Sprintf(partFile, 0)} {
			path := filepath.Join(j.Out, name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, rest, _ := bytes.Cut(whole, []byte("\n"))
			if name == ManifestFile {
				first, rest = whole, nil
			}
			failed := 0
			for place, text := range stricttest.Wrong(first) {
				if err := os.WriteFile(path, append(append(text, '\n'), rest...), 0o600); err != nil {
					t.Fatal(err)
				}
				for who, read := range map[string]func() (any, error){
					"summarise": func() (any, error) { return Summarise(j.Out, Summarising{Inside: "year"}) },
					"examples":  func() (any, error) { all, _, err := Examples(j.Out, ""); return all, err },
					"bias":      func() (any, error) { return Bias(j.Out, bias.Config{}) },
					"go on": func() (any, error) {
						if name != ManifestFile || what != "explained" {
							return nil, nil
						}
						return p.Explain(t.Context(), m)
					},
				} {
					place := what + ": " + who + ": " + name + place
					v, err := read()
					readable(t, place, err)
					if err != nil {
						failed++
					} else if _, err := json.Marshal(v); err != nil {
						t.Errorf("%s: what comes of it cannot be written: %v", place, err)
					}
				}
			}
			if failed < 50 {
				t.Errorf("%s: %s was refused %d times only", what, name, failed)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A manifest with numbers that cannot be is none.
func TestManifestThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	good := Manifest{Schema: schema, Request: lmkit.Request{Methods: []string{"occlusion"}}, Rows: 3, PartRows: 256,
		Explained: 2, Failed: 1}
	for what, change := range map[string]func(*Manifest){
		"":              func(*Manifest) {},
		"schema":        func(m *Manifest) { m.Schema = -1 },
		"rows":          func(m *Manifest) { m.Rows = -3 },
		"no part":       func(m *Manifest) { m.PartRows = 0 },
		"failed":        func(m *Manifest) { m.Failed = -1 },
		"explained":     func(m *Manifest) { m.Explained = -1 },
		"more than all": func(m *Manifest) { m.Explained = 3 },
	} {
		m := good
		change(&m)
		if err := m.write(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadManifest(dir); (err == nil) != (what == "") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
