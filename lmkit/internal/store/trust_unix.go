//go:build unix

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Trusted returns an error if another user than this one and root owns a file, or a folder above it up to the folder
// root, or could change it. In a folder for all with the sticky bit, such as /tmp, nobody can change what is another's.
func Trusted(file, root string) error {
	for path := file; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
			return fmt.Errorf("%s belongs to another user, who could have put anything there: remove it, or set XDG_CACHE_HOME "+
				"to a folder of your own", path)
		}
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		if info.Mode().Perm()&0o022 != 0 && !sticky {
			return fmt.Errorf("%s can be written by other users, who could have put anything there: chmod go-w %s, and check %s",
				path, path, file)
		}
		if path == root || !strings.HasPrefix(path, root) {
			return nil
		}
	}
}
