package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// install puts the plugin for an engine where the next search finds it, and returns its file. One process installs at
// a time; the others wait and find what it left.
func install(ctx context.Context, o Options, kind string) (file, origin string, err error) {
	folder, err := cacheFolder()
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", "", fmt.Errorf("the cache folder cannot be made: %w; set XDG_CACHE_HOME to a folder you can write", err)
	}
	lock := flock.New(filepath.Join(folder, "install.lock"))
	o.report("waiting for another installation", 0, 0)
	if _, err := lock.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		return "", "", fmt.Errorf("lock the cache folder %s: %w; set XDG_CACHE_HOME to a folder you can write", folder, err)
	}
	defer lock.Unlock()
	if found, err := search(o, kind); err == nil && found.File != "" {
		return found.File, found.Origin, nil
	}
	clearStages(folder) // what a killed installation left: the lock says that nobody uses it
	if kind == XLACUDA {
		return installCUDA(ctx, o)
	}
	return installCPU(ctx, o, folder)
}

// installCPU tries the ways to a CPU plugin: the wheel that the user gave, else the release that go-xla names, else
// the package index that pip is set up for.
func installCPU(ctx context.Context, o Options, folder string) (file, origin string, err error) {
	w, dest := pinned, filepath.Join(folder, pinned.folder(), pluginFile())
	given := o.Wheel
	if given == "" {
		given = os.Getenv(EnvWheel)
	}
	if given != "" {
		return dest, "wheel " + given, w.fromGiven(ctx, o, given, folder, dest)
	}
	if o.Offline {
		return "", "", fmt.Errorf("no XLA plugin is installed and the network is not to be used: set %s to the plugin's file or folder, or %s to the file %s",
			EnvPlugins, EnvWheel, w.file)
	}
	file, err1 := fromRelease(ctx, o, folder)
	if err1 == nil {
		return file, "go-xla's release", nil
	}
	if ctx.Err() != nil {
		return "", "", ctx.Err()
	}
	err2 := w.fromPip(ctx, o, folder, dest)
	if err2 == nil {
		return dest, "pip", nil
	}
	return "", "", fmt.Errorf("no XLA plugin could be installed: %w; before that, %w", err2, err1)
}

// cacheFolder holds a folder for each installed plugin.
func cacheFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder (%w): set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(cache, "lmkit", "pjrt"), nil
}

// cachedPlugin is the CPU plugin that an earlier installation left; "" when there is none or it is not whole.
func cachedPlugin() string {
	folder, err := cacheFolder()
	if err != nil {
		return ""
	}
	if file := cachedRelease(folder); file != "" {
		return file
	}
	file := filepath.Join(folder, pinned.folder(), pluginFile())
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Size() == pinned.memberSize {
		return file
	}
	return ""
}

// pluginFile is the name of a CPU plugin on this system.
func pluginFile() string {
	switch runtime.GOOS {
	case "darwin":
		return "pjrt_c_api_cpu_plugin.dylib"
	case "windows":
		return "pjrt_c_api_cpu_plugin.dll"
	}
	return "pjrt_c_api_cpu_plugin.so"
}

const stagePrefix = "installing-"

// stage makes a folder beside the installed plugins, so that a rename from it into place is atomic.
func stage(folder string) (string, error) {
	dir, err := os.MkdirTemp(folder, stagePrefix)
	if err != nil {
		return "", fmt.Errorf("the cache folder cannot be written: %w; set XDG_CACHE_HOME to a folder you can write", err)
	}
	return dir, nil
}

func clearStages(folder string) {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stagePrefix) {
			os.RemoveAll(filepath.Join(folder, e.Name()))
		}
	}
}

// errNoNetwork marks a route that failed because a host could not be reached.
var errNoNetwork = errors.New("no network")
