package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/kind"
)

// Bounds of what a file may claim, beside its size.
const (
	maxName      = 1 << 16 // bytes of the name of a setting or a tensor
	maxDims      = 4       // of a tensor
	maxAlignment = 1 << 20
)

// The types of settings, by their numbers in a file.
const (
	typeU8, typeI8, typeU16, typeI16, typeU32, typeI32 = 0, 1, 2, 3, 4, 5
	typeF32, typeBool, typeString, typeArray           = 6, 7, 8, 9
	typeU64, typeI64, typeF64                          = 10, 11, 12
)

// width is how many bytes a value of a type takes at least.
var width = map[uint32]int{
	typeU8: 1, typeI8: 1, typeU16: 2, typeI16: 2, typeU32: 4, typeI32: 4, typeF32: 4, typeBool: 1, typeString: 8,
	typeArray: 12, typeU64: 8, typeI64: 8, typeF64: 8,
}

var errNot = errors.New("not a GGUF file: it does not begin with GGUF and its counts")

// read reads the settings and the directory from a whole file:
//
//	"GGUF", version, number of tensors, number of settings,
//	settings (name, type, value), tensors (name, dimensions, type, offset), padding, data
func (f *File) read(all []byte) error {
	if is := kind.Of(all[:min(kind.Head, len(all))]); is != "" && string(all[:4]) != "GGUF" {
		return fmt.Errorf("not a GGUF file: %s", is)
	}
	if len(all) < 24 || string(all[:4]) != "GGUF" {
		return errNot
	}
	c := &cursor{all: all, at: 4}
	f.version = c.u32()
	switch {
	case f.version == 2 || f.version == 3:
	case f.version<<16 == 0:
		return errors.New("its numbers are in big-endian order, which is not supported: convert the model again")
	default:
		return fmt.Errorf("GGUF version %d is not supported, only 2 and 3: convert the model again", f.version)
	}
	tensors := c.count("tensors", 8+4+4+8)
	settings := c.count("settings", 8+4+1)
	f.metadata, f.tensors = map[string]any{}, map[string]tensor{} // not made for as many as are claimed
	for i := 0; i < settings && c.err == nil; i++ {
		f.setting(c)
	}
	offsets := map[string]uint64{}
	for i := 0; i < tensors && c.err == nil; i++ {
		f.entry(c, offsets)
	}
	if c.err != nil {
		return c.err
	}
	f.names = slices.Sorted(maps.Keys(f.tensors))
	return f.place(offsets, c.at, len(all))
}

// setting reads one setting.
func (f *File) setting(c *cursor) {
	key := c.name()
	if _, twice := f.metadata[key]; twice && c.err == nil {
		c.fail(fmt.Errorf("it has the setting %.100q twice", key))
	}
	value := c.value(c.u32())
	if c.err != nil {
		c.err = fmt.Errorf("setting %.100q: %w", key, c.err)
		return
	}
	f.metadata[key] = value
}

// entry reads what the directory says of one tensor.
func (f *File) entry(c *cursor, offsets map[string]uint64) {
	name := c.name()
	if _, twice := f.tensors[name]; twice && c.err == nil {
		c.fail(fmt.Errorf("it has the tensor twice"))
	}
	n := c.u32()
	if n > maxDims && c.err == nil {
		c.fail(fmt.Errorf("it claims %d dimensions; there are at most %d", n, maxDims))
	}
	var dims []int
	for i := uint32(0); i < n && c.err == nil; i++ {
		d := c.u64()
		if d > math.MaxInt {
			c.fail(fmt.Errorf("a size of %d is impossible", d))
		}
		dims = append(dims, int(d))
	}
	slices.Reverse(dims)
	kind, offset := kindOf(c.u32()), c.u64()
	if c.err != nil {
		c.err = fmt.Errorf("tensor %.100q: %w", name, c.err)
		return
	}
	f.tensors[name], offsets[name] = tensor{kind: kind, dims: dims}, offset
}

// place finds the tensors' bytes after a directory that ends at byte end of a file of so many bytes.
func (f *File) place(offsets map[string]uint64, end, bytes int) error {
	alignment, ok, err := Get[int](f, "general.alignment")
	switch {
	case err != nil:
		return err
	case !ok:
		alignment = 32
	case alignment <= 0 || alignment > maxAlignment:
		return fmt.Errorf("an alignment of %d bytes is impossible", alignment)
	}
	start := (end + alignment - 1) / alignment * alignment
	if len(f.tensors) > 0 && start > bytes {
		return errors.New("the file is truncated: its tensors are missing")
	}
	for _, name := range f.names {
		t := f.tensors[name]
		if offsets[name]%uint64(alignment) != 0 {
			return fmt.Errorf("tensor %.100q: its data begin at byte %d, no multiple of %d", name, offsets[name], alignment)
		}
		if err := t.place(offsets[name], start, bytes); err != nil {
			return fmt.Errorf("tensor %.100q: %w", name, err)
		}
		f.tensors[name] = t
	}
	return f.apart()
}

