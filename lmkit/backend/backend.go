// Package backend finds, installs and opens the engine that runs compiled programs.
//
// An engine is named auto, xla:cpu, xla:cuda or go, by [Options] or by the environment variable GOMLX_BACKEND. A named
// engine is opened or an error says what would cure it; auto takes the fastest engine that works and says in
// [Engine.Note] why it took less than the machine could give.
package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"

	"lmkit.internal/lmkit/internal/compiled"
	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/progress"
)

// The names of the engines.
const (
	Auto    = "auto"      // xla:cuda where there is an NVIDIA GPU, else xla:cpu, else go
	XLACPU  = plugin.CPU  // XLA on the processor, through a PJRT plugin
	XLACUDA = plugin.CUDA // XLA on an NVIDIA GPU, through a PJRT plugin
	Go      = "go"        // pure Go: runs everywhere, 13 to 35 times slower, no loops
)

// Environment variables that [Open] reads.
const (
	EnvEngine  = "GOMLX_BACKEND"   // the engine's name, when Options.Name is empty
	EnvPlugins = plugin.EnvPlugins // folders (or files) searched first for a plugin, separated by ':'
	EnvWheel   = plugin.EnvWheel   // the plugin's wheel as a path or URL, when Options.Wheel is empty
	EnvCache   = compiled.Env      // the folder where compiled programs are kept, or off
)

// Engine is a GoMLX backend that is ready to compile.
//
// Hand GoMLX the embedded Backend and not the Engine: it tells backends apart by identity.
type Engine struct {
	compute.Backend
	Kind   string // XLACPU, XLACUDA or Go
	Plugin string // the PJRT plugin's file; "" for the pure-Go engine
	Note   string // one line when another engine than hoped for runs, and why; else ""

	programs *compiled.Cache // where compiled programs are kept; nil: nowhere
	unkept   error           // why they are not
}

// Loops reports whether the engine runs While loops with dynamic slices inside. XLA does, the pure-Go engine does not.
func (e *Engine) Loops() bool {
	c := e.Capabilities() // While itself says nothing: go-xla has it and does not list it
	return c.Functions && c.Operations[compute.OpTypeDynamicSlice] && c.Operations[compute.OpTypeDynamicUpdateSlice]
}

// Processors is how many of the engine's devices make work faster when it is spread over them: the GPUs of xla:cuda,
// and one else. NumDevices may be more: XLA can show the machine's one processor as several devices, which share its
// cores.
func (e *Engine) Processors() int {
	if e.Kind == XLACUDA {
		return e.NumDevices()
	}
	return 1
}

// Options says which engine is wanted. The zero value follows the environment, and else means auto.
type Options struct {
	// Name of the engine: auto, xla:cpu, xla:cuda or go. Options of go-xla may follow an XLA name after a comma, as in
	// "xla:cuda,preallocate=true"; and "xla:cpu,devices=4" shows the processor as so many devices (otherwise as many as it
	// has cores, up to four), to try out what is spread over several. Empty: GOMLX_BACKEND, or auto.
	Name string
	// Plugin is the file of the PJRT plugin to load, and makes auto mean XLA. Empty: search, then install.
	Plugin string
	// Wheel is a path or URL of the CPU plugin's wheel, used in place of the network's usual places. Its checksum must
	// be the pinned one. Empty: LMKIT_PJRT_WHEEL, or none.
	Wheel string
	// Offline forbids every use of the network.
	Offline bool
	// Latency is for work on one token at a time, such as generating a text: without the flags of [Tune] for oneDNN, which
	// make large products faster and small ones slower. The first engine that a process opens decides.
	Latency bool
	// Long is for work of minutes on few programs, such as training: with the flags for oneDNN, which make that work some
	// 6 % faster, in place of compiled programs that are kept. The first engine that a process opens decides.
	Long bool
	// Progress hears of downloads; nil: nobody.
	Progress progress.Func
}

// plugin is what of o says where the plugin is.
func (o Options) plugin() plugin.Options {
	return plugin.Options{Plugin: o.Plugin, Wheel: o.Wheel, Offline: o.Offline, Progress: o.Progress}
}

// Open finds, or installs, the engine that o names and opens it. Installing takes one process at a time; others wait.
func Open(ctx context.Context, o Options) (*Engine, error) {
	want, err := o.request()
	if err != nil {
		return nil, err
	}
	switch want.kind {
	case Auto:
		return openAuto(ctx, o)
	case Go:
		return openGo("")
	default:
		return openXLA(ctx, o, want)
	}
}

// Default is the engine of the environment, opened at the first call and shared by the whole process.
func Default() (*Engine, error) { return defaultEngine() }

var defaultEngine = sync.OnceValues(func() (*Engine, error) {
	return Open(context.Background(), Options{})
})

