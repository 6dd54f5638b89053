//go:build !linux && !darwin

package whole

import "os"

// Claim does nothing: here a file that is open cannot be removed.
func Claim(*os.File) bool { return true }

// rename gives the file its name, for which it must not be open.
func (f *File) rename() error {
	if err := f.File.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), f.path)
}

// removeAbandoned removes a file, unless a process is writing it, which makes removing fail.
func removeAbandoned(name string) error {
	_ = os.Remove(name)
	return nil
}
