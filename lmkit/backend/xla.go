//go:build cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64))

package backend

import (
	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
)

// xlaMissing says why this program has no XLA: here it has.
func xlaMissing() error { return nil }

// newXLA opens a plugin: its absolute path, and go-xla's options after commas.
func newXLA(config string) (compute.Backend, error) {
	return xla.New(config)
}
