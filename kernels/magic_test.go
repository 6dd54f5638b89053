package kernels

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/train"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		code   string
		magics string
		rest   string
		err    string
	}{
		{"fmt.Println()", "[]", "fmt.Println()", ""},
		{"%lmkit doctor", "[[doctor]]", "", ""},
		{"%lmkit", "[[]]", "", ""},
		{"  %lmkit\tmodels  \n%%\nx()", "[[models]]", "\n%%\nx()", ""},
		{"%lmkits doctor", "[]", "%lmkits doctor", ""},
		{"// %lmkit doctor", "[]", "// %lmkit doctor", ""},
		{"%lmkit a\n%lmkit b", "[[a] [b]]", "\n", ""},
		{"%lmkit train \\\n  --steps 3\nx", "[[train --steps 3]]", "\n\nx", ""},
		{"%%writefile x\n%lmkit doctor", "[]", "%%writefile x\n%lmkit doctor", ""},
		{"%%\n%lmkit doctor", "[[doctor]]", "%%\n", ""},
		{`%lmkit explain "a text" --model runs/x --svg f`, "[[explain runs/x a text --svg f]]", "", ""},
		{`%lmkit explain 'a "text"' --model=runs/x`, `[[explain runs/x a "text"]]`, "", ""},
		{`%lmkit explain --chat "What is it?" --model smollm2 --reply 'It is'`,
			"[[explain smollm2 --chat What is it? --reply It is]]", "", ""},
		{`%lmkit x --model`, "[[x --model]]", "", ""},
		{`%lmkit x "open`, "[[]]", "", `the quote " is not closed`},
		{`%lmkit x \`, "[[]]", "", "nothing to go on with"},
	} {
		magics, rest, err := split(c.code)
		if fmt.Sprint(magics) != c.magics || rest != c.rest || (err == nil) != (c.err == "") || err != nil &&
			!strings.Contains(err.Error(), c.err) {
			t.Errorf("%q gives %v, %q, %v; want %s, %q, %q", c.code, magics, rest, err, c.magics, c.rest, c.err)
		}
	}
}

// Lines inside strings and comments of Go are text; all others that begin with the prefix are commands.
func TestSplitKnowsGo(t *testing.T) {
	magic := "  %lmkit models"
	// Each piece of code: what comes before the line, what after it, and whether the line is text.
	pieces := []struct {
		before, after string
		text          bool
	}{
		{"x := 1", "", false},
		{"fmt.Print(`usage:", "`)", true},
		{"/* how to:", "*/", true},
		{"x := `a` + `b", "`", true},
		{"x := \"`\"", "", false},
		{"x := '`'", "", false},
		{`x := "\"` + "`" + `"`, "", false},
		{`x := '\''`, "// `", false},
		{"// ` and /*", "", false},
		{"x := \"/*\"", "", false},
		{"/* ` \" */ x := `", "`", true},
		{"/* // */", "", false},
		{"x := `// /*`", "", false},
		{"!echo \"it's a ` /*\"", "", false},
		{"%lmkit explain m \"a ` \" \\\n --by word", "", false},
		{"!ls \\\n `pwd", "", false},
		{"x := \"open", "", false},
		{"/* a\nb */ /* c", "*/", true},
		{"/*/", "*/", true},
	}
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		commands := 0
		for range rapid.IntRange(1, 6).Draw(t, "pieces") {
			p := rapid.SampledFrom(pieces).Draw(t, "piece")
			lines = append(lines, p.before, magic, p.after)
			if !p.text {
				commands++
			}
			commands += strings.Count(p.before, "%lmkit")
		}
		code := strings.Join(lines, "\n")
		magics, rest, err := split(code)
		if err != nil || len(magics) != commands {
			t.Fatalf("%d commands (%q), want %d, in\n%s\n%v", len(magics), magics, commands, code, err)
		}
		left, explained := strings.Count(rest, "%lmkit models"), strings.Count(code, "%lmkit explain")
		if left+len(magics)-explained != strings.Count(code, magic) {
			t.Fatalf("%d lines are left of\n%s", left, code)
		}
	})
}

