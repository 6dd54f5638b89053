package kernels

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"lmkit.internal/lmkit/backend"
)

// linkFlags leave out what a cell does not need: linking takes most of a cell's time.
const linkFlags = `-buildvcs=false "-ldflags=-s -w -linkmode=internal"`

// Env is the environment of cells, and of GoNB, made from another one. The network is off: cells import what the
// checkout's go.mod has, in those versions.
func (s Settings) Env(env []string) []string {
	set := map[string]string{
		"PATH":                  s.path(env),
		"GOPROXY":               "off",
		"GOFLAGS":               linkFlags,
		"GOWORK":                "",
		"CGO_ENABLED":           s.cgo(),
		"GOMLX_NO_AUTO_INSTALL": "1",
		backend.EnvEngine:       s.Engine,
	}
	if s.Plugin != "" && lookup(env, backend.EnvPlugins) == "" {
		set[backend.EnvPlugins] = s.Plugin
	}
	var with []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if _, ours := set[name]; !ours {
			with = append(with, e)
		}
	}
	for name, value := range set {
		if name != "GOWORK" { // also an empty one would hide the workspace of the cells
			with = append(with, name+"="+value)
		}
	}
	slices.Sort(with)
	return backend.TuneEnv(with)
}

// cgo is whether cells are built with a C compiler: pure Go needs none.
func (s Settings) cgo() string {
	if s.Engine == backend.Go {
		return "0"
	}
	return "1"
}

// path puts the tools first, and the go program where the search finds it.
func (s Settings) path(env []string) string {
	path := s.Tools + string(os.PathListSeparator) + lookup(env, "PATH")
	if s.Go != "" {
		path += string(os.PathListSeparator) + filepath.Dir(s.Go)
	}
	return path
}

func lookup(env []string, name string) string {
	value := ""
	for _, e := range env {
		if n, v, _ := strings.Cut(e, "="); n == name {
			value = v
		}
	}
	return value
}

// find looks for a program in the PATH of an environment; "" when it is not there.
func find(env []string, program string) string {
	if filepath.IsAbs(program) {
		if _, err := os.Stat(program); err == nil {
			return program
		}
		return ""
	}
	for _, dir := range filepath.SplitList(lookup(env, "PATH")) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// Problem says why cells cannot run with these settings on this machine, and what cures it; nil if they can.
func (s Settings) Problem() error {
	if _, err := modulePath(s.Checkout); err != nil {
		return fmt.Errorf("the checkout of lmkit that this kernel was installed from is gone from %s: move it back, or "+
			"run \"go run ./cmd/lmkit kernel install\" where it is now", s.Checkout)
	}
	env := s.Env(os.Environ())
	if find(env, "go") == "" {
		return errors.New("the go program is not found: install Go 1.26.5 or later and put it in PATH")
	}
	if cc := compiler(env); s.Engine != backend.Go && find(env, cc) == "" {
		return fmt.Errorf("the C compiler %s is not found, and XLA needs one: install gcc and the C library's headers "+
			"(Debian: apt-get install gcc libc6-dev), or choose the kernel %q", cc, displayName(backend.Go))
	}
	for _, tool := range toolNames {
		if _, err := os.Stat(filepath.Join(s.Tools, tool)); err != nil {
			return fmt.Errorf("%s is missing from %s: run \"lmkit kernel install\" again in %s", tool, s.Tools, s.Checkout)
		}
	}
	return nil
}

// compiler is the C compiler that go build takes.
func compiler(env []string) string {
	if cc := strings.Fields(lookup(env, "CC")); len(cc) > 0 {
		return cc[0]
	}
	if find(env, "gcc") == "" && find(env, "clang") != "" {
		return "clang"
	}
	return "gcc"
}

// modulePath is the path of lmkit's module in a folder; an error if it is not there.
func modulePath(checkout string) (string, error) {
	text, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(checkout, "tools", "kernel", "go.mod")); err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(path), nil
		}
	}
	return "", fmt.Errorf("%s has no module line", filepath.Join(checkout, "go.mod"))
}

