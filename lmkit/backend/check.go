package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/graph"

	"lmkit.internal/lmkit/internal/compiled"
	"lmkit.internal/lmkit/internal/plugin"
)

// Report says what a machine has for running models.
type Report struct {
	Wanted string `json:"wanted"`           // the engine's name as asked for
	Engine string `json:"engine,omitempty"` // the engine that opens now; "" when none does
	Items  []Item `json:"items"`
}

// OK reports whether the wanted engine runs.
func (r Report) OK() bool {
	for _, item := range r.Items {
		if item.Status == Missing {
			return false
		}
	}
	return true
}

// Item is one thing that was looked at.
type Item struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Cure   string `json:"cure,omitempty"`
}

// Status is how an item stands.
type Status string

const (
	Good    Status = "ok"
	Warning Status = "warning" // lmkit runs without it, slower or not after the next installation
	Missing Status = "missing" // the wanted engine does not run without it
)

// Check looks at everything that the engine in o needs: the compiler, Python, the cache, the GPU, the plugin; and
// computes on it. It installs nothing and does not use the network.
func Check(ctx context.Context, o Options) Report {
	o.Offline, o.Progress = true, nil
	c := &checkup{ctx: ctx, options: o, report: Report{Wanted: o.name()}}
	want, err := o.request()
	if err != nil {
		c.add("engine", Missing, err.Error(), "")
		return c.report
	}
	c.xla = want.kind != Go
	c.needed = Warning
	if want.kind == XLACPU || want.kind == XLACUDA {
		c.needed = Missing
	}
	if o.Plugin == "" {
		c.options.Plugin = want.plugin
	}
	c.goVersion()
	c.cgo()
	c.compiler()
	c.cache()
	c.gpu(want.kind)
	c.plugin(want.kind)
	c.python()
	c.engine()
	return c.report
}

// checkup is a Report in the making.
type checkup struct {
	ctx     context.Context
	options Options
	report  Report
	needed  Status // what it means when something that XLA needs is not there
	xla     bool   // whether XLA may be the engine
	file    string // the plugin, when there is one
}

func (c *checkup) add(name string, status Status, found, cure string) {
	c.report.Items = append(c.report.Items, Item{name, status, found, cure})
}

// ask runs a program for at most ten seconds and returns the first line that it says.
func (c *checkup) ask(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	if home, err := os.UserHomeDir(); err == nil {
		if _, err := os.Stat(home); err != nil {
			// Programs such as go make folders of their own in it, and so would make the home folder.
			cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "HOME=") })
		}
	}
	out, err := cmd.CombinedOutput()
	return oneLine(string(out)), err
}

func (c *checkup) goVersion() {
	found := fmt.Sprintf("this program: %s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if installed, err := c.ask("go", "version"); err == nil {
		found += "; installed: " + strings.TrimPrefix(installed, "go version ")
	}
	c.add("go", Good, found, "")
}

func (c *checkup) cgo() {
	switch err := xlaMissing(); {
	case !c.xla:
		c.add("cgo", Good, "not needed", "")
	case err != nil:
		c.add("cgo", c.needed, err.Error(), "CGO_ENABLED=1 go build ./cmd/lmkit, with a C compiler installed")
	default:
		c.add("cgo", Good, "this program has XLA in it", "")
	}
}

// compiler builds a C program of one line, which takes a compiler, a linker and the C library's headers.
func (c *checkup) compiler() {
	if !c.xla {
		return
	}
	cure := "install gcc and the C library's headers (Debian: apt-get install gcc libc6-dev)"
	status := c.needed
	if xlaMissing() == nil {
		status = Warning // only the next build needs it
	}
	path, err := exec.LookPath(compilerName())
	if err != nil {
		c.add("C compiler", status, compilerName()+" not found", cure)
		return
	}
	dir, err := os.MkdirTemp("", "lmkit-check-")
	if err != nil {
		c.add("C compiler", status, err.Error(), "make the folder for temporary files writable, or set TMPDIR")
		return
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "main.c")
	err = os.WriteFile(source, []byte("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n"), 0o600)
	said := ""
	if err == nil {
		said, err = c.ask(path, "-o", filepath.Join(dir, "main"), source)
	}
	if err != nil {
		c.add("C compiler", status, fmt.Sprintf("%s cannot compile a program of one line: %s", path, said), cure)
		return
	}
	version, _ := c.ask(path, "--version")
	c.add("C compiler", Good, path+": "+version, "")
}

// compilerName is the compiler that go build takes: $CC, else gcc, else clang.
func compilerName() string {
	if cc := strings.Fields(os.Getenv("CC")); len(cc) > 0 {
		return cc[0]
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		if _, err := exec.LookPath("clang"); err == nil {
			return "clang"
		}
	}
	return "gcc"
}

// python brings the plugin by way of pip, so it is missed only while there is no plugin.
func (c *checkup) python() {
	if !c.xla {
		return
	}
	look := func(name, cure string, args ...string) bool {
		version, err := c.ask("python3", args...)
		switch {
		case err == nil:
			c.add(name, Good, version, "")
		case c.file != "":
			c.add(name, Good, "not found, and not needed: the plugin is installed", "")
		default:
			c.add(name, Warning, "not found", cure+", or set "+EnvWheel+" to the file "+plugin.Wheel.File)
		}
		return err == nil
	}
	if look("python3", "install Python 3 with pip", "--version") {
		look("pip", "install pip (Debian: apt-get install python3-pip)", "-m", "pip", "--version")
	}
}

