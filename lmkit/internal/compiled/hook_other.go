//go:build !linux || !cgo || noxla || !(amd64 || arm64)

package compiled

import "errors"

// Works reports whether programs can be kept on this system.
const Works = false

// Install has the programs of a plugin kept in a cache, which this system cannot.
func Install(string, *Cache) error {
	return errors.New("compiled programs are kept on Linux alone, by programs that have XLA in them")
}