// packages lists lmkit's packages that programs may import, by their paths.
func packages(checkout string) ([]string, error) {
	module, err := modulePath(checkout)
	if err != nil {
		return nil, err
	}
	var all []string
	err = filepath.WalkDir(filepath.Join(checkout, "lmkit"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name == "internal" || name == "testdata" || name == "cli" || strings.HasSuffix(name, "test") {
			return fs.SkipDir
		}
		files, _ := filepath.Glob(filepath.Join(path, "*.go"))
		if !slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") }) {
			return nil
		}
		inside, err := filepath.Rel(checkout, path)
		all = append(all, module+"/"+filepath.ToSlash(inside))
		return err
	})
	return all, err
}

// launch is a running kernel: GoNB's process, and what cells have changed.
type launch struct {
	Settings
	self  string // the lmkit command
	quit  func()
	asked atomic.Bool // Jupyter asked for the end
	dir   string      // of sockets and the connection file
	cmd   *exec.Cmd
	pid   int
	set   []string // by %env
}

func newLaunch(s Settings, quit func()) (*launch, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the lmkit command: %w", err)
	}
	return &launch{Settings: s, self: self, quit: quit}, nil
}

// start starts GoNB on sockets of its own. The channel hears of its end.
func (l *launch) start(connectionFile string, front connection) (back connection, ended <-chan error, err error) {
	if l.dir, err = os.MkdirTemp("", "lmkit-kernel-"); err != nil {
		return back, nil, fmt.Errorf("make a folder for the sockets: %w; set TMPDIR to a folder you can write", err)
	}
	back = connection{Transport: "ipc", IP: filepath.Join(l.dir, "s"), ShellPort: 1, ControlPort: 2, StdinPort: 3,
		IOPubPort: 4, HBPort: 5,
		Scheme: "hmac-sha256", Key: newID()}
	text, err := json.Marshal(back)
	if err != nil {
		return back, nil, err
	}
	// GoNB takes the kernel's ID, which widgets need, from the file's name.
	file := filepath.Join(l.dir, filepath.Base(connectionFile))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return back, nil, err
	}
	l.cmd = exec.Command(filepath.Join(l.Tools, "gonb"), "--kernel", file, "-go_work="+l.Checkout, "-raw_error")
	l.cmd.Env = l.Env(os.Environ())
	l.cmd.Stderr = os.Stderr
	dieWithParent(l.cmd)
	started, end := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // to Linux a thread is the parent, and GoNB must not outlive it
		defer runtime.UnlockOSThread()
		err := l.cmd.Start()
		started <- err
		if err == nil {
			end <- l.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		l.clean()
		return back, nil, fmt.Errorf("start gonb: %w; run \"lmkit kernel install\" again", err)
	}
	l.pid = l.cmd.Process.Pid
	return back, end, nil
}

func (l *launch) clean() { os.RemoveAll(l.dir) }

func (l *launch) signal(s os.Signal) {
	if l.cmd != nil && l.cmd.Process != nil {
		if s == syscall.SIGTERM {
			l.asked.Store(true)
		}
		_ = l.cmd.Process.Signal(s)
	}
}

// prelude is the code that runs before the first cell. Imports that a cell does not use are dropped by GoNB.
func (l *launch) prelude() string {
	var b strings.Builder
	b.WriteString("%noautoget\nimport (\n")
	all, _ := packages(l.Checkout)
	for _, path := range all {
		fmt.Fprintf(&b, "\t%q\n", path)
	}
	b.WriteString(")\n")
	return b.String()
}

// remember keeps what a cell sets by %env, for the commands that magics run.
func (l *launch) remember(code string) {
	lines := strings.Split(code, "\n")
	for i, at := range begins(lines) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "%env ")
		if !ok || at != inCode {
			continue
		}
		args, err := fields(rest)
		if err == nil && len(args) == 2 {
			args = []string{args[0] + "=" + args[1]}
		}
		if err == nil && len(args) == 1 && strings.Contains(args[0], "=") {
			l.set = append(l.set, args[0])
		}
	}
}

// commandEnv is the environment of commands that magics run.
func (l *launch) commandEnv() []string {
	return append(l.Env(os.Environ()), l.set...)
}
