// Package kernelstest gives tests a Python environment with Jupyter, and lmkit's kernels in it, ready to run notebooks.
package kernelstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lmkit.internal/kernels"
	"lmkit.internal/lmkit/progress"
)

// Jupyter is an environment that can run notebooks.
type Jupyter struct {
	Venv    kernels.Venv
	Folder  string           // where the kernels are installed
	Kernels []kernels.Kernel // the first one is the fastest that runs here
	Env     []string         // for programs of the environment: they find the kernels
}

// Setup makes the environment, or brings it up to date: the pinned versions of Jupyter in the user's cache, and the
// kernels of this checkout beside them. It skips the test where Python or a C compiler is missing, and in short tests.
func Setup(t testing.TB) Jupyter {
	t.Helper()
	if testing.Short() {
		t.Skip("notebooks take long")
	}
	for program, what := range map[string]string{"python3": "Python 3 with venv", "gcc": "gcc"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not found: install %s to test notebooks", program, what)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if ready != nil {
		return *ready
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // what is not done by then hangs
	defer cancel()
	venv, err := kernels.DefaultVenv()
	if err != nil {
		t.Fatal(err)
	}
	log := func(e progress.Event) { t.Log(e.What) }
	if err := venv.Setup(ctx, log); err != nil {
		t.Fatal(err)
	}
	checkout, err := kernels.Checkout("")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(checkout)) // each checkout its own: kernels belong to one
	folder := filepath.Join(filepath.Dir(venv.Dir), "test-kernels", hex.EncodeToString(sum[:6]))
	all, err := kernels.Install(ctx, kernels.Installation{Folder: folder, Checkout: checkout, Progress: log})
	if err != nil {
		t.Fatal(err)
	}
	ready = &Jupyter{Venv: venv, Folder: folder, Kernels: all, Env: append(os.Environ(), "JUPYTER_PATH="+folder)}
	return *ready
}

var (
	mu    sync.Mutex
	ready *Jupyter // set up once for all tests of a program
)

// Python is a program of the environment's Python, with the kernels in reach.
func (j Jupyter) Python(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, j.Venv.Program("python"), args...)
	cmd.Env = j.Env
	return cmd
}
