package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
)

// words is a small Transformer of words, with random weights.
func words(t testing.TB) *lm.Model {
	t.Helper()
	tok, err := token.NewWord(slices.Values([]string{"the a cat dog sat ran on mat rug good bad"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.Transformer, Layers: 2, Width: 16, Heads: 2, Context: 12,
		Vocab: tok.Size()}, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// common is what items have in common: a quick method.
var common = lmkit.Request{Methods: []string{"input-x-gradient"}}

// write makes a file of these lines, and returns its path.
func write(t testing.TB, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// mixed are rows of every kind: good ones, broken ones, and ones that only the model finds fault with.
var mixed = []string{
	`{"id":"a","text":"the cat sat","label":"on","source":"x","n":1.50}`,
	`{"id":"b","text":"a dog ran","target":"on","foil":"mat"}`,
	`{oops`,
	`{"id":"a","text":"the dog sat"}`,
	`{"text":""}`,
	`{"id":"c","text":"the cat","target":"zebra"}`,
	`{"id":"long","text":"the cat sat on the mat the cat sat on the mat the cat"}`,
	`{"id":"d","ids":[1,2,3]}`,
	`{"id":"e","prompt":"a cat ran on the rug","text":"kept as metadata"}`,
	`{"id":"f","ids":[-1]}`,
}

// runOf runs a job, and returns the manifest.
func runOf(t testing.TB, ctx context.Context, m *lm.Model, file, out string, r lmkit.Request) (Manifest, error) {
	t.Helper()
	p, err := Open(ctx, Job{Source: Source{File: file}, Request: r, Model: "words", Out: out})
	if err != nil {
		t.Fatal(err)
	}
	return p.Explain(ctx, m)
}

// Each item gets the explanation that it would get alone; a row that is none, or that the model cannot be asked about,
// is a failure with its line; counts add up.
func TestExplainFile(t *testing.T) {
	m, out := words(t), filepath.Join(t.TempDir(), "out")
	got, err := runOf(t, t.Context(), m, write(t, "items.jsonl", mixed...), out, common)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 10 || got.Explained != 4 || got.Failed != 6 || !got.Done {
		t.Errorf("%+v", got)
	}
	if read, err := ReadManifest(out); err != nil || read.same(got) != "" || !read.Done {
		t.Errorf("%+v, %v", read, err)
	}
	var ids []string
	for r, err := range Results(out) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
		if r.ID != "a" {
			continue
		}
		want, err := lmkit.Request{Prompt: "the cat sat", Methods: common.Methods}.Answer(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range want.Attributions[0].Scores {
			if math.Abs(s-r.Attributions[0].Scores[i]) > 1e-6 {
				t.Errorf("%v, want %v", r.Attributions[0].Scores, want.Attributions[0].Scores)
			}
		}
		if r.Label != "on" || r.Prompt != "the cat sat" || r.Line != 1 || r.Meta["source"] != "x" ||
			r.Meta["n"] != json.Number("1.50") || len(r.Meta) != 2 {
			t.Errorf("%+v", r)
		}
	}
	if !slices.Equal(ids, []string{"a", "b", "d", "e"}) {
		t.Errorf("results of %q", ids)
	}
	var failed []string
	for f, err := range Failures(out) {
		if err != nil {
			t.Fatal(err)
		}
		failed = append(failed, f.String())
	}
	for i, want := range []string{"line 3 is no JSON object", `line 4 has the id "a", which line 1 has already`,
		"line 5 has no prompt", `line 6`, "line 7", "line 10 is no question"} {
		if !strings.HasPrefix(failed[i], want) {
			t.Errorf("%q, want %q", failed[i], want)
		}
	}
}

// content is all that a folder of results holds, but for the folder's own name.
func content(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s\n", n.Name(), data)
	}
	return b.String()
}

// A run that is stopped anywhere goes on, asks about nothing again that was done, and leaves the same bytes as one that
// was not stopped; wherever in its writing it was killed.
func TestResume(t *testing.T) {
	m, file := words(t), write(t, "items.jsonl", mixed...)
	whole := filepath.Join(t.TempDir(), "whole")
	if _, err := runOf(t, t.Context(), m, file, whole, common); err != nil {
		t.Fatal(err)
	}
	want := content(t, whole)
	var journals [][]byte
	for stop := range len(mixed) {
		out := filepath.Join(t.TempDir(), "out")
		ctx, cancel := context.WithCancel(t.Context())
		heard := progress.With(ctx, func(e progress.Event) {
			if int(e.Done) == stop {
				cancel()
			}
		})
		if _, err := runOf(t, heard, m, file, out, common); err == nil && stop > 0 {
			t.Fatalf("stopped after %d: no error", stop)
		}
		journal, _ := os.ReadFile(filepath.Join(out, journalFile))
		journals = append(journals, journal)
		first := -1
		heard = progress.With(t.Context(), func(e progress.Event) {
			if first < 0 {
				first = int(e.Done)
			}
		})
		if _, err := runOf(t, heard, m, file, out, common); err != nil {
			t.Fatal(err)
		}
		if first != stop && stop > 0 {
			t.Errorf("stopped after %d rows, gone on after %d", stop, first)
		}
		if got := content(t, out); got != want {
			t.Errorf("stopped after %d rows:\n%s\nwant\n%s", stop, got, want)
		}
	}
	full := slices.MaxFunc(journals, func(a, b []byte) int { return len(a) - len(b) })
	for cut := 0; cut <= len(full); cut += 1 + len(full)/40 {
		out := filepath.Join(t.TempDir(), "out")
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		p, _ := Open(t.Context(), Job{Source: Source{File: file}, Request: common, Model: "words", Out: out})
		if err := p.manifest(m).write(out); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, journalFile), full[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := runOf(t, t.Context(), m, file, out, common); err != nil {
			t.Fatal(err)
		}
		if got := content(t, out); got != want {
			t.Errorf("killed after %d bytes:\n%s\nwant\n%s", cut, got, want)
		}
	}
}

// Results of different questions are never mixed: a folder is refused, with what differs, unless nothing is in it.
func TestFoldersAreNotMixed(t *testing.T) {
	m, file := words(t), write(t, "items.csv", "text,label", "the cat sat,on", "a dog,ran")
	out := filepath.Join(t.TempDir(), "out")
	bad := common
	bad.Target = "zebra"
	if _, err := runOf(t, t.Context(), m, file, out, bad); err == nil || !strings.Contains(err.Error(),
		"none of the first 2 items can be asked about") {
		t.Fatal(err)
	}
	if _, err := runOf(t, t.Context(), m, file, out, common); err != nil { // which was no reason to keep the folder
		t.Fatal(err)
	}
	if _, err := runOf(t, t.Context(), m, file, out, common); err != nil { // again: nothing is left to do
		t.Fatal(err)
	}
	other := common
	other.Seed = 7
	if _, err := runOf(t, t.Context(), m, file, out, other); err == nil || !strings.Contains(err.Error(),
		"the results of another request; choose another folder") {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("text,label\nthe dog,sat\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := runOf(t, t.Context(), m, file, out, common); err == nil ||
		!strings.Contains(err.Error(), "another content of the file") {
		t.Error(err)
	}
	if _, err := runOf(t, t.Context(), m, file, t.TempDir(), common); err != nil {
		t.Error(err)
	}
	if _, err := runOf(t, t.Context(), m, file, filepath.Dir(file), common); err == nil ||
		!strings.Contains(err.Error(), "is no folder of results") {
		t.Error(err)
	}
	j, err := openJournal(out)
	if err != nil {
		t.Fatal(err)
	}
	defer j.close(true) //nolint:errcheck // of a test
	if _, err := openJournal(out); err == nil || !strings.Contains(err.Error(), "another run is writing") {
		t.Error(err)
	}
}

// A file without items is one clear line.
func TestNoItems(t *testing.T) {
	for want, lines := range map[string][]string{"line 1 has no prompt": {`{"label":"x"}`}, "it is empty": {""},
		"line 1 is no JSON object": {"[1]"}} {
		_, err := Open(t.Context(), Job{Source: Source{File: write(t, "x.jsonl", lines...)}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
	r := common
	r.Prompt = "the"
	for _, r := range []lmkit.Request{r, {Objective: "x"}} {
		if CheckCommon(r) == nil {
			t.Errorf("%+v is taken", r)
		}
	}
	if r, err := ReadCommon(strings.NewReader(`{"methods":["saliency"],"seed":3}`)); err != nil || r.Seed != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := ReadCommon(strings.NewReader(`{"prompt":"the"}`)); err == nil {
		t.Error("a prompt is taken")
	}
}

// Conversations: those of the items, and those that are made of their prompts.
func TestConversations(t *testing.T) {
	file := write(t, "x.csv", "text,messages", `hi,`, `,"[{""role"":""user"",""content"":""ho""}]"`, `,"[{}]"`)
	var said []string
	for x, err := range Items(Source{File: file, Chat: true, System: "be brief", Reply: "so"}, common) {
		if err != nil {
			t.Fatal(err)
		}
		text := x.Wrong
		if text == "" {
			b, _ := json.Marshal(x.Request.Messages)
			text = string(b) + x.said()
		}
		said = append(said, text)
	}
	want := []string{`[{"role":"system","content":"be brief"},{"role":"user","content":"hi"},` +
		`{"role":"assistant","content":"so"}]hi`, `[{"role":"user","content":"ho"}]ho`}
	if !slices.Equal(said[:2], want) || !strings.HasPrefix(said[2], "has messages that are none") {
		t.Errorf("%q, want %q", said, want)
	}
}

// Columns stand where a template names them; what is no template is said.
func TestTemplate(t *testing.T) {
	file := write(t, "x.csv", "text,who", "a film,me", ",you")
	var got []string
	for x, err := range Items(Source{File: file, Template: `{who}: {{{text}}}\nSentiment:`}, common) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, x.Request.Prompt+x.Wrong)
	}
	if want := []string{"me: {a film}\nSentiment:",
		`has nothing in the column "text", which the template names`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, text := range []string{"no column", "{", "}", "{}", "{a", "a}", "{a{b}}", "{{a}}"} {
		if _, err := parseTemplate(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// What a line holds never crashes a reader, and what is read is written as it was.
func FuzzResult(f *testing.F) {
	m, out := words(f), filepath.Join(f.TempDir(), "out")
	if _, err := runOf(f, f.Context(), m, write(f, "items.jsonl", mixed[:2]...), out, common); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(out, "part-00000.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	for l := range bytes.Lines(data) {
		f.Add(l)
	}
	f.Add([]byte(`{"line":1,"attributions":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(data)
		if err != nil {
			return
		}
		first, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(first)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := again.encode(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s, then %s (%v)", first, second, err)
		}
	})
}
