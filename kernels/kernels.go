// Package kernels makes lmkit a Jupyter kernel: it installs kernelspecs, and runs GoNB behind a proxy that adds lmkit's
// own commands to the cells.
package kernels

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"lmkit.internal/lmkit/backend"
)

const lockPause = 200 * time.Millisecond

// engines are those that a kernel can be for, and the ends of their names.
var engines = []struct{ engine, name, display string }{
	{backend.XLACPU, "lmkit-cpu", "Go + lmkit (XLA CPU)"},
	{backend.XLACUDA, "lmkit-cuda", "Go + lmkit (CUDA)"},
	{backend.Go, "lmkit-go", "Go + lmkit (pure Go)"},
}

func displayName(engine string) string {
	for _, e := range engines {
		if e.engine == engine {
			return e.display
		}
	}
	return engine
}

//go:embed assets/*.svg
var assets embed.FS

// toolNames are the programs that a kernel stands on. GoNB needs goimports for every cell, and gopls for completion.
var toolNames = []string{"gonb", "goimports", "gopls"}

// Kernel is an installed kernel.
type Kernel struct {
	Name    string `json:"name"`    // what Jupyter calls it
	Display string `json:"display"` // what people see
	Dir     string `json:"dir"`     // its kernelspec
	Engine  string `json:"engine"`
	Problem string `json:"problem,omitempty"` // why it does not run now, and the cure; "" if it does
}

// spec is a kernel.json.
type spec struct {
	Argv      []string       `json:"argv"`
	Display   string         `json:"display_name"`
	Language  string         `json:"language"`
	Interrupt string         `json:"interrupt_mode"`
	Metadata  map[string]any `json:"metadata"`
}

// Folder is where kernels are installed: a virtual environment's, or, without one, the user's. Everything that an
// installation makes is in there: kernels/lmkit-*, and lmkit with the programs.
func Folder(venv string) (string, error) {
	if venv != "" {
		if _, err := os.Stat(filepath.Join(venv, "pyvenv.cfg")); err != nil {
			return "", fmt.Errorf("%s is not a virtual environment of Python: make one with \"python3 -m venv %s\"", venv, venv)
		}
		dir, err := filepath.Abs(venv)
		return filepath.Join(dir, "share", "jupyter"), err
	}
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no home folder (%w): set HOME, or give --venv", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Jupyter"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}

// tools is the folder of the programs.
func tools(folder string) string { return filepath.Join(folder, "lmkit", "bin") }

// List returns the kernels that are installed in a folder.
func List(folder string) ([]Kernel, error) {
	var all []Kernel
	for _, e := range engines {
		dir := filepath.Join(folder, "kernels", e.name)
		s, err := readSpec(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		k := Kernel{Name: e.name, Display: s.Display, Dir: dir, Engine: e.engine}
		if settings, err := s.settings(); err != nil {
			k.Problem = err.Error()
		} else if err := settings.Problem(); err != nil {
			k.Problem = err.Error()
		}
		all = append(all, k)
	}
	return all, nil
}

func readSpec(dir string) (s spec, err error) {
	file := filepath.Join(dir, "kernel.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s is damaged (%w): run \"lmkit kernel install\" again", file, err)
	}
	return s, nil
}

// Args are the settings as arguments of "lmkit kernel run".
func (s Settings) Args() []string {
	return []string{"--checkout=" + s.Checkout, "--engine=" + s.Engine, "--plugin=" + s.Plugin, "--go=" + s.Go,
		"--tools=" + s.Tools}
}

// settings reads them back.
func (s spec) settings() (Settings, error) {
	var set Settings
	to := map[string]*string{"--checkout": &set.Checkout, "--engine": &set.Engine, "--plugin": &set.Plugin,
		"--go": &set.Go, "--tools": &set.Tools}
	for _, arg := range s.Argv {
		name, value, _ := strings.Cut(arg, "=")
		if field, ok := to[name]; ok {
			*field = value
		}
	}
	if len(s.Argv) == 0 || set.Checkout == "" {
		return set, errors.New("its kernel.json is not one of lmkit's: run \"lmkit kernel install\" again")
	}
	if _, err := os.Stat(s.Argv[0]); err != nil {
		return set, fmt.Errorf("%s is gone: run \"lmkit kernel install\" again", s.Argv[0])
	}
	return set, nil
}

// Uninstall removes what [Install] made in a folder, and returns what it removed.
func Uninstall(folder string) ([]string, error) {
	var removed []string
	remove := func(dir string) error {
		if _, err := os.Lstat(dir); err != nil {
			return nil
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		removed = append(removed, dir)
		return nil
	}
	var errs []error
	for _, e := range engines {
		errs = append(errs, remove(filepath.Join(folder, "kernels", e.name)))
	}
	errs = append(errs, remove(filepath.Join(folder, "lmkit")))
	for _, dir := range []string{filepath.Join(folder, "kernels"), folder} {
		_ = os.Remove(dir) // only if it is empty
	}
	return slices.Clip(removed), errors.Join(errs...)
}
