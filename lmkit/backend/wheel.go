package backend

import (
	"archive/zip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"lmkit.internal/lmkit/internal/fetch"
	"lmkit.internal/lmkit/progress"
)

// wheel is a Python package that carries a PJRT plugin. Only its one library is used; no Python code of it runs.
type wheel struct {
	name, version string
	file          string // the wheel's file name
	platform      string // GOOS/GOARCH it is for
	size          int64  // of the wheel, in bytes
	sha256        string // of the wheel
	member        string // path of the library inside
	memberSize    int64
	memberSHA256  string
}

// pinned is XLA's CPU plugin (Apache-2.0), as built for JAX 0.11.2.
var pinned = wheel{
	name: "lammps-jax-pjrt-cpu", version: "0.11.2",
	file:         "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
	platform:     "linux/amd64",
	size:         62_711_338,
	sha256:       "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
	member:       "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
	memberSize:   201_600_336,
	memberSHA256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
}

// folder names the wheel's plugin in the store.
func (w wheel) folder() string { return "cpu-" + w.version }

// wheel is where the user says that the wheel is.
func (o Options) wheel() string {
	if o.Wheel != "" {
		return o.Wheel
	}
	return os.Getenv(EnvWheel)
}

// fromGiven installs the wheel from a path or a URL.
func (w wheel) fromGiven(ctx context.Context, o Options, s store, given string) (string, error) {
	if err := w.runsHere(); err != nil {
		return "", err
	}
	if !strings.HasPrefix(given, "http://") && !strings.HasPrefix(given, "https://") {
		return w.unpack(ctx, o, s, given)
	}
	if o.Offline {
		return "", fmt.Errorf("the wheel is at %s and the network is not to be used: give a file", given)
	}
	folder := filepath.Join(s.folder, "download") // kept when the download is cut, so that the next try continues
	file := filepath.Join(folder, w.file)
	err := fetch.File(ctx, fetch.Request{URL: given, SHA256: w.sha256, Dest: file, Client: client, Progress: o.Progress, What: downloading})
	if err != nil {
		return "", fmt.Errorf("the XLA plugin's wheel: %w", err)
	}
	installed, err := w.unpack(ctx, o, s, file)
	if err == nil {
		os.RemoveAll(folder)
	}
	return installed, err
}

// downloading is what progress calls the download of a plugin, wherever it comes from.
const downloading = "downloading the XLA plugin"

// runsHere refuses the wheel on a system that it was not built for.
func (w wheel) runsHere() error {
	if here := runtime.GOOS + "/" + runtime.GOARCH; here != w.platform {
		return fmt.Errorf("the package %s has no plugin for %s: install one with go-xla's pjrt_installer", w.name, here)
	}
	return nil
}

// unpack checks the wheel and installs its library: whole and verified, or not at all.
func (w wheel) unpack(ctx context.Context, o Options, s store, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("the XLA plugin's wheel cannot be read: %w", err)
	}
	defer f.Close()
	o.Progress.Begin("checking the XLA plugin")
	sum, size, err := checksum(ctx, f)
	if err != nil {
		return "", fmt.Errorf("the XLA plugin's wheel cannot be read: %w", err)
	}
	if err := compare(filepath.Base(file), sum, w.sha256); err != nil {
		return "", err
	}
	archive, err := zip.NewReader(f, size)
	if err != nil {
		return "", fmt.Errorf("the XLA plugin's wheel %s: %w", file, err)
	}
	library, err := archive.Open(w.member)
	if err != nil {
		return "", fmt.Errorf("the wheel %s lacks %s: %w", file, w.member, err)
	}
	defer library.Close()
	m := manifest{Size: w.memberSize, SHA256: w.memberSHA256, Source: w.file}
	return s.put(ctx, w.folder(), library, m, true, func(done int64) {
		o.Progress.At("unpacking the XLA plugin", done, w.memberSize, progress.Bytes)
	})
}
