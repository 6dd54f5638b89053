package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gomlx/go-xla/installer"
)

// installCUDA takes the plugin and NVIDIA's libraries from Python packages, with the parts of go-xla's installer that
// are silent. They tell nothing of their progress and cannot be stopped: a cancelled ctx only stops the waiting.
func installCUDA(ctx context.Context, o Options) (Plugin, error) {
	if o.Offline {
		return Plugin{}, fmt.Errorf("no CUDA plugin is installed and the network is not to be used: set %s to a "+
			"plugin's folder",
			EnvPlugins)
	}
	lib, err := installer.DefaultHomeLibPath()
	if err != nil {
		return Plugin{}, err
	}
	o.Progress.Begin("installing the CUDA plugin and NVIDIA's libraries (about 3 GB)")
	done := make(chan error, 1)
	go func() { done <- cudaInto(filepath.Join(lib, "go-xla", "nvidia")) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return Plugin{}, fmt.Errorf("go-xla's installer for CUDA: %s", oneLine(err.Error()))
	}
	found, err := Search(o, CUDA)
	if err == nil && found.File == "" {
		err = errors.New("go-xla's installer found nothing to install for CUDA on this machine")
	}
	return found, err
}

// cudaInto fills a folder, in place of what is there. The plugin comes last: a folder that has it is whole.
func cudaInto(folder string) error {
	const generation, version, keep = "cuda13", "latest", true
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := installer.CudaInstallNvidiaLibraries(generation, version, folder, keep, installer.Quiet); err != nil {
		return err
	}
	_, err := installer.CudaInstallPJRT(generation, version, folder, keep, installer.Quiet)
	return err
}
