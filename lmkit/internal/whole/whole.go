// Package whole writes files that are there whole or not at all, and clears away what killed processes left of theirs.
package whole

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// File is a file in the making, under a name of its own beside the one that it is to have.
type File struct {
	*os.File
	path string // which Commit gives it
	done bool
}

// Create begins the file that Commit puts at path, in place of one that is there. It removes what processes that
// are gone left beside path. Where path is a link, the file that it leads to is replaced, and the link stays.
func Create(path string) (*File, error) {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, &fs.PathError{Op: "write", Path: path, Err: errors.New("is a folder")}
	}
	if err := Clean(path); err != nil {
		return nil, err
	}
	for {
		name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+strconv.FormatUint(rand.Uint64(), 10))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if Claim(f) && still(f, name) {
			return &File{File: f, path: path}, nil
		}
		// Another process took the new file for one that was left.
		_ = f.Close()
	}
}

// still reports whether a name is that of the open file.
func still(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// Commit puts the file in its place, when all of it is on the disk.
func (f *File) Commit() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.rename(); err != nil {
		return err
	}
	f.done = true
	return nil
}

// Close drops a file that was not committed. After Commit it does nothing.
func (f *File) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	if err := f.File.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return err
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Write makes data the contents of the file at path.
func Write(path string, data []byte) (err error) {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}

// Clean removes the files in the making that processes which are gone left beside path.
func Clean(path string) error {
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil // there is no such folder, or it cannot be read: writing says what is wrong
	}
	for _, e := range all {
		rest, ok := strings.CutPrefix(e.Name(), "."+filepath.Base(path))
		if !ok || rest == "" || strings.Trim(rest, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		name := filepath.Join(filepath.Dir(path), e.Name())
		if err := removeAbandoned(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what is left of a stopped process: %w", err)
		}
	}
	return nil
}

// Replace is Write for a file that a person named: it refuses what [Replaceable] refuses. A device or a pipe is
// written to as it is.
func Replace(path string, data []byte) error {
	if err := replaces(path, data); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return os.WriteFile(path, data, 0o644)
	}
	return Write(path, data)
}

// Replaceable returns an error if no file can be written at path, or if there is one of another sort than what begins
// as data does, such as a model's weights where a page is to be written. It can be asked before the work is done that
// makes the page.
func Replaceable(path string, data []byte) error {
	if err := replaces(path, data); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil
	}
	f, err := Create(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// replaces returns an error if there is a file at path of another sort than what begins as data does.
func replaces(path string, data []byte) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		return &fs.PathError{Op: "write", Path: path, Err: errors.New("is a folder")}
	}
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return sameSort(path, data)
}

// sameSort returns an error if there is a file at path that does not begin as data does.
func sameSort(path string, data []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := f.Read(head)
	if err != nil && err != io.EOF {
		return err
	}
	old, now := sort(head[:n]), sort(data)
	if len(bytes.TrimSpace(head[:n])) == 0 || old == now {
		return nil
	}
	return &fs.PathError{Op: "replace", Path: path, Err: fmt.Errorf("it is %s, and would be replaced by %s", old, now)}
}

// sort says what a file is by how it begins. JSON and tensors are told apart by their first names, so that what a model
// is made of does not pass for a result.
func sort(data []byte) string {
	head := string(bytes.TrimSpace(data[:min(len(data), 512)]))
	if len(data) > 8 && data[7] == 0 && data[8] == '{' { // behind its length
		return "a file of tensors" + firstKey(data[9:min(len(data), 512)])
	}
	for _, s := range []struct{ begin, name string }{
		{"<!doctype html", "a page"}, {"<html", "a page"}, {"<svg", "a picture"}, {"<?xml", "a picture"},
		{"\x89PNG", "a picture in PNG"}, {"[", "a list in JSON"},
	} {
		if len(head) >= len(s.begin) && strings.EqualFold(head[:len(s.begin)], s.begin) {
			return s.name
		}
	}
	switch {
	case strings.HasPrefix(head, "{"):
		return "JSON" + firstKey([]byte(head[1:]))
	case strings.HasPrefix(head, "GGUF") && strings.Contains(head, "controlvector"):
		return "a control vector"
	case strings.HasPrefix(head, "GGUF"):
		return "a GGUF file"
	}
	return "another file"
}

// firstKey names the first key of an object of JSON, whose brace has been read.
func firstKey(text []byte) string {
	text, quoted := bytes.CutPrefix(bytes.TrimSpace(text), []byte{'"'})
	key, _, ends := bytes.Cut(text, []byte{'"'})
	if !quoted || !ends {
		return ""
	}
	return fmt.Sprintf(" that begins with %.40q", key)
}
