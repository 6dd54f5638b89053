//go:build cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64))

package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/installer"
	"github.com/gomlx/go-xla/pjrt"
)

// xlaMissing says why this program has no XLA: here it has.
func xlaMissing() error { return nil }

// envThreads is how many threads XLA's plugin computes with. By itself it takes a processor's number of cores, however
// few of them a container may use, and never less than its number of devices.
const envThreads = "PJRT_NPROC"

// newXLA opens the plugin that a request names.
//
// On the processor the plugin shows four devices if it is not told otherwise, and so has four threads at least: on two
// cores these got into each other's way, and training took a fifth longer.
func newXLA(r request) (compute.Backend, error) {
	xla.EnableAutoInstall(false)
	options := pjrt.NamedValuesMap{}
	if r.kind == XLACPU {
		threads := runtime.GOMAXPROCS(0)
		if os.Getenv(envThreads) == "" {
			os.Setenv(envThreads, strconv.Itoa(threads))
		}
		if r.devices == 0 {
			r.devices = min(threads, 4)
		}
		options["cpu_device_count"] = int64(r.devices)
	}
	return xla.NewWithOptions(r.plugin+r.config, options)
}

// installCUDA runs go-xla's installer, which takes the plugin and NVIDIA's libraries from Python packages. It tells
// nothing of its progress and cannot be stopped: a cancelled ctx only stops the waiting.
func installCUDA(ctx context.Context, o Options) (plugin, error) {
	if o.Offline {
		return plugin{}, fmt.Errorf("no CUDA plugin is installed and the network is not to be used: set %s to a plugin's folder", EnvPlugins)
	}
	lib, err := installer.DefaultHomeLibPath()
	if err != nil {
		return plugin{}, err
	}
	o.Progress.Begin("installing the CUDA plugin and NVIDIA's libraries (about 3 GB)")
	done := make(chan error, 1)
	restore := muteStdout()
	go func() { done <- installer.CudaAutoInstall(filepath.Join(lib, "go-xla"), true, installer.Quiet) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	restore()
	if err != nil {
		return plugin{}, fmt.Errorf("go-xla's installer for CUDA: %s", oneLine(err.Error()))
	}
	found, err := search(o, XLACUDA)
	if err == nil && found.File == "" {
		err = errors.New("go-xla's installer found nothing to install for CUDA on this machine")
	}
	return found, err
}

// muteStdout keeps the installer's messages out of standard output, which belongs to results.
func muteStdout() (restore func()) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return func() {}
	}
	old := os.Stdout
	os.Stdout = null
	return func() { os.Stdout = old }
}