// Arguments are what a POSIX shell makes of the line.
func TestFieldsAsAShell(t *testing.T) {
	sh, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no shell to compare with")
	}
	for _, line := range []string{
		`"\n"`, `'\n'`, `$'\n'`, `\n`, `"a\tb"`, `"\"" "\\"`, `'\'`, `a\ b`, `"\$x" "\a"`, `""`, `'' x`, `$'a\'b\\'`,
		`a"b"'c'd`, `$'\x41\t'`, `"\é" \é`, `"it's" 'a "b"'`,
	} {
		out, err := exec.Command(sh, "-c", `printf '%s\0' `+line).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if got, err := fields(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s gives %q, %v; a shell makes %q of it", line, got, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringMatching(`([ab\\"' ]|\\"|\\\\){0,10}`).Draw(t, "line")
		got, err := fields(line)
		out, wrong := exec.Command(sh, "-c", `printf '%s\0' x `+line).Output()
		if (err != nil) != (wrong != nil) {
			if strings.HasSuffix(line, `\`) {
				return // there a shell waits for more
			}
			t.Fatalf("%s: %v, and a shell: %v", line, err, wrong)
		}
		want := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if err == nil && !slices.Equal(append([]string{"x"}, got...), want) {
			t.Fatalf("%s gives %q; a shell makes %q of it", line, got, want)
		}
	})
}

// What a cell sets by %env is remembered; what stands in a string is not.
func TestRemember(t *testing.T) {
	var l launch
	l.remember("%env A=1\nx := `\n%env B=2\n`\n  %env C \"a\\tb\"")
	if want := []string{"A=1", `C=a\tb`}; !slices.Equal(l.set, want) {
		t.Errorf("%q, want %q", l.set, want)
	}
}

// What is quoted comes back whole.
func TestFieldsGiveBackWhatWasQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.StringMatching(`[^\n]*`)).Draw(t, "arguments")
		var quoted []string
		for _, arg := range want {
			quoted = append(quoted, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(arg)+`"`)
		}
		got, err := fields(strings.Join(quoted, "  "))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q gives %q, %v", quoted, got, err)
		}
	})
}

// A cell keeps its number of lines, so that errors name the right ones.
func FuzzSplit(f *testing.F) {
	for _, code := range []string{"", "%lmkit", "%lmkit a\\\nb", "%lmkit \"\n%%\nx", "%%bash\n%lmkit", "\\\n\\"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		_, rest, _ := split(code)
		if strings.Count(rest, "\n") != strings.Count(code, "\n") {
			t.Errorf("%q becomes %q", code, rest)
		}
	})
}

func FuzzParse(f *testing.F) {
	good := request("id", "execute_request", map[string]any{"code": "x"})
	f.Add(bytes.Join(good.frames("key"), []byte("|")), "key")
	f.Add([]byte("<IDS|MSG>"), "")
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		m, err := parse(bytes.Split(data, []byte("|")), key)
		if err != nil {
			return
		}
		again, err := parse(m.frames(key), key)
		if err != nil || again.header != m.header || len(again.raw) != len(m.raw) {
			t.Errorf("%q changes on its way: %v", data, err)
		}
		_, _ = m.text("code"), m.flag("silent", true)
	})
}

func TestMessages(t *testing.T) {
	m := request("id", "execute_request", map[string]any{"code": "x", "silent": true})
	frames := m.frames("key")
	got, err := parse(frames, "key")
	if err != nil || got.text("code") != "x" || !got.flag("silent", false) ||
		got.header.ID != "id" || string(got.ids[0]) != "lmkit" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := parse(frames, "another"); err == nil {
		t.Error("a wrong key is not noticed")
	}
	got.set("code", "y")
	if again, err := parse(got.frames("key"), "key"); err != nil || again.text("code") != "y" {
		t.Errorf("an edited message: %v", err)
	}
	reply := got.answer("execute_reply", map[string]any{"status": "ok"})
	if reply.parent != got.header || reply.header.Type != "execute_reply" {
		t.Errorf("a reply: %+v", reply)
	}
}

// record is a cell that remembers.
type record struct{ lines []string }

func (r *record) stream(name, text string) { r.lines = append(r.lines, name+": "+text) }
func (r *record) display(id string, data, _ map[string]any, again bool) {
	r.lines = append(r.lines, fmt.Sprintf("display %v %q %v", again, data["text/plain"], data["image/svg+xml"]))
}

