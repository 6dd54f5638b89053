// Package safetensors reads and writes tensors in the safetensors format: a JSON header, then raw little-endian data.
package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lmkit.internal/lmkit/internal/kind"
	"lmkit.internal/lmkit/internal/mapped"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/strict"
)

// The names under which a model folder holds its weights: in one file, or in several that an index lists.
const (
	WeightsFile = "model.safetensors"
	IndexFile   = WeightsFile + ".index.json"
)

// File is a file of tensors that is open, or several that an index makes one. Its methods may be called from several
// goroutines at once.
type File struct {
	names    []string // sorted
	entries  map[string]entry
	metadata map[string]string
	files    []*mapped.File
}

// entry says where a tensor is.
type entry struct {
	kind     number.Kind
	dims     []int
	file     int // index into File.files
	at, size int // bytes
}

// Open reads the headers of a file, of all files that an index (a file that ends in .json) lists, or of the one or the
// other in a model folder. No tensor is read yet. Tensors may be of any type: what lmkit cannot convert is an error
// only for those who ask for the numbers.
func Open(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if path, err = inFolder(path); err != nil {
			return nil, err
		}
	}
	f := &File{entries: map[string]entry{}}
	var err error
	if strings.HasSuffix(path, ".json") {
		err = f.addIndex(path)
	} else {
		err = f.add(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.names = slices.Sorted(maps.Keys(f.entries))
	return f, nil
}

// Names lists the tensors in alphabetical order.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Shape returns a tensor's sizes, outermost first, and how its numbers are stored.
func (f *File) Shape(name string) (dims []int, kind number.Kind, ok bool) {
	e, ok := f.entries[name]
	return slices.Clone(e.dims), e.kind, ok
}

// View calls use with a tensor's bytes as they are stored, which use must neither change nor keep. What cannot be read
// is an error, as long as use reads it in the goroutine that it is called in.
func (f *File) View(name string, use func(raw []byte) error) error {
	e, ok := f.entries[name]
	if !ok {
		return fmt.Errorf("there is no tensor %.100q", name)
	}
	err := f.files[e.file].View(func(all []byte) error { return use(all[e.at : e.at+e.size]) })
	if err != nil {
		return fmt.Errorf("tensor %.100q: %w", name, err)
	}
	return nil
}

// Read copies a tensor's bytes as they are stored; to has the size that they take.
func (f *File) Read(name string, to []byte) error {
	return f.View(name, func(raw []byte) error {
		if len(to) != len(raw) {
			return fmt.Errorf("it takes %d bytes, not %d", len(raw), len(to))
		}
		copy(to, raw)
		return nil
	})
}

// Metadata returns the texts that the writer put beside the tensors; nil when there are none.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close gives back what Open took.
func (f *File) Close() error {
	var errs []error
	for _, m := range f.files {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// add reads the header of one file.
func (f *File) add(path string) error {
	m, err := mapped.Open(path)
	if err != nil {
		return err
	}
	f.files = append(f.files, m)
	err = m.View(func(all []byte) error {
		h, err := readHeader(all)
		if err != nil {
			return err
		}
		if f.metadata == nil {
			f.metadata = h.metadata
		}
		for name, e := range h.entries {
			if _, twice := f.entries[name]; twice {
				return fmt.Errorf("tensor %.100q is in another file of the same model, too", name)
			}
			e.file = len(f.files) - 1
			f.entries[name] = e
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// addIndex reads the headers of the files that an index lists, and checks that each tensor is where it says.
func (f *File) addIndex(path string) error {
	text, err := readIndex(path)
	if err != nil {
		return err
	}
	var index struct {
		Metadata json.RawMessage   `json:"metadata,omitempty"`
		Files    map[string]string `json:"weight_map"`
	}
	if err := strict.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(index.Files) == 0 {
		return fmt.Errorf("%s lists no tensors under \"weight_map\"", path)
	}
	parts := map[string]int{} // the place in f.files of each file's name
	for _, tensor := range slices.Sorted(maps.Keys(index.Files)) {
		name := index.Files[tensor]
		if name != filepath.Base(name) || !filepath.IsLocal(name) || !strings.HasSuffix(name, ".safetensors") {
			return fmt.Errorf("%s: tensor %.100q is said to be in %.100q, which names no safetensors file of the same folder",
				path, tensor, name)
		}
		if _, done := parts[name]; !done {
			parts[name] = len(f.files)
			if err := f.add(filepath.Join(filepath.Dir(path), name)); err != nil {
				return fmt.Errorf("a part that %s lists: %w", filepath.Base(path), err)
			}
		}
		if e, ok := f.entries[tensor]; !ok || e.file != parts[name] {
			return fmt.Errorf("%s: tensor %.100q is not in %s, as it says", path, tensor, name)
		}
	}
	return nil
}

// readIndex reads an index, which is small: it has a line for each tensor.
func readIndex(path string) ([]byte, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if m.Size() > maxHeader {
		return nil, fmt.Errorf("%s has %d bytes, too many for an index", path, m.Size())
	}
	text := make([]byte, m.Size())
	return text, m.Read(text, 0)
}

// inFolder finds the weights in a model folder. When there are none, the error says what lies there in their place.
func inFolder(dir string) (string, error) {
	for _, name := range []string{WeightsFile, IndexFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name), nil
		}
	}
	if there := Others(dir); there != "" {
		return "", missing("it has no " + WeightsFile + ", but " + there)
	}
	return "", missing("it has no " + WeightsFile)
}

// missing is an error that is fs.ErrNotExist.
type missing string

func (m missing) Error() string        { return string(m) }
func (m missing) Is(target error) bool { return target == fs.ErrNotExist }

// Others names the first file of a folder that holds weights in a form that lmkit does not open, and says what to do
// about it. It is "" where there is none.
func Others(dir string) string {
	there, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, d := range there {
		if cure := kind.Weights(d.Name()); cure != "" && !d.IsDir() {
			return fmt.Sprintf("%.100q: %s", d.Name(), cure)
		}
	}
	for _, d := range there {
		if is := firstBytes(filepath.Join(dir, d.Name())); is != "" {
			return fmt.Sprintf("%.100q: %s", d.Name(), is)
		}
	}
	return ""
}

// firstBytes says what a file is that does not have the name of one.
func firstBytes(path string) string {
	m, err := mapped.Open(path)
	if err != nil {
		return ""
	}
	defer m.Close()
	head := make([]byte, min(kind.Head, m.Size()))
	if m.Read(head, 0) != nil {
		return ""
	}
	return kind.Of(head)
}
