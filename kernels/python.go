package kernels

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"

	"lmkit.internal/lmkit/progress"
)

// requirements pin JupyterLab and everything that it needs.
//
//go:embed requirements.txt
var requirements string

// Venv is a Python environment with JupyterLab, nbclient and jupyter_client in it.
type Venv struct{ Dir string }

// DefaultVenv is the one that lmkit makes for itself, in the user's cache folder.
func DefaultVenv() (Venv, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Venv{}, fmt.Errorf("there is no cache folder (%w): set HOME or XDG_CACHE_HOME", err)
	}
	return Venv{filepath.Join(cache, "lmkit", "jupyter")}, nil
}

// Program is the file of a program in the environment: python, jupyter.
func (v Venv) Program(name string) string { return filepath.Join(v.Dir, "bin", name) }

// Ready reports whether the environment holds the pinned versions.
func (v Venv) Ready() bool {
	text, err := os.ReadFile(v.stamp())
	return err == nil && string(text) == stampText()
}

// stamp is written last: an environment without it is not whole.
func (v Venv) stamp() string { return filepath.Join(v.Dir, "lmkit-requirements.sha256") }

func stampText() string {
	sum := sha256.Sum256([]byte(requirements))
	return hex.EncodeToString(sum[:]) + "\n"
}

// Setup makes the environment, or brings it up to date. It uses the network unless the environment is ready. One
// process at a time does so; others wait.
func (v Venv) Setup(ctx context.Context, hears progress.Func) error {
	if v.Ready() {
		return nil
	}
	unlock, err := lock(ctx, v.Dir+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if v.Ready() {
		return nil
	}
	if runtime.GOOS == "windows" {
		return errors.New("GoNB does not run on Windows: use WSL")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return errors.New("python3 is not found, and Jupyter needs it: install Python 3.10 or later (Debian: apt-get " +
			"install python3 python3-venv)")
	}
	if _, err := run(ctx, "", nil, python, "-c", "import sys; sys.exit(sys.version_info < (3, 10))"); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%s is too old for Jupyter: install Python 3.10 or later", python))
	}
	hears.Begin("making a Python environment in " + v.Dir)
	if said, err := run(ctx, "", nil, python, "-m", "venv", "--clear", v.Dir); err != nil {
		return fmt.Errorf("make a Python environment in %s: %w: %s; install Python's venv (Debian: apt-get install "+
			"python3-venv), and see that the folder can be written to", v.Dir, err, tail(said))
	}
	hears.Begin("installing JupyterLab into it (about 100 MB)")
	file := filepath.Join(v.Dir, "requirements.txt")
	if err := os.WriteFile(file, []byte(requirements), 0o644); err != nil {
		return err
	}
	if said, err := run(ctx, "", nil, v.Program("python"), "-m", "pip", "install", "--quiet",
		"--disable-pip-version-check", "--no-input", "-r", file); err != nil {
		return fmt.Errorf("install JupyterLab: %w: %s; see that the network is on, and try again", err, tail(said))
	}
	return os.WriteFile(v.stamp(), []byte(stampText()), 0o644)
}

// lock takes a lock file, and waits for other processes.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("%w: make it writable, or set XDG_CACHE_HOME to a folder you can write", err)
	}
	l := flock.New(file)
	if _, err := l.TryLockContext(ctx, lockPause); err != nil {
		return nil, fmt.Errorf("lock %s: %w; make the folder writable, or set XDG_CACHE_HOME to one you can write", file, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// run runs a program to its end and returns all that it said.
func run(ctx context.Context, dir string, env []string, program string, args ...string) (said string, err error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

// tail is the end of what a program said, in one line.
func tail(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if len(lines) > 6 {
		lines = lines[len(lines)-6:]
	}
	return strings.Join(lines, "; ")
}