func TestRunMagic(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o755); err != nil {
		t.Fatal(err)
	}
	event, err := train.Event{Step: 1, Steps: 2, TrainLoss: 3}.Line()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "m", train.EventsFile), event, 0o644); err != nil {
		t.Fatal(err)
	}
	chart, err := train.Curve(filepath.Join(dir, "m"))
	if err != nil {
		t.Fatal(err)
	}
	var curve strings.Builder
	if err := chart.SVG(&curve); err != nil {
		t.Fatal(err)
	}
	table := train.Heading + "\n" + train.Event{Step: 1, TrainLoss: 3}.Row()
	trains := "cat m/events.jsonl; sleep 0.7; echo note >&2; "
	for _, c := range []struct {
		name, script, arg string
		want              []string
		err               string
	}{
		{"streams", "echo out; echo lmkit: note >&2", "models", []string{"stderr: lmkit: note\n", "stdout: out\n"}, ""},
		{"error", "echo lmkit: note >&2; echo lmkit: it is bad >&2; exit 1", "models",
			[]string{"stderr: lmkit: note\n"}, "it is bad"},
		{"slow end", "echo lmkit: one >&2; echo lmkit: it is bad >&2; sleep 0.7; exit 1", "models",
			[]string{"stderr: lmkit: one\n", "stderr: lmkit: it is bad\n"}, "it is bad"},
		{"a note while it runs", "echo lmkit: note >&2; sleep 0.7; echo out", "models",
			[]string{"stderr: lmkit: note\n", "stdout: out\n"}, ""},
		{"silent error", "exit 3", "models", nil, "the command ended with exit status 3"},
		{"training", trains + `echo '{"end":"ended","step":1,"steps":2,"dir":"m","curve":"m/loss.svg"}'`, "train",
			[]string{fmt.Sprintf("display false %q <nil>", table), "stderr: note\n",
				fmt.Sprintf("display true %q %s", table, curve.String())}, ""},
		{"training that fails", trains + "echo lmkit: no room >&2; exit 1", "train",
			[]string{fmt.Sprintf("display false %q <nil>", table), "stderr: note\n",
				fmt.Sprintf("display true %q <nil>", table)}, "no room"},
		{"no events", "echo hello", "train", nil, "line 1 is no report of a training"},
		{"no help for", "exit 1", "explain", nil, "the command ended with exit status 1"},
		{"no JSON", "echo hello", "explain", nil, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := filepath.Join(t.TempDir(), "lmkit")
			if err := os.WriteFile(script, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			var r record
			err := runMagic(t.Context(), script, dir, os.Environ(), []string{c.arg}, &r)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if !slices.Equal(r.lines, c.want) {
				t.Errorf("shows %q, want %q", r.lines, c.want)
			}
		})
	}
}

// A matrix comes as JSON, and is drawn from it.
func TestRunMagicMatrix(t *testing.T) {
	m := &explain.Matrix{
		Schema: explain.Schema, Method: explain.MethodInfo{Name: "heads"},
		Objective: explain.Logit, Target: explain.Token{ID: 1, Text: "a"},
		Axes: []string{"layer", "head"}, Rows: []string{"layer 0"}, Columns: []string{"0", "1"},
		Values: [][]float64{{0.5, -0.25}}, Unit: "logit",
	}
	var text strings.Builder
	if err := explain.WriteMatrix(&text, m); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "lmkit")
	program := "#!/bin/sh\ncase \"$*\" in *--matrix*--json|inspect*--json) cat matrix.json;; *) exit 1;; esac\n"
	for path, content := range map[string]string{"matrix.json": text.String(), "lmkit": program} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"explain", "m", "text", "--matrix=heads"}, {"inspect", "heads", "m", "text"}} {
		var r record
		if err := runMagic(t.Context(), script, dir, os.Environ(), args, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.lines) != 1 || !strings.Contains(r.lines[0], "heads: why `a`") || !strings.Contains(r.lines[0], "-0.25") {
			t.Errorf("%s shows %q", args, r.lines)
		}
	}
}

