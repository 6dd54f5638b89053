package backend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// install puts the plugin for an engine where the next search finds it. One process installs at a time; the others wait
// and find what it left.
func install(ctx context.Context, o Options, kind string) (plugin, error) {
	s, err := openStore()
	if err != nil {
		return plugin{}, err
	}
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return plugin{}, fmt.Errorf("the cache folder cannot be made (%w): set XDG_CACHE_HOME to a folder you can write", err)
	}
	unlock, err := s.lock(ctx, o)
	if err != nil {
		return plugin{}, err
	}
	defer unlock()
	if found, err := search(o, kind); err == nil && found.File != "" {
		return found, nil
	}
	s.clearStages()
	if kind == XLACUDA {
		return installCUDA(ctx, o)
	}
	return installCPU(ctx, o, s)
}

// lock holds the store against other processes.
func (s store) lock(ctx context.Context, o Options) (unlock func() error, err error) {
	lock := flock.New(filepath.Join(s.folder, "install.lock"))
	got, err := lock.TryLock()
	if err == nil && !got {
		o.Progress.Begin("waiting for another process that installs the XLA plugin")
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the cache folder cannot be locked (%w): set XDG_CACHE_HOME to a folder you can write", err)
	}
	return lock.Unlock, nil
}

// installCPU tries the ways to a CPU plugin: the wheel that the user gave and no other; else the release that go-xla's
// installer takes; else the package index that pip is set up for.
func installCPU(ctx context.Context, o Options, s store) (plugin, error) {
	if given := o.wheel(); given != "" {
		file, err := pinned.fromGiven(ctx, o, s, given)
		return plugin{File: file, Origin: "wheel " + given}, err
	}
	if o.Offline {
		return plugin{}, fmt.Errorf("no XLA plugin is installed and the network is not to be used: set %s to a plugin's folder, or %s to the file %s",
			EnvPlugins, EnvWheel, pinned.file)
	}
	file, err1 := fromRelease(ctx, o, s)
	if err1 == nil {
		return plugin{File: file, Origin: "go-xla's release"}, nil
	}
	if ctx.Err() != nil {
		return plugin{}, ctx.Err()
	}
	file, err2 := pinned.fromPip(ctx, o, s)
	if err2 == nil {
		return plugin{File: file, Origin: "pip"}, nil
	}
	if ctx.Err() != nil {
		return plugin{}, ctx.Err()
	}
	return plugin{}, fmt.Errorf("no XLA plugin could be installed: %w (before that: %w)", err2, err1)
}

// cachedPlugin is the CPU plugin that an earlier installation left; "" when there is none that is whole.
func cachedPlugin() (file, name string) {
	s, err := openStore()
	if err != nil {
		return "", ""
	}
	for _, name := range []string{releaseName, pinned.folder()} {
		if file := s.plugin(name); file != "" {
			return file, name
		}
	}
	return "", ""
}
