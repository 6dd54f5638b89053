//go:build linux || darwin || freebsd

package mapped

import (
	"os"
	"syscall"
)

func mapFile(f *os.File, size int) (all []byte, unmap func() error, err error) {
	all, err = syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	return all, func() error { return syscall.Munmap(all) }, err
}
