// Package safetensors reads and writes tensors in the safetensors format: a JSON header, then raw little-endian data.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"

	"lmkit.internal/lmkit/internal/whole"
)

// Tensor is a row-major array. Files with other number types are converted to float32 on reading.
type Tensor struct {
	Dims []int
	Data []float32
}

// maxHeader bounds the header's length in bytes, as the format's own implementation does.
const maxHeader = 100 << 20

var width = map[string]int{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4}

// entry is a tensor as the header describes it.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// ReadFile reads every tensor of a file.
func ReadFile(path string) (map[string]Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	ts, err := Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ts, nil
}

// Read reads every tensor from the size bytes of r. What the header claims is checked against size before anything of
// that size is allocated.
func Read(r io.ReaderAt, size int64) (map[string]Tensor, error) {
	entries, start, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	ts := make(map[string]Tensor, len(entries))
	total := int64(0)
	for name, e := range entries {
		n, err := e.check(size - start)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if total += e.Offsets[1] - e.Offsets[0]; total > size-start {
			return nil, fmt.Errorf("tensor %q shares its bytes with another one", name)
		}
		raw := make([]byte, e.Offsets[1]-e.Offsets[0])
		if _, err := r.ReadAt(raw, start+e.Offsets[0]); err != nil && !(errors.Is(err, io.EOF) && len(raw) == 0) {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		t := Tensor{Dims: make([]int, len(e.Shape)), Data: decode(e.DType, raw, n)}
		for i, d := range e.Shape {
			t.Dims[i] = int(d)
		}
		ts[name] = t
	}
	return ts, nil
}

func readHeader(r io.ReaderAt, size int64) (entries map[string]entry, start int64, err error) {
	var length [8]byte
	if size < 8 {
		return nil, 0, fmt.Errorf("not a safetensors file: it has %d bytes, and a header takes 8", size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, 0, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, 0, fmt.Errorf("not a safetensors file, or a truncated one: its header claims %d bytes, the file has %d", n, size)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return nil, 0, fmt.Errorf("the header is not valid JSON: %w", err)
	}
	delete(raw, "__metadata__")
	entries = make(map[string]entry, len(raw))
	for name, m := range raw {
		var e entry
		d := json.NewDecoder(bytes.NewReader(m))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: the header's entry is wrong: %w", name, err)
		}
		entries[name] = e
	}
	return entries, 8 + int64(n), nil
}

// check compares an entry with the bytes of data that are there, and returns the number of elements.
func (e entry) check(have int64) (n int, err error) {
	w, ok := width[e.DType]
	if !ok {
		return 0, fmt.Errorf("number type %q is not supported; there are F32, F64, F16, BF16, I32 and I64", e.DType)
	}
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin {
		return 0, fmt.Errorf("its data run from byte %d to %d", begin, end)
	}
	if end > have {
		return 0, fmt.Errorf("its data end at byte %d, but the file holds %d: the file is truncated", end, have)
	}
	count := int64(1)
	for _, d := range e.Shape {
		if d < 0 || (d > 0 && count > math.MaxInt64/d/8) {
			return 0, fmt.Errorf("shape %v is impossible", e.Shape)
		}
		count *= d
	}
	if count*int64(w) != end-begin {
		return 0, fmt.Errorf("shape %v of %s takes %d bytes, but it has %d", e.Shape, e.DType, count*int64(w), end-begin)
	}
	return int(count), nil
}

func decode(dtype string, raw []byte, n int) []float32 {
	out := make([]float32, n)
	le := binary.LittleEndian
	for i := range out {
		switch dtype {
		case "F32":
			out[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		case "F64":
			out[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		case "BF16":
			out[i] = math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)
		case "F16":
			out[i] = half(le.Uint16(raw[2*i:]))
		case "I32":
			out[i] = float32(int32(le.Uint32(raw[4*i:])))
		case "I64":
			out[i] = float32(int64(le.Uint64(raw[8*i:])))
		}
	}
	return out
}

// half is an IEEE 754 binary16 number.
func half(b uint16) float32 {
	sign, exp, frac := uint32(b>>15)<<31, uint32(b>>10)&31, uint32(b)&1023
	switch exp {
	case 31:
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	case 0:
		f := float32(frac) / (1 << 24)
		if sign != 0 {
			return -f
		}
		return f
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// WriteFile writes tensors as float32, ordered by name, in place of path: either the whole new file is there
// afterwards, or the old one is untouched.
func WriteFile(path string, ts map[string]Tensor) error {
	f, err := whole.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := Write(f, ts); err != nil {
		return err
	}
	return f.Commit()
}

// Write writes tensors as float32, ordered by name.
func Write(w io.Writer, ts map[string]Tensor) error {
	names := make([]string, 0, len(ts))
	for n := range ts {
		names = append(names, n)
	}
	sort.Strings(names)
	header := []byte{'{'}
	at := int64(0)
	for i, n := range names {
		t := ts[n]
		size := 1
		e := entry{DType: "F32", Shape: []int64{}}
		for _, d := range t.Dims {
			size *= d
			e.Shape = append(e.Shape, int64(d))
		}
		if size != len(t.Data) {
			return fmt.Errorf("tensor %q: shape %v takes %d numbers, but it has %d", n, t.Dims, size, len(t.Data))
		}
		e.Offsets = [2]int64{at, at + 4*int64(size)}
		at = e.Offsets[1]
		name, err := json.Marshal(n)
		if err != nil {
			return err
		}
		body, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if i > 0 {
			header = append(header, ',')
		}
		header = append(append(append(header, name...), ':'), body...)
	}
	header = append(header, '}')
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)); err != nil {
		return err
	}
	var buf []byte
	for _, n := range names {
		for chunk := range slices.Chunk(ts[n].Data, 1<<16) {
			buf = buf[:0]
			for _, v := range chunk {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}
