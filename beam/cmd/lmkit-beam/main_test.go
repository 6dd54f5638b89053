package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/cli"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// asCommand makes the program of the tests the command.
const asCommand = "LMKIT_BEAM_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command is a run of lmkit-beam.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], append(args, "--engine=go")...)
	c.Env = append(os.Environ(), asCommand+"=1", "LMKIT_TUNE=off")
	return c
}

// other is a run of the command lmkit.
func other(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cli.Main(append(args, "--engine=go"), strings.NewReader(""), &out, &errs)
	return out.String() + errs.String()
}

// output is what the command lmkit says on stdout.
func output(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Main(append(args, "--engine=go"), strings.NewReader(""), &out, &errs); code != 0 {
		t.Errorf("%q: %d, %s", args, code, errs.String())
	}
	return out.String()
}

// write makes a file.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// model is the folder of a small Transformer with random weights.
func model(t *testing.T) string {
	t.Helper()
	tok, err := token.NewWord(slices.Values([]string{"the a cat dog sat ran on mat rug good bad"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.Transformer, Layers: 1, Width: 8, Heads: 2, Context: 12,
		Vocab: tok.Size()}, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := filepath.Join(t.TempDir(), "model")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// item is a row of a file.
type item struct {
	ID    string `parquet:"id" json:"id"`
	Text  string `parquet:"text" json:"text"`
	Label string `parquet:"label" json:"label"`
}

// items are rows, some of which are broken: IDs that are there already, in other parts, too, texts that are too long,
// and none.
func items(n int) (rows []item) {
	for i := range n {
		x := item{fmt.Sprint(i), "the " + []string{"cat", "dog", "rug"}[i%3] + " sat", []string{"on", "good"}[i%2]}
		switch {
		case i%101 == 100:
			x.ID = "3"
		case i%50 == 7:
			x.Text = strings.Repeat("the cat ", 10)
		case i%50 == 9:
			x.Text = ""
		}
		rows = append(rows, x)
	}
	return rows
}

// lines is the same as lines of JSON, and lines that are none.
func lines(rows []item) string {
	var b strings.Builder
	for i, x := range rows {
		fmt.Fprintf(&b, "{\"id\":%q,\"text\":%q,\"label\":%q,\"more\":%d}\n", x.ID, x.Text, x.Label, i)
		if i%70 == 4 {
			b.WriteString("{oops\n")
		}
	}
	return b.String()
}

// content is all that a folder holds.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		data, err := os.ReadFile(filepath.Join(dir, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[n.Name()] = string(data)
	}
	return all
}

// same fails where two folders differ in a byte.
func same(t *testing.T, got, want string) {
	t.Helper()
	a, b := content(t, got), content(t, want)
	for name := range b {
		if a[name] != b[name] {
			t.Errorf("%s differs:\n%.400s\nwant\n%.400s", name, a[name], b[name])
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d files, want %d", len(a), len(b))
	}
}

// The folder is that of lmkit explain --file, byte for byte, dead letters among it; what is broken is told with its
// line, and counts add up; the other command sums it up.
func TestAsExplain(t *testing.T) {
	m, rows := model(t), items(2*batch.PartRows+40)
	var packed bytes.Buffer
	if err := parquet.Write(&packed, rows); err != nil {
		t.Fatal(err)
	}
	request := write(t, "request.json", `{"methods":["occlusion"],"by":"word"}`)
	for _, file := range []string{write(t, "x.jsonl", lines(rows)), write(t, "x.parquet", packed.String())} {
		out, want := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "want")
		args := []string{"--model", m, "--input", file, "--output", out, "--request", request, "--template", "a {text}"}
		if said, err := command(t, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		said := other(t, "explain", m, "--file", file, "--out", want, "--request", request, "--template", "a {text}")
		same(t, out, want)
		done, err := batch.ReadManifest(out)
		if err != nil || !done.Done || done.Explained+done.Failed != done.Rows || done.Failed < 20 || done.Rows < len(rows) {
			t.Errorf("%+v, %v; %s", done, err, said)
		}
		failed := 0
		for f, err := range batch.Failures(out) {
			if err != nil || f.Line < 1 || f.Error == "" {
				t.Error(f, err)
			}
			failed++
		}
		if failed != done.Failed {
			t.Errorf("%d failures, %d of them counted", failed, done.Failed)
		}
		if said := other(t, "summarize", out); !strings.Contains(said, "occlusion of") {
			t.Error(said)
		}
	}
}

// A suite that was scored in parts has the report of lmkit bias, byte for byte; the folder is that of lmkit bias --out;
// a pair without a score is told with its number, and counts add up.
func TestAsBias(t *testing.T) {
	m, words := model(t), strings.Fields("the a cat dog sat ran on mat rug good bad")
	var pairs strings.Builder
	pairs.WriteString("id,one,other,group,cluster\n")
	for i := range 2*batch.PartRows + 40 {
		word := func(k int) string { return words[(i*7+i*i/11+k)%len(words)] }
		fmt.Fprintf(&pairs, "%d,%s %s %s,%s %s %s,g%d,c%d\n", i, word(0), word(1), word(2), word(3), word(1),
			word(2+i%2*5), i%3, i%17)
	}
	pairs.WriteString("long," + strings.Repeat("the cat ", 10) + ",the cat,g1,c1\nnone,,the cat,g1,c1\n")
	suite := write(t, "pairs.csv", pairs.String())
	for _, protocol := range []string{"total", "conditional"} {
		out, want := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "want")
		said, err := command(t, "--model", m, "--suite", suite, "--protocol", protocol, "--output", out).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		report := output(t, "bias", m, "--suite", suite, "--protocol", protocol, "--json", "--worst", "4")
		if got := output(t, "summarize", out, "--json", "--worst", "4"); got != report || len(got) < 1000 {
			t.Errorf("the report differs:\n%.2000s\nwant\n%.2000s", got, report)
		}
		if got := output(t, "bias", m, "--suite", suite, "--protocol", protocol, "--json", "--worst", "4", "--out",
			want); got != report {
			t.Errorf("by way of a folder it differs:\n%.2000s\nwant\n%.2000s", got, report)
		}
		same(t, out, want)
		done, err := batch.ReadManifest(out)
		if err != nil || !done.Done || done.Rows != 2*batch.PartRows+41 || done.Explained+done.Failed != done.Rows {
			t.Errorf("%+v, %v", done, err)
		}
		failed := 0
		for f, err := range batch.Failures(out) {
			if err != nil || f.Line < 1 || f.ID == "" || f.Error == "" {
				t.Error(f, err)
			}
			failed++
		}
		if failed != done.Failed || protocol == "conditional" && failed < 100 {
			t.Errorf("%s: %d failures, %d of them counted", protocol, failed, done.Failed)
		}
		if page := output(t, "summarize", out); !strings.Contains(page, "prefers") {
			t.Error(page)
		}
	}
}

// Each flag of lmkit explain that may stand beside --file and --request, which says the rest, is one of lmkit-beam with
// the same name; and so is each of lmkit bias that says which pairs are scored, and how.
func TestFlagsAreThoseOfLmkit(t *testing.T) {
	ours := map[string]*flag.Flag{}
	own.VisitAll(func(f *flag.Flag) { ours[f.Name] = f })
	called := map[string]string{"file": "input", "out": "output"}
	// What is about one explanation, about the report, about a server, or prints the request.
	not := map[string][]string{
		"explain": {"ids", "messages", "json", "html", "svg", "png", "strict", "print-request", "server", "server-token",
			"help"},
		"bias": {"json", "html", "worst", "draws", "seed", "help"},
	}
	for name, args := range map[string][]string{
		"explain": {"explain", "none", "--file", "none.jsonl", "--out", filepath.Join(t.TempDir(), "out"), "--request",
			write(t, "request.json", "{}"), "--chat"},
		"bias": {"bias", "none", "--suite", "none.csv"},
	} {
		found := 0
		listed := regexp.MustCompile(`(?m)^ +(?:-\w, |    )--([a-z-]+)`)
		for _, m := range listed.FindAllStringSubmatch(other(t, name, "-h"), -1) {
			theirs := m[1]
			if slices.Contains(not[name], theirs) {
				continue
			}
			value := map[bool]string{true: "--" + theirs + "=1", false: "--" + theirs}[theirs != "chat"]
			if strings.Contains(other(t, append(args, value)...), "cannot go with --request") {
				continue // the request says it
			}
			found++
			f := ours[cmp.Or(called[theirs], theirs)]
			if f == nil {
				t.Errorf("lmkit %s has --%s, and lmkit-beam has not", name, theirs)
			}
		}
		if found < 4 {
			t.Errorf("only %d flags of lmkit %s were compared:\n%s", found, name, other(t, name, "-h"))
		}
	}
}

// Labels and scores come in parts, too, which lmkit summarize reads.
func TestLabelsAndScores(t *testing.T) {
	m, file := model(t), write(t, "x.jsonl", lines(items(batch.PartRows+40)))
	for want, args := range map[string][]string{"with a label": {"--labels", "on,good", "--parquet"},
		"perplexity": {"--score"}} {
		out := filepath.Join(t.TempDir(), "out")
		said, err := command(t, append(args, "--model", m, "--input", file, "--output", out)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		if said := other(t, "summarize", out); !strings.Contains(said, want) {
			t.Errorf("%q has no %q", said, want)
		}
	}
}

// A run that was killed goes on with what it left, and leaves what one that was not killed leaves.
func TestResume(t *testing.T) {
	m, file := model(t), write(t, "x.jsonl", lines(items(5*batch.PartRows)))
	request := write(t, "request.json", `{"methods":["occlusion"]}`)
	run := func(out string) *exec.Cmd {
		return command(t, "--model", m, "--input", file, "--output", out, "--request", request)
	}
	whole, out := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "out")
	if said, err := run(whole).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	first := run(out)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	for here := 0; here == 0 && len(ended) == 0; time.Sleep(2 * time.Millisecond) {
		names, _ := filepath.Glob(filepath.Join(out, "part-*.jsonl"))
		here = len(names)
	}
	_ = first.Process.Kill() // it may have ended
	<-ended
	kept, _ := os.Stat(filepath.Join(out, "part-00000.jsonl"))
	t.Logf("killed with %d files", len(content(t, out)))
	if said, err := run(out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	same(t, out, whole)
	if now, err := os.Stat(filepath.Join(out, "part-00000.jsonl")); err != nil || kept != nil &&
		!now.ModTime().Equal(kept.ModTime()) {
		t.Errorf("the part that was there has been made again: %v", err)
	}
	wrong := write(t, "other.json", `{"methods":["occlusion"],"seed":4}`)
	said, err := command(t, "--model", m, "--input", file, "--output", out, "--request", wrong).CombinedOutput()
	if err == nil || !strings.Contains(string(said), "the results of another request") {
		t.Errorf("%v: %s", err, said)
	}
}

// What is missing or wrong is said in one line, before anything is opened.
func TestMistakes(t *testing.T) {
	m, file := model(t), write(t, "x.txt", "the cat\n")
	good, bad := write(t, "request.json", `{}`), write(t, "bad.json", `{"method":"occlusion"}`)
	all := func(more ...string) []string {
		return append([]string{"--model", m, "--input", file, "--output", "x", "--request", good}, more...)
	}
	for want, args := range map[string][]string{
		"--model is missing":              {"--input", file, "--output", "x", "--request", good},
		"give one of":                     {"--model", m, "--input", file, "--output", "x"},
		"give one of --request, --labels": all("--score"),
		"belongs to no flag":              all("more"),
		"belong to --chat":                all("--reply", "so"),
		"method":                          {"--model", m, "--input", file, "--output", "x", "--request", bad},
		"no runner \"nope\"":              all("--runner=nope"),
		"belong to --suite":               all("--limit=3"),
		"computed in float32 or bf16":     all("--precision=bf8"),
		"without flags about items":       all("--suite=x.csv"),
		"there is no protocol":            {"--model", m, "--suite", "x.csv", "--output", "x", "--protocol", "sum"},
		"there is no suite \"nope\"":      {"--model", m, "--suite", "nope", "--output", "x"},
	} {
		c := command(t)
		c.Args = append(c.Args, args...)
		said, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(said), want) || strings.Count(string(said), "\n") != 1 {
			t.Errorf("%q: %v, %s", args, err, said)
		}
	}
}
