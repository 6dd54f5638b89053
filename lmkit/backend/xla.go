//go:build cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64))

package backend

import (
	"runtime"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
)

// xlaMissing says why this program has no XLA: here it has.
func xlaMissing() error { return nil }

// newXLA opens the plugin that a request names.
//
// On the processor the plugin shows four devices if it is not told otherwise, and so has four threads at least: on two
// cores these got into each other's way, and training took a fifth longer.
func newXLA(r request) (compute.Backend, error) {
	xla.EnableAutoInstall(false)
	options := pjrt.NamedValuesMap{}
	if r.kind == XLACPU {
		threads := runtime.GOMAXPROCS(0)
		if r.devices == 0 {
			r.devices = min(threads, 4)
		}
		options["cpu_device_count"] = int64(r.devices)
	}
	return xla.NewWithOptions(r.plugin+r.config, options)
}
