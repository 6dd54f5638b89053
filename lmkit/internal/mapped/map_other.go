//go:build !linux && !darwin && !freebsd

package mapped

import (
	"io"
	"os"
)

// mapFile reads the whole file on systems whose maps lmkit does not know.
func mapFile(f *os.File, size int) (all []byte, unmap func() error, err error) {
	all = make([]byte, size)
	_, err = io.ReadFull(f, all)
	return all, func() error { return nil }, err
}
