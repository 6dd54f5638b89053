package backend

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// plugin is a PJRT plugin's file and how it came to be used.
type plugin struct {
	File   string // its absolute path
	Origin string // how it was found, in a few words
	Note   string // what the user set and was not heeded
}

// locate finds the plugin for an engine, or installs it.
func locate(ctx context.Context, o Options, kind string) (plugin, error) {
	found, err := search(o, kind)
	if err != nil || found.File != "" {
		return found, err
	}
	note := found.Note
	found, err = install(ctx, o, kind)
	found.Note = note
	return found, err
}

// search looks for a plugin without changing anything: first where the user says, then where go-xla installs, then in
// the cache. An empty File means that there is none.
func search(o Options, kind string) (plugin, error) {
	if o.Plugin != "" {
		file, err := filepath.Abs(o.Plugin)
		if err == nil {
			_, err = os.Stat(file)
		}
		if err != nil {
			return plugin{}, fmt.Errorf("the plugin that was asked for cannot be read: %w", err)
		}
		return plugin{File: file, Origin: "as asked"}, nil
	}
	var note string
	if set := filepath.SplitList(os.Getenv(EnvPlugins)); len(set) > 0 {
		if file := searchFolders(set, kind); file != "" {
			return plugin{File: file, Origin: EnvPlugins}, nil
		}
		note = fmt.Sprintf("%s=%s holds no plugin for %s", EnvPlugins, os.Getenv(EnvPlugins), kind)
	}
	if file := searchFolders(goxlaFolders(), kind); file != "" {
		return plugin{File: file, Origin: "go-xla's folder", Note: note}, nil
	}
	if kind == XLACPU {
		if file, _ := cachedPlugin(); file != "" {
			return plugin{File: file, Origin: "cache", Note: note}, nil
		}
	}
	return plugin{Note: note}, nil
}

var systemFolder = "/usr/local/lib/go-xla"

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
		roots = append(roots, systemFolder)
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
		if info, err := os.Stat(folder); err == nil && info.Mode().IsRegular() && pluginKind(folder) == kind {
			return folder
		}
		entries, _ := os.ReadDir(folder)
		var files []string
		for _, e := range entries {
			file := filepath.Join(folder, e.Name())
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && pluginKind(file) == kind {
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

// pluginKind tells from a file's name which engine it is a plugin for; "" for none.
func pluginKind(file string) string {
	m := pluginName.FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return ""
	}
	name := m[1] + m[2]
	switch {
	case name == "cpu" || strings.HasPrefix(name, "cpu_v"):
		return XLACPU
	case strings.HasPrefix(name, "cuda"):
		return XLACUDA
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

// checkLibrary refuses a file that the dynamic linker would refuse less clearly: not a library, one for another
// processor, one that was cut short.
func checkLibrary(file string) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("the plugin cannot be read: %w", err)
	}
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("the plugin %s is not a whole shared library (%s): remove it and start again", file, oneLine(err.Error()))
	}
	defer f.Close()
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if want := machines[runtime.GOARCH]; f.Machine != want {
		return fmt.Errorf("the plugin %s is for %v, this machine is %v: install the plugin for this machine", file, f.Machine, want)
	}
	for _, p := range f.Progs {
		if p.Off+p.Filesz > uint64(info.Size()) {
			return fmt.Errorf("the plugin %s is cut short: remove it and start again", file)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err == nil && !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "GetPjrtApi" }) {
		err = errors.New("it lacks the symbol GetPjrtApi")
	}
	if err != nil {
		return fmt.Errorf("%s is not a PJRT plugin: %w", file, err)
	}
	return nil
}
