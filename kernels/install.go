package kernels

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/progress"
)

// Installation says what to install. Only Folder must be given.
type Installation struct {
	Folder   string        // see [Folder]
	Checkout string        // lmkit's module; default: see [Checkout]
	Engine   string        // of the one kernel to install; default: a kernel for every engine that runs here
	Progress progress.Func // hears what is being done, and of the plugin's download
}

// Install installs kernels, and builds everything that their cells need, so that the first one is as quick as the
// others, and the network is not needed any more. Doing it again brings everything up to date.
func Install(ctx context.Context, in Installation) ([]Kernel, error) {
	var err error
	if in.Checkout, err = Checkout(in.Checkout); err != nil {
		return nil, err
	}
	if in.Folder, err = filepath.Abs(in.Folder); err != nil {
		return nil, err
	}
	goProgram, err := exec.LookPath("go")
	if err != nil {
		return nil, errors.New("the go program is not found: install Go 1.26.5 or later and put it in PATH")
	}
	unlock, err := lock(ctx, filepath.Join(in.Folder, "lmkit", "install.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := in.settings(ctx, goProgram)
	if err != nil {
		return nil, err
	}
	if err := in.build(ctx, goProgram); err != nil {
		return nil, err
	}
	for _, s := range all {
		if err := s.Problem(); err != nil {
			return nil, err
		}
		in.Progress.Begin("building what cells import, for " + displayName(s.Engine) + " (the first time takes a minute)")
		if err := s.warm(ctx); err != nil {
			return nil, err
		}
		if err := in.write(s); err != nil {
			return nil, err
		}
	}
	return List(in.Folder)
}

// Checkout finds lmkit's module: in the folder that is given; else in this one and those above it; else where this
// program was built from.
func Checkout(given string) (string, error) {
	if given != "" {
		dir, err := filepath.Abs(given)
		if err == nil {
			_, err = modulePath(dir)
		}
		if err != nil {
			return "", fmt.Errorf("%s is not a checkout of lmkit: give the folder that holds its go.mod", given)
		}
		return dir, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := modulePath(dir); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			break
		}
		dir = above
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		dir := filepath.Dir(filepath.Dir(file))
		if _, err := modulePath(dir); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("this folder is not in a checkout of lmkit, which notebooks import: go there, or " +
		"give --checkout")
}

// settings are those of the kernels to install. The engine that was asked for must run; others are left out.
func (in Installation) settings(ctx context.Context, goProgram string) (all []Settings, err error) {
	wanted := []string{in.Engine}
	if in.Engine == "" || in.Engine == backend.Auto {
		wanted = []string{backend.XLACPU, backend.XLACUDA, backend.Go}
	}
	for _, engine := range wanted {
		if displayName(engine) == engine {
			return nil, fmt.Errorf("there is no kernel for the engine %q; choose %s, %s or %s", engine, backend.XLACPU,
				backend.XLACUDA, backend.Go)
		}
		e, err := backend.Open(ctx, backend.Options{Name: engine, Progress: in.Progress})
		if err != nil {
			if ctx.Err() != nil || len(wanted) == 1 {
				return nil, errors.Join(ctx.Err(), err)
			}
			in.Progress.Begin("no kernel " + displayName(engine) + ": " + err.Error())
			continue
		}
		all = append(all, Settings{Checkout: in.Checkout, Engine: engine, Plugin: e.Plugin, Go: goProgram,
			Tools: tools(in.Folder)})
		e.Finalize()
	}
	return all, nil
}

// build builds the tools in their pinned versions, and the lmkit command, and puts them into place.
func (in Installation) build(ctx context.Context, goProgram string) error {
	temp, err := os.MkdirTemp(filepath.Join(in.Folder, "lmkit"), "building-")
	if err != nil {
		return fmt.Errorf("%w: make the folder writable, or choose another one with --venv", err)
	}
	defer os.RemoveAll(temp)
	pinned := filepath.Join(in.Checkout, "tools", "kernel")
	if !in.current(ctx, goProgram, pinned) {
		in.Progress.Begin("building gonb, goimports and gopls (the first time takes a minute)")
		env := append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
		said, err := run(ctx, pinned, env, goProgram, "build", "-ldflags=-s -w", "-o", temp+string(filepath.Separator),
			"github.com/janpfeifer/gonb", "golang.org/x/tools/cmd/goimports", "golang.org/x/tools/gopls")
		if err != nil {
			return fmt.Errorf("build the tools that %s pins: %w: %s", pinned, err, tail(said))
		}
	}
	in.Progress.Begin("building the lmkit command")
	if said, err := run(ctx, in.Checkout, os.Environ(), goProgram, "build", "-o", temp+string(filepath.Separator),
		"./cmd/lmkit"); err != nil {
		return fmt.Errorf("build the lmkit command: %w: %s", err, tail(said))
	}
	files, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(tools(in.Folder), 0o755); err != nil {
		return err
	}
	for _, f := range files { // a rename leaves a running kernel its program
		if err := os.Rename(filepath.Join(temp, f.Name()), filepath.Join(tools(in.Folder), f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// current reports whether the tools are there in the pinned versions, built by this Go.
func (in Installation) current(ctx context.Context, goProgram, pinned string) bool {
	said, err := run(ctx, pinned, append(os.Environ(), "GOFLAGS=", "GOWORK=off"), goProgram, "list", "-m", "-f",
		"{{.Path}} {{.Version}}",
		"github.com/janpfeifer/gonb", "golang.org/x/tools", "golang.org/x/tools/gopls")
	if err != nil {
		return false
	}
	goVersion, err := run(ctx, pinned, nil, goProgram, "env", "GOVERSION")
	if err != nil {
		return false
	}
	for _, tool := range toolNames {
		info, err := buildinfo.ReadFile(filepath.Join(tools(in.Folder), tool))
		if err != nil || info.GoVersion != strings.TrimSpace(goVersion) ||
			!strings.Contains(said, info.Main.Path+" "+info.Main.Version+"\n") {
			return false
		}
	}
	return true
}

// write writes a kernelspec.
func (in Installation) write(s Settings) error {
	for _, e := range engines {
		if e.engine != s.Engine {
			continue
		}
		dir := filepath.Join(in.Folder, "kernels", e.name)
		argv := append([]string{filepath.Join(s.Tools, "lmkit"), "kernel", "run"}, s.Args()...)
		text, err := json.MarshalIndent(spec{Argv: append(argv, "{connection_file}"), Display: e.display, Language: "go",
			Interrupt: "message",
			Metadata:  map[string]any{"debugger": false}}, "", "  ")
		if err != nil {
			return err
		}
		logo, err := assets.ReadFile("assets/" + e.name + ".svg")
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("write a kernelspec: %w; make the folder writable, or choose another one with --venv", err)
		}
		if err := write(filepath.Join(dir, "logo-svg.svg"), logo); err != nil {
			return err
		}
		return write(filepath.Join(dir, "kernel.json"), append(text, '\n'))
	}
	return nil
}

// write makes a file that is there whole or not at all, in place of any that has its name.
func write(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// warm builds what cells import with the flags that cells are built with, and proves that it works without a network.
func (s Settings) warm(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "lmkit-warm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all, err := packages(s.Checkout)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	for _, path := range all {
		fmt.Fprintf(&b, "\t_ %q\n", path)
	}
	b.WriteString(")\n\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	offline := s.Env(os.Environ())
	online := append(offline, "GOPROXY="+os.Getenv("GOPROXY")) // empty: Go's default
	for _, step := range []struct {
		env  []string
		args []string
	}{
		{online, []string{"mod", "init", "cells"}},
		{online, []string{"work", "init"}},
		{online, []string{"work", "use", ".", s.Checkout}},
		{online, []string{"build", "-o", "cells", "."}},
		{offline, []string{"build", "-o", "cells", "."}},
	} {
		if said, err := run(ctx, dir, step.env, find(offline, "go"), step.args...); err != nil {
			return fmt.Errorf("build what cells import (go %s): %w: %s", strings.Join(step.args, " "), err, tail(said))
		}
	}
	return nil
}
