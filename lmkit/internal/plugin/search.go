package plugin

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/internal/wheel"
	"lmkit.internal/lmkit/progress"
)

// The kinds of plugins, which are also the names of the engines that they make.
const (
	CPU  = "xla:cpu"
	CUDA = "xla:cuda"
)

// Environment variables that say where plugins are.
const (
	EnvPlugins = "PJRT_PLUGIN_LIBRARY_PATH" // folders (or files) searched first for a plugin, separated by ':'
	EnvWheel   = "LMKIT_PJRT_WHEEL"         // the plugin's wheel as a path or URL, when Options.Wheel is empty
)

// Options says where to look, and what may be done.
type Options struct {
	Plugin   string        // the file to load, in place of a search
	Wheel    string        // a path or URL of the CPU plugin's wheel; "": what EnvWheel names, or none
	Offline  bool          // forbids every use of the network
	Progress progress.Func // hears of downloads
}

// wheel is where the user says that the wheel is.
func (o Options) wheel() string {
	if o.Wheel != "" {
		return o.Wheel
	}
	return os.Getenv(EnvWheel)
}

// Wheel holds XLA's CPU plugin (Apache-2.0), as built for JAX 0.11.2. Tests change it.
var Wheel = wheel.Wheel{
	What: "the XLA plugin", Env: EnvWheel,
	Name: "lammps-jax-pjrt-cpu", Version: "0.11.2",
	File:         "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
	Size:         62_711_338,
	SHA256:       "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
	Member:       "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
	MemberSize:   201_600_336,
	MemberSHA256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
	Folder:       "cpu-0.11.2", As: "pjrt_c_api_cpu_plugin.so",
}

// Platform is the GOOS/GOARCH that Wheel is for. Tests change it.
var Platform = "linux/amd64"

// Store is where installed plugins are kept.
func Store() (store.Store, error) { return store.Open("pjrt") }

// Plugin is a PJRT plugin's file and how it came to be used.
type Plugin struct {
	File   string // its absolute path
	Origin string // how it was found, in a few words
	Note   string // what the user set and was not heeded
}

// Find finds the plugin of a kind, or installs it.
func Find(ctx context.Context, o Options, kind string) (Plugin, error) {
	found, err := Search(o, kind)
	if err != nil || found.File != "" {
		return found, err
	}
	note := found.Note
	found, err = install(ctx, o, kind)
	found.Note = note
	return found, err
}

// Search looks for a plugin without changing anything: first where the user says, then where go-xla installs, then in
// the cache. An empty File means that there is none.
func Search(o Options, kind string) (Plugin, error) {
	if o.Plugin != "" {
		file, err := filepath.Abs(o.Plugin)
		if err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			return Plugin{}, fmt.Errorf("the plugin that was asked for cannot be read: %w", err)
		}
		return Plugin{File: file, Origin: "as asked"}, nil
	}
	var note string
	if set := filepath.SplitList(os.Getenv(EnvPlugins)); len(set) > 0 {
		if file := searchFolders(set, kind); file != "" {
			return Plugin{File: file, Origin: EnvPlugins}, nil
		}
		note = fmt.Sprintf("%s=%s holds no plugin for %s", EnvPlugins, os.Getenv(EnvPlugins), kind)
	}
	if file := searchFolders(goxlaFolders(), kind); file != "" {
		return Plugin{File: file, Origin: "go-xla's folder", Note: note}, nil
	}
	if kind == CPU {
		if file, _, err := Cached(); file != "" || err != nil {
			return Plugin{File: file, Origin: "cache", Note: note}, err
		}
	}
	return Plugin{Note: note}, nil
}

// SystemFolder is where go-xla's installer puts plugins for all users. Tests change it.
var SystemFolder = "/usr/local/lib/go-xla"

// goxlaFolders are where go-xla's installer puts plugins, the user's first.
func goxlaFolders() []string {
	var roots []string
	if home, err := os.UserHomeDir(); err == nil {
		switch runtime.GOOS {
		case "darwin":
			roots = append(roots, filepath.Join(home, "Library", "Application Support", "go-xla"))
		case "windows":
			roots = append(roots, filepath.Join(home, "AppData", "Local", "go-xla"))
		default:
			roots = append(roots, filepath.Join(home, ".local", "lib", "go-xla"))
		}
	}
	if runtime.GOOS != "windows" {
		roots = append(roots, SystemFolder)
	}
	var all []string
	for _, root := range roots {
		all = append(all, root, filepath.Join(root, "nvidia"))
	}
	return all
}

// searchFolders returns the first plugin of the kind. An entry may be a folder or the plugin itself.
func searchFolders(folders []string, kind string) string {
	for _, folder := range folders {
		folder, err := filepath.Abs(folder)
		if err != nil {
			continue
		}
		if info, err := os.Stat(folder); err == nil && info.Mode().IsRegular() && Kind(folder) == kind {
			return folder
		}
		entries, _ := os.ReadDir(folder)
		var files []string
		for _, e := range entries {
			file := filepath.Join(folder, e.Name())
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && Kind(file) == kind {
				files = append(files, file)
			}
		}
		if len(files) > 0 {
			return slices.MaxFunc(files, func(a, b string) int { return slices.Compare(version(a), version(b)) })
		}
	}
	return ""
}

var pluginName = regexp.MustCompile(`^pjrt(?:_c_api_(.+)_plugin|[-_]plugin[-_](.+))\.(?:so|dylib|dll)$`)

// Kind tells from a file's name which engine it is a plugin for; "" for none.
func Kind(file string) string {
	m := pluginName.FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return ""
	}
	name := m[1] + m[2]
	switch {
	case name == "cpu" || strings.HasPrefix(name, "cpu_v"):
		return CPU
	case strings.HasPrefix(name, "cuda"):
		return CUDA
	}
	return ""
}

var pluginVersion = regexp.MustCompile(`_v(\d+)\.(\d+)\.(\d+)_`)

// version is a plugin's version as its file name has it. A name without one counts as the highest: go-xla links it to
// the version that it wants.
func version(file string) (v []int) {
	m := pluginVersion.FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return []int{math.MaxInt}
	}
	for _, digits := range m[1:] {
		n, _ := strconv.Atoi(digits)
		v = append(v, n)
	}
	return v
}

// FileName is the name of a CPU plugin on this system.
func FileName() string {
	switch runtime.GOOS {
	case "darwin":
		return "pjrt_c_api_cpu_plugin.dylib"
	case "windows":
		return "pjrt_c_api_cpu_plugin.dll"
	}
	return "pjrt_c_api_cpu_plugin.so"
}

// oneLine cuts the stack traces and continuation lines of errors made elsewhere.
func oneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
