//go:build unix

package mapped

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is not a regular file is refused at once: nobody waits for a pipe's other end.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"loop": "loop", "a": "b", "b": "a", "to-pipe": "pipe", "nowhere": "nothing"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		at("pipe"): "not a regular file", at("to-pipe"): "not a regular file", "/dev/zero": "not a regular file",
		at("loop"): "leads back to itself", at("a"): "leads back to itself", at("nowhere"): "no such file",
		at("missing"): "no such file", dir: "is a folder",
	} {
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got error %v, want one line with %q", filepath.Base(path), err, want)
		}
	}
}
