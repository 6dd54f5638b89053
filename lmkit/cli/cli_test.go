package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/hub/hubtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lmkit": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// Scripts run on the pure-Go engine, which starts at once, unless they say otherwise.
func TestScripts(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	llama, err := filepath.Abs("../lm/testdata/families/llama.gguf")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv(backend.EnvEngine, backend.Go)
			e.Setenv("XDG_CACHE_HOME", cache)
			e.Setenv(backend.EnvCache, os.Getenv(backend.EnvCache))
			e.Setenv("COLUMNS", "100")
			e.Setenv("LLAMA", llama)
			e.Setenv("TINY", "--layers=1 --width=8")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "hex": writeHex, "cut": cut,
			"attributions": attributions, "alike": alike, "matrix": matrix},
	})
}

// code N PROGRAM ARGS...: the exit code is N; when it is not 0, stderr is one line that begins with "lmkit: ".
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if said := ts.ReadFile("stderr"); want != 0 && !oneError.MatchString(said) {
		ts.Fatalf("stderr is not one line of an error: %q", said)
	}
}

var oneError = regexp.MustCompile(`^lmkit: [^\n]+\n$`)

// hex FILE DIGITS: write a file of these bytes.
func writeHex(ts *testscript.TestScript, neg bool, args []string) {
	data, err := hex.DecodeString(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// cut FILE BYTES [DIGITS]: keep only the first bytes of a file, and write others over its start.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	data = data[:min(n, len(data))]
	if len(args) > 2 {
		start, err := hex.DecodeString(args[2])
		ts.Check(err)
		copy(data, start)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// attributions FILE METHOD...: the file holds these attributions, and nothing else.
func attributions(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	as, err := explain.Read(strings.NewReader(text))
	ts.Check(err)
	var names []string
	for _, a := range as {
		names = append(names, a.Method.Name)
	}
	if got, want := strings.Join(names, " "), strings.Join(args[1:], " "); got != want {
		ts.Fatalf("methods %s, want %s", got, want)
	}
	var again bytes.Buffer
	ts.Check(explain.Write(&again, as...))
	if again.String() != text {
		ts.Fatalf("writing what was read gives another text")
	}
}

// matrix FILE METHOD ROWS COLUMNS: the file holds this matrix, and nothing else.
func matrix(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	m, err := explain.ReadMatrix(strings.NewReader(text))
	ts.Check(err)
	if got, want := fmt.Sprintf("%s %d %d", m.Method.Name, len(m.Rows), len(m.Columns)),
		strings.Join(args[1:], " "); got != want {
		ts.Fatalf("matrix %s, want %s", got, want)
	}
	var again bytes.Buffer
	ts.Check(explain.WriteMatrix(&again, m))
	if again.String() != text {
		ts.Fatalf("writing what was read gives another text")
	}
}

// alike FILE FILE: the attributions are the same but for the seconds that they took.
func alike(ts *testscript.TestScript, neg bool, args []string) {
	var texts []string
	for _, name := range args {
		as, err := explain.Read(strings.NewReader(ts.ReadFile(name)))
		ts.Check(err)
		for _, a := range as {
			a.Cost.Seconds, a.Cost.CompileSeconds = 0, 0
		}
		var text bytes.Buffer
		ts.Check(explain.Write(&text, as...))
		texts = append(texts, text.String())
	}
	if (texts[0] == texts[1]) == neg {
		ts.Fatalf("%s and %s are alike: %v", args[0], args[1], !neg)
	}
}

func commands() []*cobra.Command {
	var a app
	return a.root().Commands()
}

// The examples of the help are run, in their order, in one folder: they work, and they begin from nothing but a text.
func TestExamples(t *testing.T) {
	t.Setenv(backend.EnvCache, t.TempDir()) // which an example clears
	runExamples(t, backendtest.Either(t), func(line string) bool { return !strings.Contains(line, "smollm2") })
	for _, name := range []string{"why.html", "compare.html", filepath.Join("runs", "lstm", "loss.svg")} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

// Those that take a real model work, too.
func TestExamplesOfSmolLM2(t *testing.T) {
	hubtest.SmolLM2(t)
	runExamples(t, backendtest.Engine(t), func(line string) bool { return strings.Contains(line, "smollm2") })
}

// runExamples runs the examples that are wanted, in a folder with a text and a file of facts.
func runExamples(t *testing.T, e *backend.Engine, wanted func(line string) bool) {
	t.Setenv(backend.EnvEngine, e.Kind)
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"input.txt": strings.Repeat("the keys near the box are on the table\n", 40),
		"lines.txt": "the keys near the box are on the table\nthe box is on the table\n",
		"reviews.csv": "review,label\n" +
			strings.Repeat("a good film,good\na bad film,bad\na good story,good\na bad story,bad\n", 20),
		"items.jsonl": `{"prompt":"the keys near the box","target":"are","label":"are","passage":"the keys"}` + "\n" +
			`{"prompt":"the box","label":"is"}` + "\n",
		"said.csv":     "text,label,said\n" + strings.Repeat("a good film,good,good\na bad film,bad,good\n", 40),
		"test.csv":     "review,label\na good film,good\na bad story,bad\n",
		"pairs.csv":    "singular,plural\nthe key is on the table,the key are on the table\n",
		"pairs.txt":    "ein mann in einem blauen hemd . => a man in a blue shirt .\nzwei hunde . => two dogs .\n",
		"facts.txt":    "capital: The capital of {France|Japan} is {Paris|Tokyo}\n",
		"labelled.csv": "text,label\nthe keys near the box,are\nthe box,is\n",
		"reviews.txt":  strings.Repeat("a good film\na bad film\na good story\na bad story\n", 6),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range commands() {
		if c.Example == "" {
			t.Errorf("%s -h shows no example", c.Name())
		}
		if c.Name() == "serve" { // serves until it is stopped, and is asked by another program
			continue
		}
		for line := range strings.Lines(c.Example) {
			args := words(t, line)
			if args[1] != c.Name() {
				t.Fatalf("an example of %s runs %s", c.Name(), args[1])
			}
			switch args[1] {
			case "demo", "notebook", "pull": // has its own test, and takes a minute; opens a browser; needs a network
				continue
			case "docs":
				args = append(args, "--no-browser")
			case "leaderboard":
				args = append(args, "--items", "1")
			}
			if testing.Short() && (args[1] == "leaderboard" || args[1] == "train") { // small models that learn little do
				args = append(args, less(args)...)
			}
			if !wanted(line) || slices.Contains(args, "--server") { // asks a server, which has tests of its own
				continue
			}
			var out, errs bytes.Buffer
			if code := Main(args[1:], strings.NewReader(""), &out, &errs); code != 0 {
				t.Errorf("%s: exit code %d: %s", strings.TrimSpace(line), code, errs.String())
			}
		}
	}
}

// less are flags for a smaller model, where it is a new one, that learns for a shorter time.
func less(args []string) (flags []string) {
	if slices.Contains(args, "--inside") { // its models have one width, and this one learns in seconds
		return nil
	}
	if !slices.Contains(args, "--resume") && !slices.Contains(args, "--from") {
		flags = append(flags, "--width", "16")
	}
	if !slices.Contains(args, "--resume") && !slices.Contains(args, "--epochs") {
		flags = append(flags, "--steps", "10")
	}
	return flags
}

// words splits a line as a shell does, with no quotes but double ones.
func words(t *testing.T, line string) (ws []string) {
	for i, part := range strings.Split(strings.TrimSpace(line), `"`) {
		if i%2 == 1 {
			ws = append(ws, part)
		} else {
			ws = append(ws, strings.Fields(part)...)
		}
	}
	if len(ws) < 2 || ws[0] != "lmkit" {
		t.Fatalf("an example is no command: %q", line)
	}
	return ws
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"512MB": 512 << 20, "1.5 gb": 3 << 29, "7": 7, "2KB": 2048} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "NaN", "inf", "1TB", "9e99GB"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
