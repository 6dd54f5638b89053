package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/whole"
)

// Tensor is a row-major array.
type Tensor struct {
	Dims []int
	Data []float32
}

// ReadFile reads every tensor of a small file, as float32.
func ReadFile(path string) (map[string]Tensor, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ts := make(map[string]Tensor, len(f.names))
	for _, name := range f.names {
		raw := make([]byte, f.entries[name].size)
		if err := f.Read(name, raw); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if ts[name], err = f.entries[name].tensor(raw); err != nil {
			return nil, fmt.Errorf("%s: tensor %.100q: %w", path, name, err)
		}
	}
	return ts, nil
}

// Read reads every tensor of a file that is in memory, as float32.
func Read(all []byte) (map[string]Tensor, error) {
	h, err := readHeader(all)
	if err != nil {
		return nil, err
	}
	ts := make(map[string]Tensor, len(h.entries))
	for name, e := range h.entries {
		if ts[name], err = e.tensor(all[e.at : e.at+e.size]); err != nil {
			return nil, fmt.Errorf("tensor %.100q: %w", name, err)
		}
	}
	return ts, nil
}

// tensor converts the bytes of a tensor.
func (e entry) tensor(raw []byte) (Tensor, error) {
	n := 1
	for _, d := range e.dims {
		n *= d
	}
	if _, err := e.kind.Size(n); err != nil { // before n numbers are made
		return Tensor{}, err
	}
	t := Tensor{Dims: e.dims, Data: make([]float32, n)}
	return t, number.Floats(t.Data, e.kind, raw)
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
	names := slices.Sorted(maps.Keys(ts))
	header := []byte{'{'}
	at := int64(0)
	for i, n := range names {
		t := ts[n]
		size := 1
		e := written{DType: string(number.F32), Shape: []int64{}}
		for _, d := range t.Dims {
			size *= d
			e.Shape = append(e.Shape, int64(d))
		}
		if size != len(t.Data) {
			return fmt.Errorf("tensor %q: shape %v takes %d numbers, but it has %d", n, t.Dims, size, len(t.Data))
		}
		e.Offsets = []int64{at, at + 4*int64(size)}
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
