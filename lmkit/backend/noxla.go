//go:build !cgo || noxla || !((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64))

package backend

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/gomlx/compute"
)

// xlaMissing says why this program has no XLA, and the cure.
func xlaMissing() error {
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64":
	default:
		return fmt.Errorf("XLA does not run on %s/%s; use the engine %q", runtime.GOOS, runtime.GOARCH, Go)
	}
	if _, err := exec.LookPath("gcc"); err != nil {
		if _, err := exec.LookPath("clang"); err != nil {
			return errors.New("this program was built without XLA, and there is no C compiler: install gcc and the C " +
				"library's headers (Debian: apt-get install gcc libc6-dev), then build again")
		}
	}
	return errors.New("this program was built without XLA: build again with CGO_ENABLED=1 and without the tag noxla")
}

func newXLA(request) (compute.Backend, error) { return nil, xlaMissing() }
