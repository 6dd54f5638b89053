// Package notebooks_test executes the notebooks, and checks that what is committed is what they show.
package notebooks_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lmkit.internal/kernels/kernelstest"
)

var update = flag.Bool("update", false, "execute the notebooks, and write their outputs back")

// budget is how long a notebook may take from top to bottom. LMKIT_NOTEBOOK_TIME multiplies it for slow machines.
const budget = 2 * time.Minute

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
			dir := t.TempDir()
			copied := filepath.Join(dir, path)
			copyFile(t, copied, path)
			limit := scaled(t, budget)
			ctx, cancel := context.WithTimeout(t.Context(), limit+time.Minute) // the program keeps the limit itself
			defer cancel()
			run := j.Python(ctx, filepath.Join("testdata", "execute.py"), copied, strconv.FormatFloat(limit.Seconds(), 'f', 0, 64))
			run.Env = append(run.Env, "TMPDIR="+t.TempDir()) // where notebooks keep their models
			if out, err := run.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			report(t, copied)
			if *update && !t.Failed() {
				copyFile(t, path, copied)
			}
		})
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

func scaled(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("LMKIT_NOTEBOOK_TIME")
	if text == "" {
		return d
	}
	factor, err := strconv.ParseFloat(text, 64)
	if err != nil || factor <= 0 {
		t.Fatalf("LMKIT_NOTEBOOK_TIME is %q: want a factor such as 2", text)
	}
	return time.Duration(factor * float64(d))
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
