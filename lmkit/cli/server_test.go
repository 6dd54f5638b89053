package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/serve"
	"lmkit.internal/lmkit/token"
)

// With --server a command writes what it writes by itself, to the byte: results, pictures, pages, notes and errors.
func TestServer(t *testing.T) {
	t.Setenv(backend.EnvEngine, backend.Go)
	dir := filepath.Join(t.TempDir(), "tiny")
	text := "what is the capital of France? it is Paris. the capital on Germany"
	tok, err := token.TrainBPE(t.Context(), slices.Values([]string{text}), 300)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.Transformer, Layers: 2, Width: 16, Heads: 2,
		Context: 64, Vocab: tok.Size()}, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Save(dir); err != nil {
		t.Fatal(err)
	}
	fresh.Close()
	const template = "{% for m in messages %}{{ m.role }} {{ m.content }}\n{% endfor %}"
	if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := lm.Open(backendtest.PureGo(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s, err := serve.New(serve.Config{Models: []serve.Model{{Name: "tiny", Model: m}}, Token: "sesame"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var asked []string
	l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		s.ServeHTTP(w, r)
	}))
	defer l.Close()
	lines := filepath.Join(t.TempDir(), "lines.txt")
	if err := os.WriteFile(lines, []byte("it is Paris\n\nwhat is\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	labelled := filepath.Join(t.TempDir(), "labelled.tsv")
	if err := os.WriteFile(labelled, []byte(strings.Repeat("it is Paris\ta\nwhat is\tb\n", 12)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LMKIT_TOKEN", "sesame")
	for _, args := range [][]string{
		{"explain", dir, "the capital of"},
		{"explain", dir, "the capital of", "--method", "occlusion,attn-lrp", "--by", "word", "--seed", "3"},
		{"explain", dir, "the capital of", "--json", "--target", " is", "--foil", " of", "--method", "shapley"},
		{"explain", dir, "the capital of", "--matrix", "attention"},
		{"explain", dir, "the capital of", "--generate", "3", "--matrix", "answer", "--method", "occlusion"},
		{"explain", dir, "the capital of", "--target", "#99999"},
		{"explain", dir, "--ids", "3,99999"},
		{"explain", dir, "the capital of", "--objective", "x"},
		{"explain", dir, "the capital of", "--method", "all", "--tolerance", "1e-9", "--strict"},
		{"compare", dir, "the capital of"},
		{"inspect", "lens", dir, "the capital of", "--show", "rank", "--mid"},
		{"inspect", "patch", dir, "the capital of", "the capital on", "--at", "z"},
		{"inspect", "patch", dir, "the capital of", "the"},
		{"inspect", "direct", dir, "the capital of", "--by", "head"},
		{"inspect", "path", dir, "the capital of", "the capital on"},
		{"inspect", "circuit", dir, "the capital of", "the capital on"},
		{"inspect", "heads", dir, "the capital of"},
		{"inspect", "heads", dir, "--show", "copying", "--texts", "3"},
		{"inspect", "steer", dir, labelled, "--target", "#9", "--foil", "#8", "--strength", "1,2", "--json"},
		{"inspect", "probe", dir, labelled, "--untrained=false"},
		{"inspect", "patch", dir, "the capital of", "the", "--positions", "2,0"},
		{"inspect", "patch", dir, "the capital of", "the capital on", "--positions", "2,2", "--at", "z"},
		{"generate", dir, "the capital of", "--tokens", "9"},
		{"generate", dir, "the capital of", "--tokens", "5", "--n", "3", "--seed", "7", "--top-k", "20"},
		{"generate", dir, "the capital of", "--temperature", "0", "--stop", "a", "--top-p", "0.9", "--past-end"},
		{"generate", dir, "the capital of", "--top-p", "2"},
		{"generate", dir, "--chat", "the capital of", "--system", "it is", "--tokens", "5"},
		{"score", dir, "it is Paris"},
		{"score", dir, "--file", lines, "--json"},
	} {
		here, there := outcome(t, args), outcome(t, append(slices.Clone(args), "--server", l.URL))
		for i := range here {
			if here[i] != there[i] {
				at := 0
				for at < min(len(here[i]), len(there[i])) && here[i][at] == there[i][at] {
					at++
				}
				t.Errorf("%q: by itself, from byte %d of part %d on\n%.300s\nand with --server\n%.300s", args, at, i,
					here[i][at:], there[i][at:])
			}
		}
	}
	var said []string // of a conversation, line by line, each with what was said before
	for _, where := range [][]string{nil, {"--server", l.URL}} {
		var out, errs bytes.Buffer
		args := append([]string{"generate", dir, "--chat", "--tokens", "4", "--system", "it is"}, where...)
		code := Main(args, strings.NewReader("what is\n\nthe capital\n"), &out, &errs)
		said = append(said, fmt.Sprint(code, &out, &errs))
	}
	if said[0] != said[1] || strings.Count(said[0], "\n") < 2 {
		t.Errorf("a conversation is %q here, and %q by a server", said[0], said[1])
	}
	for _, url := range asked {
		if strings.Contains(url, "sesame") {
			t.Errorf("the token stands in %s", url)
		}
	}
	for _, x := range []struct {
		code int
		says string
		args []string
	}{
		{2, "LMKIT_TOKEN", []string{"explain", dir, "a", "--server", l.URL + "?token=sesame"}},
		{2, "no address", []string{"explain", dir, "a", "--server", "localhost:8017"}},
		{2, "lmkit serve starts", []string{"explain", dir, "a", "--server", l.URL, "--engine", "go"}},
		{2, "belongs to --server", []string{"explain", dir, "a", "--server-token", "x"}},
		{2, "--graph", []string{"inspect", "circuit", dir, "a", "b", "--graph", "x.svg", "--server", l.URL}},
		{2, "--ids takes a model", []string{"generate", dir, "--ids", "1,2", "--server", l.URL}},
		{2, "--steer takes a model", []string{"generate", dir, "a", "--steer", "x.gguf", "--server", l.URL}},
		{2, "--explain takes a model", []string{"generate", dir, "a", "--explain", "occlusion", "--server", l.URL}},
		{1, "the 64 that the model can read", []string{"generate", dir, strings.Repeat("what ", 100), "--server", l.URL}},
		{2, "--untrained=false", []string{"inspect", "probe", dir, labelled, "--server", l.URL}},
		{2, "--vector takes a model", []string{"inspect", "steer", dir, labelled, "--target", "#9", "--foil", "#8",
			"--vector", "x.gguf", "--server", l.URL}},
		{1, "--dictionary", []string{"inspect", "dictionary", dir, "a", "--from", "x", "--server", l.URL}},
		{1, "asks for its token", []string{"explain", dir, "a", "--server", l.URL, "--server-token", "x"}},
		{1, "there are: tiny", []string{"explain", "other", "a", "--server", l.URL}},
		{1, "lmkit serve starts one", []string{"explain", dir, "a", "--server", "http://127.0.0.1:1"}},
	} {
		var out, errs bytes.Buffer
		if code := Main(x.args, strings.NewReader(""), &out, &errs); code != x.code || out.Len() > 0 ||
			!strings.Contains(errs.String(), x.says) || strings.Contains(errs.String(), "sesame") {
			t.Errorf("%q: exit code %d: %s%s, want %d and %q", x.args, code, &errs, &out, x.code, x.says)
		}
	}
}

// outcome is everything that a command gives, but for the seconds that it took: its exit code, what it writes, its page
// and its picture.
func outcome(t *testing.T, args []string) (all []string) {
	t.Helper()
	dir := t.TempDir()
	forms := []string{"html", "svg", "png"}
	if args[0] == "score" || args[0] == "compare" || args[0] == "generate" { // whose page has a table of seconds
		forms = nil
	} else if args[0] == "explain" && !slices.Contains(args, "--matrix") {
		forms = forms[:1] // pictures are of one method
	}
	for _, form := range forms {
		args = append(args, "--"+form, filepath.Join(dir, "x."+form))
	}
	var out, errs bytes.Buffer
	code := Main(args, strings.NewReader(""), &out, &errs)
	all = []string{fmt.Sprint(code), out.String(), errs.String()}
	for _, form := range forms {
		file, err := os.ReadFile(filepath.Join(dir, "x."+form))
		if form == "png" { // whose pixels show the seconds
			file = nil
		}
		all = append(all, string(file), fmt.Sprint(errors.Is(err, fs.ErrNotExist)))
	}
	for i := range all {
		one := strings.Join(strings.Fields(strings.ReplaceAll(all[i], dir, "DIR")), " ") // lines break by their length
		all[i] = clock.ReplaceAllString(one, "TIME")
	}
	return all
}

// clock is whatever of an output depends on how fast it was.
var clock = regexp.MustCompile(`[\d.]+(e-\d+)? ?m?s\b|[\d.]+ texts a second|"(compile_)?seconds": [\d.e-]+|` +
	`seconds( [\d.e-]+)+`)
