package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lmkit.internal/docs"
	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/hub"
	"lmkit.internal/lmkit/internal/hub/hubtest"
)

// The rules of the manual (the README and the pages of docs/) that the tests in this file keep:
//
//   - A fenced block without a name is commands, and every one is run, in their order and in one folder a document.
//     So is each command in the README's tables, where it looks like none of unrun.
//   - A command that is not run says why, in a comment at its end: one of unrun. lmkit demo and lmkit leaderboard are
//     left to tests of their own (TestExamples runs the second one).
//   - A command that an earlier document has in the same words, and that reads no file of the reader's, is run once:
//     what it printed, and the files that it wrote, are what the later document gets. So one says the same thing in the
//     same words.
//   - A block named "text" is what the last command before it prints: in it ... stands for lines that are left out.
//     Numbers are compared to the digits that are shown, where neither the command's data are made up by the test nor
//     its training is shortened.
//   - A block named after a file is that file.
//   - A command in the middle of a sentence exists, and so do its flags.

// unrun are the reasons for which a command is not run, each with what such a command looks like.
var unrun = map[string]*regexp.Regexp{
	"takes long":            regexp.MustCompile(`^lmkit leaderboard|^go test|^lmkit inspect lens .*--jacobian .*--fit`),
	"installs it":           regexp.MustCompile(`^go install`),
	"opens JupyterLab":      regexp.MustCompile(`^lmkit notebook$`),
	"needs Docker":          regexp.MustCompile(`^docker`),
	"needs Beam's modules":  regexp.MustCompile(`^go build -C beam|^\./lmkit-beam`), // the tests of beam/ run it
	"needs a cluster":       regexp.MustCompile(`^\./lmkit-beam .*--runner`),
	"changes the module":    regexp.MustCompile(`^go mod edit`),
	"changes lmkit's table": regexp.MustCompile(`> lmkit/measured\.json$`),
}

// otherBlocks are names of blocks that are neither commands nor what they print.
var otherBlocks = []string{"go", "cell", "json", "caddy"}

// command is one of a document's, with the files that the document holds and what it is said to print.
type command struct {
	at, line, reason string
	files            map[string]string
	prints           []string
}

// manual returns the README and the pages of the manual, by their names from the module's root, in their order.
func manual(t *testing.T) (names []string, texts map[string]string) {
	t.Helper()
	pages, err := docs.Pages()
	if err != nil {
		t.Fatal(err)
	}
	names = []string{"README.md"}
	for _, p := range pages {
		names = append(names, "docs/"+p.Name+".md")
	}
	texts = map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return names, texts
}

var (
	inTable = regexp.MustCompile("`(lmkit [^`]+)`")
	inline  = regexp.MustCompile("`((?:time )?lmkit [a-z][^`]*)`")
	toFill  = regexp.MustCompile(`\b[A-Z]{3,}\b`) // a word that the reader is to fill in
)

// unrunAs returns the reason for which a command of a table is not run, by what it looks like; "": it is run.
func unrunAs(line string) string {
	for reason, looks := range unrun {
		if looks.MatchString(line) {
			return reason
		}
	}
	return ""
}

