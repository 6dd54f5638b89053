//go:build linux || darwin

package backend

import "syscall"

// diskFree is the number of bytes that the user may still write to a folder's disk.
func diskFree(folder string) (int64, error) {
	var s syscall.Statfs_t
	err := syscall.Statfs(folder, &s)
	return int64(s.Bavail) * int64(s.Bsize), err
}
