// Package notebooks_test executes the notebooks, and checks that what is committed is what they show.
package notebooks_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lmkit.internal/kernels/kernelstest"
)

var update = flag.Bool("update", false, "execute the notebooks, and write their outputs back")

// hanging is how long something may take before the tests conclude that it never ends. A notebook takes about a minute,
// whose length is the machine's business: no test fails because its machine is slow.
const hanging = time.Hour

// The notebooks are sound as they are committed, with the outputs that they were committed with.
func TestCommitted(t *testing.T) {
	if *update {
		t.Skip("the notebooks are about to change")
	}
	for _, path := range notebooks(t) {
		t.Run(name(path), func(t *testing.T) { report(t, path) })
	}
}

// The notebooks execute from top to bottom, and show what they should. With -update they are written back.
func TestExecute(t *testing.T) {
	j := kernelstest.Setup(t)
	for _, path := range notebooks(t) {
		t.Run(name(path), func(t *testing.T) {
			fetch(t, path)
			dir := t.TempDir()
			copied := filepath.Join(dir, path)
			copyFile(t, copied, path)
			ctx, cancel := context.WithTimeout(t.Context(), hanging+time.Minute) // the program keeps the limit itself
			defer cancel()
			seconds := strconv.FormatFloat(hanging.Seconds(), 'f', 0, 64)
			run := j.Python(ctx, filepath.Join("testdata", "execute.py"), copied, seconds)
			run.Env = append(run.Env, "TMPDIR="+t.TempDir()) // where notebooks keep their models
			begin := time.Now()
			out, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", path, err, out)
			}
			t.Logf("%s took %.0f s", path, time.Since(begin).Seconds())
			report(t, copied)
			if *update && !t.Failed() {
				copyFile(t, path, copied)
			}
		})
	}
}

// fetched is what a notebook may need that is fetched once: what stands in it then, and the command that fetches it.
var fetched = map[string]string{
	`lmkit.Open(\"smollm2\")`: "go run ../cmd/lmkit pull smollm2",
	"./cmd/lmkit-beam":        "go -C ../beam mod download",
}

// fetch skips a notebook of whose needs one is neither at hand nor to be fetched.
func fetch(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for need, command := range fetched {
		if !strings.Contains(string(data), need) {
			continue
		}
		args := strings.Fields(command)
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s needs what %q fetches: %s", path, command, out)
		}
	}
}

// The README links every notebook.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range notebooks(t) {
		if !strings.Contains(string(text), "]("+path+")") {
			t.Errorf("README.md does not link %s", path)
		}
	}
}

// notebooks is the committed notebooks.
func notebooks(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("*.ipynb")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no notebooks: %v", err)
	}
	return paths
}

func name(path string) string { return strings.TrimSuffix(path, ".ipynb") }

func report(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, mistake := range check(data) {
		t.Error(mistake)
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
