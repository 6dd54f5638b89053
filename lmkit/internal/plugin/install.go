// Package plugin finds, checks and installs the PJRT plugins that XLA is loaded from.
package plugin

import (
	"context"
	"fmt"
	"runtime"

	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/internal/wheel"
)

// install puts the plugin for an engine where the next search finds it. One process installs at a time; the others wait
// and find what it left.
func install(ctx context.Context, o Options, kind string) (Plugin, error) {
	s, err := Store()
	if err == nil {
		err = s.Make()
	}
	if err != nil {
		return Plugin{}, err
	}
	unlock, err := s.Lock(ctx, func() { o.Progress.Begin("waiting for another process that installs the XLA plugin") })
	if err != nil {
		return Plugin{}, err
	}
	defer unlock()
	if found, err := Search(o, kind); err == nil && found.File != "" {
		return found, nil
	}
	s.ClearStages()
	if kind == CUDA {
		return installCUDA(ctx, o)
	}
	return installCPU(ctx, o, s)
}

// installCPU tries the ways to a CPU plugin: the wheel that the user gave and no other; else the release that go-xla's
// installer takes; else the package index that pip is set up for.
func installCPU(ctx context.Context, o Options, s store.Store) (Plugin, error) {
	from := wheel.Source{Given: o.wheel(), Offline: o.Offline, Client: client, Progress: o.Progress}
	if from.Given != "" {
		err := runsHere()
		file := ""
		if err == nil {
			file, err = Wheel.FromGiven(ctx, s, from)
		}
		return Plugin{File: file, Origin: "wheel " + from.Given}, err
	}
	if o.Offline {
		return Plugin{}, fmt.Errorf("no XLA plugin is installed and the network is not to be used: set %s to a plugin's "+
			"folder, or %s to the file %s",
			EnvPlugins, EnvWheel, Wheel.File)
	}
	file, err1 := fromRelease(ctx, o, s)
	if err1 == nil {
		return Plugin{File: file, Origin: "go-xla's release"}, nil
	}
	if ctx.Err() != nil {
		return Plugin{}, ctx.Err()
	}
	err2 := runsHere()
	if err2 == nil {
		file, err2 = Wheel.FromPip(ctx, s, from)
	}
	if err2 == nil {
		return Plugin{File: file, Origin: "pip"}, nil
	}
	if ctx.Err() != nil {
		return Plugin{}, ctx.Err()
	}
	return Plugin{}, fmt.Errorf("no XLA plugin could be installed: %w (before that: %w)", err2, err1)
}

// Cached returns the CPU plugin that an earlier installation left, and its name in the store; "" when there is none
// that is whole. One that somebody else could have put there is an error.
func Cached() (file, name string, err error) {
	s, err := Store()
	if err != nil {
		return "", "", nil // without a cache there is nothing in it
	}
	for _, name := range []string{ReleaseName, Wheel.Folder} {
		if file, err := s.File(name); file != "" || err != nil {
			return file, name, err
		}
	}
	return "", "", nil
}

// runsHere refuses the wheel on a system that it was not built for.
func runsHere() error {
	if here := runtime.GOOS + "/" + runtime.GOARCH; here != Platform {
		return fmt.Errorf("the package %s has no plugin for %s: install one with go-xla's pjrt_installer", Wheel.Name, here)
	}
	return nil
}