// Below the curves of a circuit stands its graph, of as many edges as are asked for, from a file that is gone then.
func TestRunMagicCircuit(t *testing.T) {
	m := &explain.Matrix{
		Schema: explain.Schema, Method: explain.MethodInfo{Name: "circuit"}, Objective: explain.Logit,
		Axes: []string{"ranking", "edges"}, Rows: []string{"EAP"}, Columns: []string{"100%"}, Values: [][]float64{{1}},
	}
	var curves strings.Builder
	if err := explain.WriteMatrix(&curves, m); err != nil {
		t.Fatal(err)
	}
	graph, err := json.Marshal(inspect.Graph{
		Nodes: []inspect.GraphNode{{Name: "embed", Layer: -1}, {Name: "mlp 0"}, {Name: "logits", Layer: 1}},
		Edges: []inspect.GraphEdge{{From: "embed", To: "logits", Score: 3}, {From: "embed", To: "mlp 0", Score: 2},
			{From: "mlp 0", To: "logits", Score: 1}},
		Kept: 3, Leading: 3, Of: 7, Faithfulness: 0.9, Unit: "logit",
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, script := t.TempDir(), filepath.Join(t.TempDir(), "lmkit")
	t.Setenv("TMPDIR", t.TempDir())
	program := "#!/bin/sh\nfor last; do :; done\n" +
		"case \"$*\" in *bad*) exit 1;; *--graph*) cp graph.json \"$last\";; esac\ncat curves.json\n"
	for path, text := range map[string]string{filepath.Join(dir, "curves.json"): curves.String(),
		filepath.Join(dir, "graph.json"): string(graph), script: program} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args  string
		shown int
		want  string
		fails bool
	}{
		{"m clean corrupted", 2, "3 of 7 edges keep 0.90 of the difference", false},
		{"m clean corrupted --edges 1", 2, "drawn: 1 of the largest", false},
		{"m clean corrupted --edges=1", 2, "drawn: 1 of the largest", false},
		{"m clean corrupted --server http://localhost:1", 1, "circuit", false},
		{"m bad corrupted", 0, "", true},
	} {
		var r record
		err := runMagic(t.Context(), script, dir, os.Environ(), append([]string{"inspect", "circuit"},
			strings.Fields(c.args)...), &r)
		if (err != nil) != c.fails || len(r.lines) != c.shown {
			t.Errorf("%s: %v, and shows %q", c.args, err, r.lines)
		} else if !c.fails && !strings.Contains(r.lines[c.shown-1], c.want) {
			t.Errorf("%s shows %q, want %q", c.args, r.lines[c.shown-1], c.want)
		}
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A tree comes as JSON, and is drawn from it.
func TestRunMagicTree(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "lmkit")
	tree := `{"tree":{"outputs":["is","are"],"root":{"test":"contains \"s\"","value":[0.5,0.5],"share":1,"rows":4,` +
		`"yes":{"value":[0.1,0.9],"share":0.5,"rows":2},"no":{"value":[0.8,0.2],"share":0.5,"rows":2}}},` +
		`"agreement":0.75,"commonest":0.5,"r2":0.4,"fitted":4,"held_out":8}`
	program := "#!/bin/sh\ncase \"$*\" in tree*--json) cat tree.json;; *) exit 1;; esac\n"
	for path, text := range map[string]string{"tree.json": tree, "lmkit": program} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var r record
	args := []string{"tree", "m", "texts.txt", "--choices", "is,are"}
	if err := runMagic(t.Context(), script, dir, os.Environ(), args, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.lines) != 1 || !strings.Contains(r.lines[0], "agrees with the model on 75% of 8 inputs") ||
		!strings.Contains(r.lines[0], "contains") {
		t.Errorf("shows %q", r.lines)
	}
}

// An interrupt reaches the command, whose last word is the error.
func TestRunMagicInterrupted(t *testing.T) {
	script := filepath.Join(t.TempDir(), "lmkit")
	text := "#!/bin/sh\ntrap 'echo lmkit: saved >&2; exit 130' INT\necho ready\nwhile :; do sleep 0.01; done\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &until{cancel: cancel}
	err := runMagic(ctx, script, t.TempDir(), os.Environ(), []string{"models"}, c)
	f, ok := err.(*failure)
	if !ok || f.name != "interrupted" || f.text != "saved" {
		t.Errorf("%#v", err)
	}
}

// until is a cell that interrupts at the first output.
type until struct {
	record
	cancel func()
}

func (u *until) stream(string, string) { u.cancel() }

func TestEnv(t *testing.T) {
	s := Settings{Checkout: "/c", Engine: backend.XLACPU, Plugin: "/p.so", Go: "/go/bin/go", Tools: "/t"}
	env := s.Env([]string{"PATH=/bin", "GOPROXY=x", "GOFLAGS=-mod=mod", "GOWORK=off", "HOME=/h",
		backend.EnvEngine + "=go", backend.EnvTune + "=off"})
	for name, want := range map[string]string{
		"PATH": "/t:/bin:/go/bin", "GOPROXY": "off", "GOFLAGS": linkFlags, "HOME": "/h", "CGO_ENABLED": "1",
		backend.EnvEngine: backend.XLACPU, backend.EnvPlugins: "/p.so",
	} {
		if got := lookup(env, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	if slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "GOWORK=") }) {
		t.Error("GOWORK is set: the workspace of the cells is not seen")
	}
	s.Engine = backend.Go
	if got := lookup(s.Env([]string{backend.EnvPlugins + "=/mine"}), backend.EnvPlugins); got != "/mine" {
		t.Errorf("the user's folder of plugins became %s", got)
	}
	if lookup(s.Env(nil), "CGO_ENABLED") != "0" {
		t.Error("pure Go is built with a C compiler")
	}
}

// Names of what is imported for every cell do not clash, or a cell could not use them.
func TestPackages(t *testing.T) {
	checkout, err := Checkout("")
	if err != nil {
		t.Fatal(err)
	}
	all, err := packages(checkout)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, path := range all {
		name := path[strings.LastIndexByte(path, '/')+1:]
		if seen[name] != "" {
			t.Errorf("%s and %s have the same name", seen[name], path)
		}
		seen[name] = path
	}
	for _, name := range []string{"lmkit", "lm", "explain", "token", "train", "plant", "notebook", "render"} {
		if seen[name] == "" {
			t.Errorf("%s is not imported for cells", name)
		}
	}
	for _, name := range []string{"cli", "net", "backendtest"} {
		if seen[name] != "" {
			t.Errorf("%s is imported for cells", seen[name])
		}
	}
}

func TestKernelsListAndUninstall(t *testing.T) {
	folder := t.TempDir()
	in := Installation{Folder: folder}
	s := Settings{Checkout: "/nowhere", Engine: backend.Go, Tools: tools(folder), Go: "/usr/bin/go"}
	if err := os.MkdirAll(s.Tools, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "kernels", "other"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := in.write(s); err != nil {
		t.Fatal(err)
	}
	all, err := List(folder)
	if err != nil || len(all) != 1 || all[0].Name != "lmkit-go" || !strings.Contains(all[0].Problem, "is gone") {
		t.Fatalf("%+v, %v", all, err)
	}
	text, err := readSpec(all[0].Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Tools, "lmkit"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	want := Settings{Checkout: s.Checkout, Engine: "go", Tools: s.Tools, Go: s.Go}
	if got, err := text.settings(); err != nil || got != want {
		t.Errorf("the settings come back as %+v, %v", got, err)
	}
	removed, err := Uninstall(folder)
	if err != nil || len(removed) != 2 {
		t.Errorf("removed %v, %v", removed, err)
	}
	left, _ := filepath.Glob(filepath.Join(folder, "*", "*"))
	if len(left) != 1 || filepath.Base(left[0]) != "other" {
		t.Errorf("left: %v", left)
	}
	if removed, err := Uninstall(folder); err != nil || len(removed) != 0 {
		t.Errorf("a second time: %v, %v", removed, err)
	}
}

func TestReadConnection(t *testing.T) {
	for text, want := range map[string]string{
		"{":                   "unexpected end",
		`{"transport":"udp"}`: `the transport "udp"`,
		`{"transport":"tcp","signature_scheme":"md5"}`: `signatures by "md5"`,
	} {
		file := filepath.Join(t.TempDir(), "c.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readConnection(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestVenvSetupSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Venv{filepath.Join(t.TempDir(), "v")}.Setup(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "python3 is not found") {
		t.Errorf("without Python: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err = Venv{filepath.Join(file, "v")}.Setup(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "set XDG_CACHE_HOME") {
		t.Errorf("into a file: %v", err)
	}
}