// apart fails when two tensors share a byte. One whose size is not known takes one byte at least.
func (f *File) apart() error {
	names := slices.Clone(f.names)
	slices.SortStableFunc(names, func(a, b string) int { return f.tensors[a].at - f.tensors[b].at })
	last, end := "", 0
	for _, name := range names {
		t := f.tensors[name]
		if t.size == 0 {
			continue
		}
		if t.at < end {
			return fmt.Errorf("tensor %.100q shares its bytes with %.100q", name, last)
		}
		last, end = name, t.at+max(t.size, 1)
	}
	return nil
}

// cursor reads one thing after the other. Once something is not there or wrong, err says so, and all that follows is 0.
type cursor struct {
	all []byte
	at  int
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// bytes returns the next n bytes.
func (c *cursor) bytes(n uint64) []byte {
	if left := uint64(len(c.all) - c.at); c.err == nil && n > left {
		c.fail(fmt.Errorf("the file is truncated: %d bytes are claimed at byte %d, but it has %d more", n, c.at, left))
	}
	if c.err != nil {
		return nil
	}
	c.at += int(n)
	return c.all[c.at-int(n) : c.at]
}

// bits returns the next n bytes, at most 8, as an integer.
func (c *cursor) bits(n uint64) uint64 {
	var wide [8]byte
	copy(wide[:], c.bytes(n))
	return binary.LittleEndian.Uint64(wide[:])
}

func (c *cursor) u32() uint32 { return uint32(c.bits(4)) }
func (c *cursor) u64() uint64 { return c.bits(8) }

// count returns the number of things that follow, each of which takes at least so many bytes.
func (c *cursor) count(of string, each int) int {
	n := c.u64()
	if left := uint64(len(c.all) - c.at); c.err == nil && n > left/uint64(each) {
		c.fail(fmt.Errorf("the file is truncated: it claims %d %s, but has only %d more bytes", n, of, left))
	}
	if c.err != nil {
		return 0
	}
	return int(n)
}

func (c *cursor) text() string { return string(c.bytes(c.u64())) }

// name returns the name of a setting or a tensor.
func (c *cursor) name() string {
	n := c.u64()
	if n > maxName {
		c.fail(fmt.Errorf("a name of %d bytes is impossible", n))
	}
	return string(c.bytes(n))
}

// value returns a setting's value as one of the types of Value, or as a uint64 where it is too large for an int.
func (c *cursor) value(kind uint32) any {
	switch kind {
	case typeBool:
		return c.bit()
	case typeF32, typeF64:
		return c.float(kind)
	case typeString:
		return c.text()
	case typeArray:
		return c.list()
	case typeU64:
		if v := c.u64(); v > math.MaxInt {
			return v
		} else {
			return int(v)
		}
	}
	if width[kind] == 0 && c.err == nil {
		c.fail(fmt.Errorf("a value of type %d is unknown", kind))
	}
	return c.integer(kind)
}

// list returns the elements of an array, all of one type.
func (c *cursor) list() any {
	kind := c.u32()
	if c.err == nil && (width[kind] == 0 || kind == typeArray) {
		c.fail(fmt.Errorf("a list of values of type %d is not supported", kind))
	}
	n := c.count("values", max(width[kind], 1))
	switch kind {
	case typeBool:
		return elements(c, n, c.bit)
	case typeF32, typeF64:
		return elements(c, n, func() float64 { return c.float(kind) })
	case typeString:
		return elements(c, n, c.text)
	}
	return elements(c, n, func() int { return c.integer(kind) })
}

func elements[T any](c *cursor, n int, next func() T) []T {
	out := make([]T, 0, min(n, 1<<16)) // beyond that, memory is taken as values are found
	for i := 0; i < n && c.err == nil; i++ {
		out = append(out, next())
	}
	return out
}

func (c *cursor) bit() bool {
	b := c.bits(1)
	if b > 1 {
		c.fail(fmt.Errorf("%d is neither true nor false", b))
	}
	return b == 1
}

func (c *cursor) float(kind uint32) float64 {
	if kind == typeF32 {
		return float64(math.Float32frombits(c.u32()))
	}
	return math.Float64frombits(c.u64())
}

// integer returns a value of one of the integer types.
func (c *cursor) integer(kind uint32) int {
	v := c.bits(uint64(width[kind]))
	switch kind {
	case typeI8:
		return int(int8(v))
	case typeI16:
		return int(int16(v))
	case typeI32:
		return int(int32(v))
	case typeU64, typeI64:
		if kind == typeU64 && v > math.MaxInt || int64(int(v)) != int64(v) {
			c.fail(fmt.Errorf("%d is too large", v))
		}
	}
	return int(v)
}
