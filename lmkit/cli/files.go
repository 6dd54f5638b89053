package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lmkit.internal/lmkit/internal/whole"
)

// output is a file that a flag names, "" for none, and how what is written there begins.
type output struct{ flag, path, begins string }

// How files begin; of JSON the first key is added.
const (
	pageBegins    = "<!DOCTYPE html>"
	pictureBegins = "<svg"
	pngBegins     = "\x89PNG"
)

// writable returns an error, before the work begins, if two flags write the same file, one writes what the command
// reads, or a file of another sort is where one is to be written.
func writable(reads []string, outputs ...output) error {
	for i, o := range outputs {
		if o.path == "" {
			continue
		}
		for _, other := range outputs[:i] {
			if samePath(o.path, other.path) {
				return usage("%s and %s both write %s; give each a file of its own", other.flag, o.flag, other.path)
			}
		}
		for _, path := range reads {
			if samePath(o.path, path) {
				return usage("%s would replace %s, which is read; give it a file of its own", o.flag, o.path)
			}
		}
		if err := whole.Replaceable(o.path, []byte(o.begins)); err != nil {
			return unwritable(o.path, err)
		}
	}
	return nil
}

// samePath reports whether two paths lead to the same file, there or not; "" leads to none.
func samePath(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	x, err := os.Stat(a)
	if y, other := os.Stat(b); err == nil && other == nil {
		return os.SameFile(x, y)
	}
	return place(a) == place(b)
}

// place is the path of a file that may not be there: its links, and those of its folder, are followed.
func place(path string) string {
	path, _ = filepath.Abs(path) // which fails where there is no working folder, and then no such file
	for range 40 {               // as many links as Linux follows
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

func unwritable(path string, err error) error {
	return fmt.Errorf("%s cannot be written: %w; choose another file, in a folder that can be written to",
		path, plain(err))
}

// file writes a whole file or none, and replaces no file of another sort.
func (a *app) file(path string, draw func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := draw(&b); err != nil {
		return err
	}
	if err := whole.Replace(path, b.Bytes()); err != nil {
		return unwritable(path, err)
	}
	a.note("wrote %s", path)
	return nil
}