// commandsOf cuts a document into its commands. What is wrong with its blocks is an error.
func commandsOf(name, text string) (all []command, err error) {
	files, block, inside, begun := map[string]string{}, "", false, ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\n")
		at := fmt.Sprintf("%s:%d", name, number)
		if rest, ok := strings.CutPrefix(line, "```"); ok {
			block, inside, begun = rest, !inside, ""
			if known := block == "" || block == "text" || strings.Contains(block, ".") ||
				slices.Contains(otherBlocks, block); inside && !known {
				return nil, fmt.Errorf("%s: a block is named %q: no file, and none of %v", at, block, otherBlocks)
			}
			continue
		}
		switch {
		case !inside:
			if name == "README.md" && strings.HasPrefix(line, "|") {
				for _, m := range inTable.FindAllStringSubmatch(line, -1) {
					if !toFill.MatchString(m[1]) {
						all = append(all, command{at: at, line: m[1], reason: unrunAs(m[1])})
					}
				}
			}
		case strings.Contains(block, "."):
			files[block] += line + "\n"
		case block == "text":
			if len(all) == 0 {
				return nil, fmt.Errorf("%s: no command before it prints this", at)
			}
			all[len(all)-1].prints = append(all[len(all)-1].prints, line)
		case block == "":
			more, goesOn := strings.CutSuffix(line, `\`)
			if begun += more; goesOn {
				continue
			}
			c := command{at: at, line: strings.TrimSpace(begun), files: files}
			begun = ""
			if line, reason, ok := strings.Cut(c.line, " # "); ok {
				c.line, c.reason = strings.TrimSpace(line), strings.TrimSpace(reason)
			}
			c.line = strings.Replace(c.line, "go run ./cmd/lmkit", "lmkit", 1)
			if c.line != "" {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// Blocks have names that say what they are, reasons for not running a command are true, and what a sentence says in
// passing exists.
func TestManualIsSound(t *testing.T) {
	names, texts := manual(t)
	used := map[string]bool{}
	for _, name := range names {
		all, err := commandsOf(name, texts[name])
		if err != nil {
			t.Error(err)
		}
		for _, c := range all {
			if looks, ok := unrun[c.reason]; c.reason != "" && (!ok || !looks.MatchString(c.line)) {
				t.Errorf("%s: %q is no reason for not running %s", c.at, c.reason, c.line)
			}
			used[c.reason] = true
		}
		for _, m := range inline.FindAllStringSubmatch(texts[name], -1) {
			if err := exists(t, strings.TrimPrefix(m[1], "time ")); err != nil {
				t.Errorf("%s: `%s`: %v", name, m[1], err)
			}
		}
	}
	for reason := range unrun {
		if !used[reason] {
			t.Errorf("no command is not run because it %s: take the reason out", reason)
		}
	}
}

// exists says what a command lacks: a subcommand or a flag that it names.
func exists(t *testing.T, line string) error {
	var a app
	args := words(t, line)
	cmd, rest, err := a.root().Find(args[1:])
	if err != nil {
		return err
	}
	if !cmd.HasParent() {
		return errors.New("there is no such command")
	}
	cmd.InitDefaultHelpFlag()
	cmd.Flags().AddFlagSet(cmd.InheritedFlags())
	for _, arg := range rest {
		flag, _, _ := strings.Cut(arg, "=")
		if long, ok := strings.CutPrefix(flag, "--"); ok && long != "" && cmd.Flags().Lookup(long) == nil {
			return fmt.Errorf("there is no flag %s", flag)
		}
	}
	return nil
}

// The commands of the manual do what it says.
func TestManual(t *testing.T) {
	if testing.Short() {
		t.Skip("a short run: the manual's commands take minutes")
	}
	backendtest.Engine(t)
	_, err := hub.Find(t.Context(), hub.SmolLM2, hub.Options{})
	names, texts := manual(t)
	r := &reader{without: err, kept: t.TempDir(), ran: map[string]ran{}, stop: func() {}}
	defer func() { r.stop() }()
	for _, name := range names {
		all, err := commandsOf(name, texts[name])
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			r.tainted = standIns(t)
			for _, c := range all {
				if c.reason == "" && !strings.HasPrefix(c.line, "lmkit demo") && !strings.HasPrefix(c.line, "lmkit leaderboard") {
					r.run(t, c)
				}
			}
		})
	}
	t.Run("SmolLM2", func(t *testing.T) { hubtest.SmolLM2(t) }) // says that its commands were left out
}

// reader is somebody who reads the manual, and types what it says.
type reader struct {
	without error             // why SmolLM2 cannot be had
	tainted map[string]string // files that are not what the manual speaks of, or are missing, and why
	ran     map[string]ran    // lines of lmkit, as they were run
	kept    string            // the folder of the files that they wrote
	server  string            // the address of the server that was started
	stop    func()            // ends the server
}

// ran is a line that was run: what it printed, and the folder that has the files that it wrote.
type ran struct{ out, files string }

// missing begins the reason why there is no such file.
const missing = "missing: "

// run runs a command, and compares what it prints with what the manual says.
func (r *reader) run(t *testing.T, c command) {
	t.Helper()
	for name, text := range c.files {
		put(t, name, []byte(text))
	}
	line := shorter(c.line)
	why := ""
	if line != c.line {
		why = "the training is shorter"
	}
	for name, reason := range r.tainted {
		if regexp.MustCompile(`(^|[\s"'=<>(/])` + regexp.QuoteMeta(name) + `($|[\s"'/;),])`).MatchString(line) {
			why = max(why, reason)
		}
	}
	if r.without != nil && strings.Contains(line, "smollm2") {
		why = missing + r.without.Error()
	}
	for _, program := range []string{"jq", "iconv", "shuf", "curl"} {
		if _, err := exec.LookPath(program); err != nil && strings.Contains(line, program+" ") {
			why = missing + program
		}
	}
	if why != "" {
		for _, m := range writes.FindAllStringSubmatch(line, -1) {
			r.tainted[m[1]] = why
		}
	}
	if strings.HasPrefix(why, missing) {
		t.Logf("%s is left out (%s): %s", c.at, why, line)
		return
	}
	begun := time.Now()
	out, err := r.once(t, line)
	t.Logf("%s: %.1f s: %s", c.at, time.Since(begun).Seconds(), line)
	if err != nil {
		t.Errorf("%s: %s: %v", c.at, line, err)
		return
	}
	for _, m := range writes.FindAllStringSubmatch(line, -1) {
		if info, err := os.Stat(m[1]); err != nil || info.Size() == 0 {
			if _, err := os.Stat(m[1] + ".bin"); err != nil { // encode's is the beginning of several names
				t.Errorf("%s: %s wrote no %s", c.at, line, m[1])
			}
		}
	}
	if why == "" {
		if wrong := differs(c.prints, out); wrong != "" {
			t.Errorf("%s: %s: %s", c.at, line, wrong)
		}
	}
}

// writes finds the names of files that a command writes.
var writes = regexp.MustCompile(
	`(?:--(?:out|html|png|svg|graph|vector|tuned|jacobian)[ =]|[^<]> )(\w[\w./-]*)(?:$|[\s;)])`)

var trains = regexp.MustCompile(`(--(?:steps|epochs)) (\d+)`)

// shorter is a command that trains for a shorter time where it would train for long.
func shorter(line string) string {
	if strings.Contains(line, " --from ") && strings.Contains(line, " train ") { // a large model
		return trains.ReplaceAllString(line, "$1 1")
	}
	return trains.ReplaceAllStringFunc(line, func(s string) string {
		m := trains.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		switch {
		case m[1] == "--epochs":
			return m[1] + " 1"
		case n > 400:
			return m[1] + " 20"
		}
		return s
	})
}

// once runs a line, unless an earlier document has it and nothing that it names lies in this document's folder.
func (r *reader) once(t *testing.T, line string) (string, error) {
	t.Helper()
	if !strings.HasPrefix(line, "lmkit ") || forShell(line) {
		return r.execute(t, line)
	}
	if slices.ContainsFunc(words(t, line), func(w string) bool { _, err := os.Stat(w); return err == nil }) {
		return r.execute(t, line)
	}
	if was, ok := r.ran[line]; ok {
		t.Logf("run for an earlier document: %s", line)
		return was.out, os.CopyFS(".", os.DirFS(was.files))
	}
	out, err := r.execute(t, line)
	if err != nil {
		return out, err
	}
	now := ran{out, filepath.Join(r.kept, strconv.Itoa(len(r.ran)))}
	if err := os.Mkdir(now.files, 0o755); err != nil {
		return out, err
	}
	for _, m := range writes.FindAllStringSubmatch(line, -1) {
		if info, err := os.Stat(m[1]); err != nil {
			return out, nil // the beginning of several names: run it again
		} else if info.IsDir() {
			err = os.CopyFS(filepath.Join(now.files, m[1]), os.DirFS(m[1]))
			if err != nil {
				return out, err
			}
		} else if data, err := os.ReadFile(m[1]); err != nil {
			return out, err
		} else {
			put(t, filepath.Join(now.files, m[1]), data)
		}
	}
	r.ran[line] = now
	return out, nil
}

// shell finds what makes a line one for a shell.
var shell = regexp.MustCompile(`[|;&<>*]|\$\(|^\w+=`)

// forShell is whether a line is one for a shell, outside of its quotes.
func forShell(line string) bool {
	return shell.MatchString(regexp.MustCompile(`"[^"$]*"`).ReplaceAllString(line, ""))
}

// execute runs a line: the command in this process, where what was opened and compiled stays, or all of it by a shell.
func (r *reader) execute(t *testing.T, line string) (string, error) {
	if strings.HasPrefix(line, "lmkit serve ") {
		return "", r.serve(words(t, line))
	}
	line = regexp.MustCompile(`(localhost|127\.0\.0\.1):8017`).ReplaceAllString(line, r.server)
	line = strings.Replace(line, "curl -s ", "curl -sS --fail-with-body ", 1)
	if !strings.HasPrefix(line, "lmkit ") || forShell(line) {
		out, err := exec.CommandContext(t.Context(), "bash", "-o", "pipefail", "-c", line).Output()
		if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return string(out), err
	}
	args := words(t, line)
	switch args[1] {
	case "inspect": // fails where an identity does not hold
		args = append(args, "--strict")
	case "docs":
		args = append(args, "--no-browser")
	}
	var out, errs bytes.Buffer
	if code := Main(args[1:], strings.NewReader(""), &out, &errs); code != 0 {
		return "", fmt.Errorf("exit code %d: %s", code, errs.String())
	}
	return out.String(), nil
}

// serve starts a server, once, that is there until stop ends it.
func (r *reader) serve(args []string) error {
	if r.server != "" {
		return nil
	}
	cmd := exec.Command(args[0], append(args[1:], "--port", "0", "--no-browser")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	r.server = strings.Trim(strings.TrimPrefix(strings.TrimSpace(address), "http:"), "/")
	return err
}

var numbers = regexp.MustCompile(`[-+]?\d[\d,]*(?:\.\d+)?`)

// differs says which line of what the manual shows is not printed; "": all are, in their order. Numbers are alike when
// they differ by one in the last digit that is shown, or by 2 %.
func differs(shown []string, printed string) string {
	lines := strings.Split(printed, "\n")
	for _, want := range shown {
		if want = strings.Join(strings.Fields(want), " "); want == "" || want == "..." {
			continue
		}
		at := slices.IndexFunc(lines, func(line string) bool {
			return sameLine(want, strings.Join(strings.Fields(line), " "))
		})
		if at < 0 {
			return fmt.Sprintf("it does not print %q, but\n%s", want, printed)
		}
		lines = lines[at+1:]
	}
	return ""
}

// sameLine is whether two lines have the same words, and numbers that are alike.
func sameLine(want, got string) bool {
	if numbers.ReplaceAllString(want, "#") != numbers.ReplaceAllString(got, "#") {
		return false
	}
	a, b := numbers.FindAllString(want, -1), numbers.FindAllString(got, -1)
	for i := range a {
		x, err := strconv.ParseFloat(strings.ReplaceAll(a[i], ",", ""), 64)
		y, err2 := strconv.ParseFloat(strings.ReplaceAll(b[i], ",", ""), 64)
		_, decimals, _ := strings.Cut(a[i], ".")
		if err != nil || err2 != nil ||
			math.Abs(x-y) > max(1.01*math.Pow(10, -float64(len(decimals))), 0.02*math.Abs(x)) {
			return false
		}
	}
	return true
}

// put writes a file.
func put(t *testing.T, name string, data []byte) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