func (c *checkup) cache() {
	if !c.xla {
		return
	}
	s, err := plugin.Store()
	if err != nil {
		c.add("cache", Warning, err.Error(), "set HOME or XDG_CACHE_HOME")
		return
	}
	const cure = "set XDG_CACHE_HOME to a folder you can write"
	if err := s.Make(); err != nil {
		c.add("cache", Warning, err.Error(), cure)
		return
	}
	dir, err := s.Stage()
	if err != nil {
		c.add("cache", Warning, err.Error(), cure)
		return
	}
	os.RemoveAll(dir)
	c.add("cache", Good, s.Folder+" is writable", "")
	free, err := diskFree(s.Folder)
	switch {
	case err != nil: // this system does not tell
	case free < 300<<20:
		c.add("disk", Warning, fmt.Sprintf("%d MB free in the cache folder", free>>20),
			"free 300 MB, or set XDG_CACHE_HOME to another disk")
	default:
		c.add("disk", Good, fmt.Sprintf("%.1f GB free in the cache folder", float64(free)/(1<<30)), "")
	}
}

func (c *checkup) gpu(kind string) {
	if !c.xla || kind == XLACPU {
		return
	}
	status := Good
	if kind == XLACUDA {
		status = Missing
	}
	switch g := findGPU(); {
	case g.usable():
		c.add("GPU", Good, fmt.Sprintf("%s, driver: %s", strings.Join(g.devices, ", "), g.driver), "")
	case len(g.devices) > 0:
		c.add("GPU", status, strings.Join(g.devices, ", ")+" without a driver", "install NVIDIA's driver")
	default:
		cure := ""
		if status == Missing {
			cure = "install NVIDIA's driver, and in a container pass the GPU through; or choose " + XLACPU
		}
		c.add("GPU", status, "no NVIDIA GPU", cure)
	}
}

func (c *checkup) plugin(kind string) {
	if !c.xla {
		return
	}
	if kind == Auto && findGPU().usable() {
		kind = XLACUDA
	} else if kind == Auto {
		kind = XLACPU
	}
	found, err := plugin.Search(c.options.plugin(), kind)
	if err != nil {
		c.add("plugin", Missing, err.Error(), "")
		return
	}
	if found.Note != "" {
		c.add("plugin folder", Warning, found.Note, "unset "+EnvPlugins+", or put a plugin there")
	}
	if found.File == "" {
		c.add("plugin", c.needed, "none is installed for "+kind, "run any model once with the network on: it is installed "+
			"at first use")
		return
	}
	if err := c.verifyPlugin(found); err != nil {
		c.add("plugin", c.needed, err.Error(), "remove "+filepath.Dir(found.File)+": it is installed again at next use")
		return
	}
	c.file = found.File
	c.add("plugin", Good, fmt.Sprintf("%s (%s)", found.File, found.Origin), "")
}

func (c *checkup) verifyPlugin(found plugin.Plugin) error {
	if err := plugin.Check(found.File); err != nil {
		return err
	}
	file, name, err := plugin.Cached()
	if err != nil || file != found.File {
		return err // nil: not ours: there is nothing to compare it with
	}
	s, err := plugin.Store()
	if err != nil {
		return err
	}
	return s.Verify(c.ctx, name)
}

// programs says what is kept of the programs that an engine compiled.
func (c *checkup) programs(e *Engine) {
	s, err := compiled.Stats{}, e.unkept
	if e.programs != nil {
		s, err = e.programs.Stat()
	}
	switch {
	case errors.Is(err, compiled.ErrOff):
		c.add("programs", Good, "not kept: "+err.Error(), "")
	case err != nil:
		c.add("programs", Warning, "not kept, each process compiles its own: "+oneLine(err.Error()), "")
	default:
		c.add("programs", Good, fmt.Sprintf("%s in %s, of at most %.0f GB; %d of them are for this engine, and took "+
			"%.1f s to compile", s, e.programs.Folder, float64(compiled.Limit)/(1<<30), s.Here, s.Took.Seconds()), "")
	}
}

// engine opens what can be opened without installing, and computes 1+1 on it.
func (c *checkup) engine() {
	o := c.options
	if c.file == "" && c.needed == Warning {
		o.Name, o.Plugin = Go, ""
	} else if c.file == "" {
		c.add("engine", Missing, "not tried: there is no plugin", "")
		return
	}
	e, err := Open(c.ctx, o)
	if err != nil {
		c.add("engine", Missing, err.Error(), "")
		return
	}
	defer e.Finalize()
	sum, err := graph.CallOnce(e.Backend, func(x *graph.Node) *graph.Node { return graph.Add(x, x) }, float32(1))
	if err == nil && sum.Value() != float32(2) {
		err = fmt.Errorf("1+1 gives %v", sum.Value())
	}
	if err != nil {
		c.add("engine", Missing, fmt.Sprintf("%s opens and does not compute: %s", e.Kind, oneLine(err.Error())),
			"choose another engine: "+Go)
		return
	}
	c.report.Engine = e.Kind
	if c.xla && e.Kind != Go {
		c.programs(e)
	}
	if e.Note != "" {
		c.add("engine", Warning, e.Note, "")
		return
	}
	c.add("engine", Good, e.Kind+" opens and computes", "")
}
