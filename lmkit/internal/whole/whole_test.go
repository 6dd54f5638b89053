package whole

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// names are the files in a folder.
func names(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Of a file that is dropped nothing is left, and the one that was there stays; a committed one takes its place.
func TestAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	put(t, path, "old")
	for _, commit := range []bool{false, true} {
		f, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("new"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
			t.Errorf("before the end: %q, %v", got, err)
		}
		if commit {
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		want := map[bool]string{false: "old", true: "new"}[commit]
		if got, err := os.ReadFile(path); err != nil || string(got) != want || names(t, dir) != "a.txt" {
			t.Errorf("commit %v: %q, %v, in the folder %s", commit, got, err, names(t, dir))
		}
	}
}

// What a killed process left is removed; what a living one is writing, and files of other names, are not.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	for _, name := range []string{".a.txt123", ".a.txt9", ".a.txt", ".a.txt1x", "a.txt1", ".b.txt1", ".aatxt1"} {
		put(t, filepath.Join(dir, name), "")
	}
	living, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := living.Close(); err != nil {
		t.Error(err)
	}
	if got, want := names(t, dir), ".a.txt .a.txt1x .aatxt1 .b.txt1 a.txt a.txt1"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
}

// Many at once: each writes the whole of its own, and the last one wins.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	var wg sync.WaitGroup
	for i := range byte(16) {
		wg.Go(func() {
			for range 20 {
				if err := Write(path, bytes.Repeat([]byte{i}, 10000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 10000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if left := names(t, filepath.Dir(path)); left != "a" {
		t.Errorf("left %s", left)
	}
}

// A link stays, and leads to the new file.
func TestLink(t *testing.T) {
	dir := t.TempDir()
	to, link := filepath.Join(dir, "to"), filepath.Join(dir, "link")
	put(t, to, "old")
	if err := os.Symlink("to", link); err != nil {
		t.Skip("no links here:", err)
	}
	if err := Write(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Readlink(link); err != nil {
		t.Error(err)
	}
}

// A file is replaced by one of its own sort alone; nothing is lost otherwise.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	sorts := map[string][]string{
		"page": {"<!DOCTYPE html><p>", "\n<HTML>"}, "picture": {"<svg/>", "<?xml version='1.0'?><svg/>"},
		"lines": {`{"line":1}`, "{ \n \"line\" :\t2}"}, "settings": {`{"architectures": [`, "{\n  \"architectures\":null}"},
		"list": {"[1]", " [\n"}, "png": {"\x89PNG\r\n"}, "other": {"hello", "\x08\x00\x00\x00{"},
		"lens":    {"\x08\x00\x00\x00\x00\x00\x00\x00{\"LENS\":", "\x20\x01\x00\x00\x00\x00\x00\x00{ \"LENS\":{}"},
		"weights": {"\x08\x00\x00\x00\x00\x00\x00\x00{\"embed\":", "\x00\x00\x00\x00\x00\x00\x00\x00{\"embed\""},
		"vector":  {"GGUF\x03\x00 general.architecture controlvector"}, "model": {"GGUF\x03\x00 general.architecture llama"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SampledFrom(slices.Sorted(maps.Keys(sorts)))
		a, b := kinds.Draw(rt, "old"), kinds.Draw(rt, "new")
		old, now := rapid.SampledFrom(sorts[a]).Draw(rt, "old text"), rapid.SampledFrom(sorts[b]).Draw(rt, "new text")
		path := filepath.Join(dir, "file")
		put(t, path, old)
		err := Replace(path, []byte(now))
		got, wrong := os.ReadFile(path)
		want := old
		if a == b {
			want = now
		}
		if wrong != nil || (err == nil) != (a == b) || string(got) != want {
			rt.Fatalf("%q over %q: %v, holds %q, %v", now, old, err, got, wrong)
		}
	})
	put(t, filepath.Join(dir, "empty"), " \n")
	if err := Replace(filepath.Join(dir, "empty"), []byte("<svg/>")); err != nil {
		t.Error(err)
	}
	if err := Replace(dir, []byte("<svg/>")); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("over a folder: %v", err)
	}
	for _, path := range []string{filepath.Join(dir, "none", "page"), filepath.Join(dir, "empty", "page"), dir} {
		if err := Replaceable(path, []byte("<svg/>")); err == nil {
			t.Errorf("%s can be written, it is said", path)
		}
	}
	if err := Replaceable(filepath.Join(dir, "new"), nil); err != nil || strings.Contains(names(t, dir), "new") {
		t.Errorf("to ask about a file: %v, and left %s", err, names(t, dir))
	}
	if err := Replace(os.DevNull, []byte("<svg/>")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s is replaced: %v", os.DevNull, err)
	}
}