// openAuto tries the engines from the fastest to the one that always works.
func openAuto(ctx context.Context, o Options) (*Engine, error) {
	kinds := []string{XLACPU}
	if findGPU().usable() {
		kinds = []string{XLACUDA, XLACPU}
	}
	var why []string
	for _, kind := range kinds {
		e, err := openXLA(ctx, o, request{kind: kind})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			if len(why) > 0 {
				e.Note = "running on " + kind + ": " + strings.Join(why, "; ")
			}
			return e, nil
		}
		why = append(why, oneLine(err.Error()))
	}
	return openGo("running on the slow pure-Go engine: " + strings.Join(why, "; "))
}

// openGo opens the pure-Go engine. It runs one operation after the other, each on all processors: several matrix
// products at once take each other's workers in GoMLX v0.28, and may wait for each other for ever.
func openGo(note string) (*Engine, error) {
	b, err := gobackend.New("ops_sequential")
	if err != nil {
		return nil, fmt.Errorf("open the pure-Go engine: %w", err)
	}
	return &Engine{Backend: b, Kind: Go, Note: note}, nil
}

func openXLA(ctx context.Context, o Options, want request) (*Engine, error) {
	if err := xlaMissing(); err != nil {
		return nil, fmt.Errorf("%s: %w", want.kind, err)
	}
	if want.kind == XLACUDA && !findGPU().usable() {
		return nil, fmt.Errorf("%s: this machine shows no NVIDIA GPU with a driver: install the driver, and in a "+
			"container pass the GPU through", want.kind)
	}
	if o.Plugin == "" {
		o.Plugin = want.plugin
	}
	found, err := plugin.Find(ctx, o.plugin(), want.kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", want.kind, err)
	}
	if err := plugin.Check(found.File); err != nil {
		return nil, fmt.Errorf("%s: %w", want.kind, err)
	}
	unkept := errors.New("only " + XLACPU + " keeps them")
	var programs *compiled.Cache
	if want.kind == XLACPU {
		if o.Long {
			useOneDNN(ctx, found.File)
		}
		programs, unkept = keep(ctx, found.File)
		if programs == nil && !o.Latency {
			useOneDNN(ctx, found.File)
		}
	}
	want.plugin = found.File
	b, err := newXLA(want)
	if err != nil {
		return nil, fmt.Errorf("%s: the plugin %s does not load: %s; remove it, or name another with %s",
			want.kind, found.File, oneLine(err.Error()), EnvPlugins)
	}
	return &Engine{Backend: b, Kind: want.kind, Plugin: found.File, Note: found.Note, programs: programs,
		unkept: unkept}, nil
}

// request is a parsed engine name.
type request struct {
	kind    string
	plugin  string // file, when the name is xla:/path/to/plugin.so
	config  string // what go-xla wants after the plugin: ",tf32=false"
	devices int    // that the processor is shown as; 0: as many as it has cores, up to four
}

// name is the engine's name as asked for.
func (o Options) name() string {
	if name := strings.TrimSpace(o.Name); name != "" {
		return name
	}
	if name := strings.TrimSpace(os.Getenv(EnvEngine)); name != "" {
		return name
	}
	return Auto
}

func (o Options) request() (request, error) {
	name := o.name()
	base, config, has := strings.Cut(name, ",")
	if has {
		config = "," + config
	}
	path, isPath := strings.CutPrefix(base, "xla:")
	switch {
	case base == Auto && !has && o.Plugin != "":
		return request{kind: kindOf(o.Plugin)}, nil
	case (base == Auto || base == Go) && !has:
		return request{kind: base}, nil
	case base == XLACPU || base == XLACUDA:
		return request{kind: base, config: config}.cutDevices()
	case base == "xla" && !findGPU().usable():
		return request{kind: XLACPU, config: config}.cutDevices()
	case base == "xla":
		return request{kind: XLACUDA, config: config}, nil
	case isPath && filepath.IsAbs(path):
		return request{kind: kindOf(path), plugin: path, config: config}.cutDevices()
	}
	return request{}, fmt.Errorf("unknown engine %q: choose %s, %s, %s or %s", name, Auto, XLACPU, XLACUDA, Go)
}

// cutDevices takes "devices=N" out of what follows the engine's name.
func (r request) cutDevices() (request, error) {
	options := strings.Split(r.config, ",")
	at := slices.IndexFunc(options, func(o string) bool { return strings.HasPrefix(o, "devices=") })
	if at < 0 || r.kind != XLACPU {
		return r, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(options[at], "devices="))
	if err != nil || n < 1 {
		return request{}, fmt.Errorf("%s: %s is no number of devices: take 1 or more", r.kind, options[at])
	}
	r.devices, r.config = n, strings.Join(slices.Delete(options, at, at+1), ",")
	return r, nil
}

// kindOf is the engine that a plugin of the user's is for: XLA on the processor, unless its name says CUDA.
func kindOf(file string) string {
	if plugin.Kind(file) == XLACUDA {
		return XLACUDA
	}
	return XLACPU
}

// oneLine cuts the stack traces and continuation lines of errors made elsewhere.
func oneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
