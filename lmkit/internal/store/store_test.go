package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keep puts a file into a store of a cache folder of the test's own.
func keep(t *testing.T) (s Store, file string) {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("HOME", cache)
	t.Setenv("XDG_CACHE_HOME", cache)
	s, err := Open("things")
	if err == nil {
		err = s.Make()
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err = s.Put(t.Context(), "one", strings.NewReader("contents"), Manifest{File: "f", Size: 8, Source: "test"},
		true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

// A file that has another time than when it was put there is compared with its checksum, once.
func TestFileThatChanged(t *testing.T) {
	s, file := keep(t)
	if got, err := s.File("one"); got != file || err != nil {
		t.Fatalf("found %q, %v; want %s", got, err, file)
	}
	if got, err := s.File("two"); got != "" || err != nil {
		t.Errorf("found %q, %v, where nothing was put", got, err)
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	if got, err := s.File("one"); got != file || err != nil {
		t.Errorf("touched: found %q, %v; want %s", got, err, file)
	}
	if m, err := s.manifest("one"); err != nil || !m.Time.Equal(mtime(t, file)) {
		t.Errorf("the time of the file, whose checksum is right, was not noted: %v, %v", m.Time, err)
	}
	if err := os.WriteFile(file, []byte("contentz"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, later, later.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.File("one"); got != "" || err != nil {
		t.Errorf("another file of the same size was found: %q, %v", got, err)
	}
}

func mtime(t *testing.T, file string) time.Time {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// What others can write is refused, wherever between the file and the cache folder that is.
func TestOthersCanWrite(t *testing.T) {
	s, file := keep(t)
	if os.PathSeparator != '/' {
		t.Skip("this system keeps others out by other means")
	}
	for path := file; path != filepath.Dir(filepath.Dir(filepath.Dir(s.Folder))); path = filepath.Dir(path) {
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for mode, refused := range map[os.FileMode]bool{0o777: true, 0o775: true, 0o757: true, 0o755: false,
			0o777 | os.ModeSticky: path == file} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			got, err := s.File("one")
			if refused && (err == nil || !strings.Contains(err.Error(), path) ||
				!strings.Contains(err.Error(), "written by other users")) {
				t.Errorf("%s with mode %v: found %q, %v; want it refused", path, mode, got, err)
			}
			if !refused && (got != file || err != nil) {
				t.Errorf("%s with mode %v: found %q, %v; want %s", path, mode, got, err, file)
			}
		}
		if err := os.Chmod(path, before.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnotherUsersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	s, file := keep(t)
	for _, path := range []string{file, filepath.Dir(file), s.Folder} {
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if got, err := s.File("one"); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%s: found %q, %v; want it refused", path, got, err)
		}
		if err := os.Chown(path, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
}

// A home folder that does not exist is not made.
func TestNoHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "nobody")
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("LocalAppData", filepath.Join(home, "local"))
	t.Setenv("USERPROFILE", home)
	s, err := Open("things")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(); err == nil || !strings.Contains(err.Error(), "set HOME or XDG_CACHE_HOME") {
		t.Errorf("got %v, want an error with a cure", err)
	}
	if _, err := os.Stat(home); err == nil {
		t.Error("the home folder was made")
	}
}
