//go:build linux || darwin

package whole

import (
	"os"

	"golang.org/x/sys/unix"
)

// Claim says to other processes that this one is writing the file: the lock lasts as long as the file is open.
func Claim(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// rename gives the file its name while it is still open, and so claimed.
func (f *File) rename() error {
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	return f.File.Close()
}

// removeAbandoned removes a file that no process is writing.
func removeAbandoned(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if !Claim(f) {
		return nil
	}
	return os.Remove(name)
}
