// Package gguf reads GGUF files: a model's settings, its tokenizer and its tensors in one file.
package gguf

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"lmkit.internal/lmkit/internal/kind"
	"lmkit.internal/lmkit/internal/mapped"
	"lmkit.internal/lmkit/internal/number"
)

// File is an open file. Its methods may be called from several goroutines at once.
type File struct {
	version  uint32
	metadata map[string]any
	names    []string // sorted
	tensors  map[string]tensor
	file     *mapped.File
}

// tensor says where a tensor is.
type tensor struct {
	kind     number.Kind
	dims     []int // outermost first
	at, size int   // bytes, from the beginning of the file; size is -1 for a kind whose size is not known
}

// Open reads the settings and the directory of tensors of a file of version 2 or 3; no tensor is read yet. What the
// file claims is checked against its size before memory is taken for it. Two settings or tensors of one name are an
// error, as are two tensors on the same bytes.
func Open(path string) (*File, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{file: m}
	err = m.View(f.read)
	if err == nil {
		err = f.whole()
	}
	if err != nil {
		_ = m.Close()
		cure := kind.Weights(filepath.Base(path))
		if cure != "" && errors.Is(err, errNot) && filepath.Ext(path) != ".gguf" {
			err = fmt.Errorf("%w, and by its name: %s", err, cure)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// whole refuses a file that holds a part of a model.
func (f *File) whole() error {
	if parts, _, err := Get[int](f, "split.count"); err == nil && parts > 1 {
		return fmt.Errorf("it is one of %d parts of a model: join them with llama-gguf-split --merge", parts)
	}
	return nil
}

// Names lists the tensors in alphabetical order.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Shape returns a tensor's sizes, outermost first (GGUF itself counts them the other way round), and how its numbers
// are stored.
func (f *File) Shape(name string) (dims []int, kind number.Kind, ok bool) {
	t, ok := f.tensors[name]
	return slices.Clone(t.dims), t.kind, ok
}

// View calls use with a tensor's bytes as they are stored, which use must neither change nor keep. What cannot be read
// is an error, as long as use reads it in the goroutine that it is called in.
func (f *File) View(name string, use func(raw []byte) error) error {
	t, ok := f.tensors[name]
	switch {
	case !ok:
		return fmt.Errorf("there is no tensor %.100q", name)
	case t.size < 0:
		_, err := t.kind.Size(0)
		return fmt.Errorf("tensor %.100q: %w", name, err)
	}
	err := f.file.View(func(all []byte) error { return use(all[t.at : t.at+t.size]) })
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

// Close gives back what Open took.
func (f *File) Close() error { return f.file.Close() }

// Keys lists the settings in alphabetical order.
func (f *File) Keys() []string { return slices.Sorted(maps.Keys(f.metadata)) }

// Settings returns all settings by their keys: bool, int, uint64 where that is too small, float64, string, or a list of
// these.
func (f *File) Settings() map[string]any { return maps.Clone(f.metadata) }

// Value is what a setting may be read as.
type Value interface {
	bool | int | float64 | string | []bool | []int | []float64 | []string
}

// Get returns a setting, and whether the file has it. It is an error that the file has it as something else. Integers
// of all widths are int, and a whole number may be read as a float64.
func Get[T Value](f *File, key string) (value T, found bool, err error) {
	v, found := f.metadata[key]
	if !found {
		return value, false, nil
	}
	if n, whole := v.(int); whole {
		if _, asFloat := any(value).(float64); asFloat {
			v = float64(n)
		}
	}
	value, ok := v.(T)
	if !ok {
		return value, true, fmt.Errorf("the setting %.100q is %s, not %s", key, named(v), named(value))
	}
	return value, true, nil
}

// named says what a value is, in words.
func named(v any) string {
	switch v := v.(type) {
	case bool:
		return "true or false"
	case int, uint64:
		return "an integer"
	case float64:
		return "a number"
	case string:
		return "a text"
	case []bool:
		return "a list of true and false"
	case []int:
		return "a list of integers"
	case []float64:
		return "a list of numbers"
	case []string:
		return "a list of texts"
	default:
		return fmt.Sprintf("of an unknown kind (%T)", v)
	}
}

// kinds names the number types by their numbers in a file. Those that lmkit cannot convert are named for messages.
var kinds = map[uint32]number.Kind{
	0: number.F32, 1: number.F16, 30: number.BF16, 28: number.F64, 26: number.I32, 27: number.I64,
	2: number.Q4_0, 3: number.Q4_1, 6: number.Q5_0, 7: number.Q5_1, 8: number.Q8_0,
	10: number.Q2_K, 11: number.Q3_K, 12: number.Q4_K, 13: number.Q5_K, 14: number.Q6_K,
	9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
	22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
	41: "Q1_0",
}

func kindOf(id uint32) number.Kind {
	if k, ok := kinds[id]; ok {
		return k
	}
	return number.Kind(fmt.Sprintf("number %d", id))
}

// place fills in where a tensor is, from its offset in the data, which begin at byte start of a file of so many bytes.
// A row, the last of the dimensions, must be made of whole blocks.
func (t *tensor) place(offset uint64, start, bytes int) error {
	count := 1
	for _, d := range t.dims {
		if d > 0 && count > math.MaxInt/d {
			return fmt.Errorf("shape %v is impossible", t.dims)
		}
		count *= d
	}
	if offset > uint64(bytes-start) {
		return fmt.Errorf("its data begin at byte %d of %d: the file is truncated", offset, bytes-start)
	}
	t.at, t.size = start+int(offset), -1
	if t.kind.Block() == 0 {
		return nil
	}
	row := 1 // of a single number, which has no dimensions
	if len(t.dims) > 0 {
		row = t.dims[len(t.dims)-1]
	}
	if row%t.kind.Block() != 0 {
		return fmt.Errorf("rows of %d numbers of type %s are not made of blocks of %d", row, t.kind, t.kind.Block())
	}
	size, err := t.kind.Size(count)
	if err != nil {
		return err
	}
	if t.size = size; size > bytes-t.at {
		return fmt.Errorf("shape %v of %s takes %d bytes, but the file has %d from where it begins: the file is truncated",
			t.dims, t.kind, size, bytes-t.at)
	}
	return nil
}
