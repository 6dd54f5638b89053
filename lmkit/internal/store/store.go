// Package store keeps files that were fetched once, whole and verified, in the user's cache folder.
package store

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
	"strings"
	"time"

	"github.com/gofrs/flock"

	"lmkit.internal/lmkit/internal/strict"
	"lmkit.internal/lmkit/internal/whole"
)

// Store is a folder of the user's cache. Each thing that it keeps is a folder that came whole, by a rename: a file, and
// a manifest that says what the file must be.
type Store struct{ Folder string }

// Open names the store of one sort of things. Nothing is made.
func Open(sort string) (Store, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Store{}, fmt.Errorf("there is no cache folder (%w): set HOME or XDG_CACHE_HOME", err)
	}
	return Store{filepath.Join(cache, "lmkit", sort)}, nil
}

// Make makes the store's folder. A home folder that does not exist is not made.
func (s Store) Make() error {
	home, err := os.UserHomeDir()
	if err == nil && strings.HasPrefix(s.Folder, filepath.Clean(home)+string(filepath.Separator)) {
		if _, err := os.Stat(home); err != nil {
			return fmt.Errorf("the home folder cannot be used (%w): set HOME or XDG_CACHE_HOME to a folder that exists", err)
		}
	}
	if err := os.MkdirAll(s.Folder, 0o755); err != nil {
		return fmt.Errorf("the cache folder cannot be made (%w): set XDG_CACHE_HOME to a folder you can write", err)
	}
	return nil
}

// Lock holds the store against other processes. wait is called when another one holds it.
func (s Store) Lock(ctx context.Context, wait func()) (unlock func() error, err error) {
	lock := flock.New(filepath.Join(s.Folder, "install.lock"))
	got, err := lock.TryLock()
	if err == nil && !got {
		wait()
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("the cache folder cannot be locked (%w): set XDG_CACHE_HOME to a folder you can write", err)
	}
	return lock.Unlock, nil
}

// Manifest describes a file that is kept.
type Manifest struct {
	File   string    `json:"file"`
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"`
	Source string    `json:"source"`        // the wheel or release it came from
	Time   time.Time `json:"time,omitzero"` // of the file, when its checksum was found right
}

// ManifestFile is the manifest's name in the folder of a thing.
const ManifestFile = "plugin.json"

// File returns the path of a thing's file, or "" when there is none that is whole. The file has the size and the time
// that it had when its checksum was found right; where it has another time, its checksum is compared again. It is an
// error that somebody else could have put the file there.
func (s Store) File(name string) (string, error) {
	m, err := s.manifest(name)
	if err != nil || m.File == "" || m.File != filepath.Base(m.File) {
		return "", nil
	}
	file := filepath.Join(s.Folder, name, m.File)
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.Size {
		return "", nil
	}
	if err := Trusted(file, filepath.Dir(filepath.Dir(s.Folder))); err != nil {
		return "", err
	}
	if m.Time.Equal(info.ModTime()) {
		return file, nil
	}
	if s.Verify(context.Background(), name) != nil {
		return "", nil
	}
	m.Time = info.ModTime()
	if text, err := json.MarshalIndent(m, "", "  "); err == nil {
		_ = whole.Write(filepath.Join(s.Folder, name, ManifestFile), append(text, '\n')) // else it is compared again
	}
	return file, nil
}

func (s Store) manifest(name string) (m Manifest, err error) {
	text, err := os.ReadFile(filepath.Join(s.Folder, name, ManifestFile))
	if err != nil {
		return m, err
	}
	return m, strict.Decode(text, &m)
}

// Verify reads a whole file that is kept, and compares its checksum.
func (s Store) Verify(ctx context.Context, name string) error {
	m, err := s.manifest(name)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(s.Folder, name, m.File))
	if err != nil {
		return err
	}
	defer f.Close()
	sum, _, err := Checksum(ctx, f)
	if err != nil {
		return err
	}
	return Compare(f.Name(), sum, m.SHA256)
}

// Put keeps what from holds under a name. The manifest says what that must be: an empty checksum is filled in, and Size
// bounds what is read when it is not exact.
func (s Store) Put(
	ctx context.Context, name string, from io.Reader, m Manifest, exact bool, report func(done int64),
) (string, error) {
	dir, err := s.Stage()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, m.File)
	sum, size, err := write(ctx, made, io.LimitReader(from, m.Size+1), report)
	switch {
	case err != nil:
		return "", fmt.Errorf("write to the cache folder: %w", err)
	case size > m.Size || exact && size != m.Size:
		return "", fmt.Errorf("%s in %s has not the right size: %d bytes expected", m.File, m.Source, m.Size)
	case m.SHA256 != "":
		if err := Compare(m.Source, sum, m.SHA256); err != nil {
			return "", err
		}
	}
	m.Size, m.SHA256 = size, sum
	if info, err := os.Stat(made); err == nil {
		m.Time = info.ModTime()
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		_, _, err = write(ctx, filepath.Join(dir, ManifestFile), strings.NewReader(string(text)+"\n"), nil)
	}
	dest := filepath.Join(s.Folder, name)
	err = errors.Join(err, os.Chmod(dir, 0o755), os.RemoveAll(dest))
	if err == nil {
		err = os.Rename(dir, dest)
	}
	if err != nil {
		return "", fmt.Errorf("write to the cache folder: %w", err)
	}
	return filepath.Join(dest, m.File), nil
}

const stagePrefix = "installing-"

// Stage makes a folder beside what is kept, so that a rename from it into place is atomic.
func (s Store) Stage() (string, error) {
	dir, err := os.MkdirTemp(s.Folder, stagePrefix)
	if err != nil {
		return "", fmt.Errorf("the cache folder cannot be written (%w): set XDG_CACHE_HOME to a folder you can write", err)
	}
	return dir, nil
}

// ClearStages removes what killed installations left. Only the holder of the lock may call it.
func (s Store) ClearStages() {
	left, _ := filepath.Glob(filepath.Join(s.Folder, stagePrefix+"*"))
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

// write makes a file that is on the disk when it returns.
func write(ctx context.Context, file string, from io.Reader, report func(done int64)) (sum string, size int64,
	err error) {
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

// Checksum returns the SHA-256 of what from holds, in hexadecimal, and its size.
func Checksum(ctx context.Context, from io.Reader) (sum string, size int64, err error) {
	hash := sha256.New()
	size, err = io.Copy(hash, &reader{ctx, from, nil, 0})
	return hex.EncodeToString(hash.Sum(nil)), size, err
}

// Compare fails unless a checksum is the one that it must be.
func Compare(what, got, want string) error {
	if got != want {
		return fmt.Errorf("wrong checksum of %s: sha256 is %s and must be %s; fetch it again from a source you trust", what,
			got, want)
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
