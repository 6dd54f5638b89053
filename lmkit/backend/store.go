package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// store is the cache folder of installed plugins. Each is a folder that came whole, by a rename: the library, and a
// manifest that says what the library must be.
type store struct{ folder string }

func openStore() (store, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return store{}, fmt.Errorf("there is no cache folder (%w): set HOME or XDG_CACHE_HOME", err)
	}
	return store{filepath.Join(cache, "lmkit", "pjrt")}, nil
}

// manifest describes an installed library.
type manifest struct {
	File   string `json:"file"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Source string `json:"source"` // the wheel or release it came from
}

const manifestFile = "plugin.json"

// plugin is the library of an installed plugin; "" when there is none, or it has not the size that it must have.
func (s store) plugin(name string) string {
	m, err := s.manifest(name)
	if err != nil || m.File != filepath.Base(m.File) {
		return ""
	}
	file := filepath.Join(s.folder, name, m.File)
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() != m.Size {
		return ""
	}
	return file
}

func (s store) manifest(name string) (m manifest, err error) {
	text, err := os.ReadFile(filepath.Join(s.folder, name, manifestFile))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// verify reads a whole installed library again and compares its checksum.
func (s store) verify(ctx context.Context, name string) error {
	m, err := s.manifest(name)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(s.folder, name, m.File))
	if err != nil {
		return err
	}
	defer f.Close()
	sum, _, err := checksum(ctx, f)
	if err != nil {
		return err
	}
	return compare(f.Name(), sum, m.SHA256)
}

// put installs a library under a name. The manifest holds what the library must be: an empty checksum is filled in, and
// Size, when it is not exact, bounds what is read.
func (s store) put(ctx context.Context, name string, library io.Reader, m manifest, exact bool, report func(done int64)) (string, error) {
	dir, err := s.stage()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	m.File = pluginFile()
	sum, size, err := write(ctx, filepath.Join(dir, m.File), io.LimitReader(library, m.Size+1), report)
	switch {
	case err != nil:
		return "", fmt.Errorf("write the plugin to the cache folder: %w", err)
	case size > m.Size || exact && size != m.Size:
		return "", fmt.Errorf("the plugin in %s has not the right size: %d bytes expected", m.Source, m.Size)
	case m.SHA256 != "":
		if err := compare(m.Source, sum, m.SHA256); err != nil {
			return "", err
		}
	}
	m.Size, m.SHA256 = size, sum
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		_, _, err = write(ctx, filepath.Join(dir, manifestFile), strings.NewReader(string(text)+"\n"), nil)
	}
	dest := filepath.Join(s.folder, name)
	err = errors.Join(err, os.Chmod(dir, 0o755), os.RemoveAll(dest))
	if err == nil {
		err = os.Rename(dir, dest)
	}
	if err != nil {
		return "", fmt.Errorf("write the plugin to the cache folder: %w", err)
	}
	return filepath.Join(dest, m.File), nil
}

const stagePrefix = "installing-"

// stage makes a folder beside the installed plugins, so that a rename from it into place is atomic.
func (s store) stage() (string, error) {
	dir, err := os.MkdirTemp(s.folder, stagePrefix)
	if err != nil {
		return "", fmt.Errorf("the cache folder cannot be written (%w): set XDG_CACHE_HOME to a folder you can write", err)
	}
	return dir, nil
}

// clearStages removes what killed installations left. Only the holder of the lock may call it.
func (s store) clearStages() {
	left, _ := filepath.Glob(filepath.Join(s.folder, stagePrefix+"*"))
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

// write makes a file that is on the disk when it returns.
func write(ctx context.Context, file string, from io.Reader, report func(done int64)) (sum string, size int64, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, hash), &reader{ctx, from, report, 0})
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	return hex.EncodeToString(hash.Sum(nil)), size, err
}

func checksum(ctx context.Context, from io.Reader) (sum string, size int64, err error) {
	hash := sha256.New()
	size, err = io.Copy(hash, &reader{ctx, from, nil, 0})
	return hex.EncodeToString(hash.Sum(nil)), size, err
}

func compare(what, got, want string) error {
	if got != want {
		return fmt.Errorf("wrong checksum of %s: sha256 is %s and must be %s; fetch it again from a source you trust", what, got, want)
	}
	return nil
}

// reader stops at the end of a context and tells how far it is.
type reader struct {
	ctx    context.Context
	from   io.Reader
	report func(done int64)
	done   int64
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p)
	if r.done += int64(n); r.report != nil {
		r.report(r.done)
	}
	return n, err
}

// pluginFile is the name of a CPU plugin on this system.
func pluginFile() string {
	switch runtime.GOOS {
	case "darwin":
		return "pjrt_c_api_cpu_plugin.dylib"
	case "windows":
		return "pjrt_c_api_cpu_plugin.dll"
	}
	return "pjrt_c_api_cpu_plugin.so"
}
