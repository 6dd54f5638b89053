package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/number"
)

// maxHeader bounds the header's length in bytes, as the format's own implementation does.
const maxHeader = 100 << 20

// header is what a file says about itself: its tensors, at places that are checked to be in the file, and texts.
type header struct {
	entries  map[string]entry
	metadata map[string]string
}

// written is a tensor as the header describes it. Offsets count from the header's end.
type written struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// readHeader reads the header of a whole file. It allocates no more than the header has bytes, times a small number.
func readHeader(all []byte) (header, error) {
	h := header{entries: map[string]entry{}}
	if len(all) < 8 {
		return h, fmt.Errorf("not a safetensors file: it has %d bytes, and a header takes 8", len(all))
	}
	n := binary.LittleEndian.Uint64(all)
	if n > maxHeader || n > uint64(len(all)-8) {
		return h, fmt.Errorf("not a safetensors file, or a truncated one: its header claims %d bytes, the file has %d",
			n, len(all))
	}
	start := 8 + int(n)
	d := json.NewDecoder(bytes.NewReader(all[8:start]))
	err := object(d, func(name string) error {
		if name == "__metadata__" {
			return decode(d, &h.metadata)
		}
		e, err := readEntry(d, len(all)-start)
		if err != nil {
			return fmt.Errorf("tensor %.100q: %w", name, err)
		}
		e.at += start
		h.entries[name] = e
		return nil
	})
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("the header is not valid JSON: something follows it")
		}
	}
	if err != nil {
		return h, err
	}
	return h, apart(h.entries)
}

// object reads a JSON object, with a call for each key that reads the key's value. A key that comes twice is an error.
func object(d *json.Decoder, value func(key string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("the header is not valid JSON: %w", cause(err, "it does not begin with a brace"))
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return fmt.Errorf("the header is not valid JSON: %w", cause(err, "a key is missing"))
		}
		if seen[key] {
			return fmt.Errorf("the header names %.100q twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the header is not valid JSON: %w", cause(err, ""))
	}
	return nil
}

// decode reads a value. The errors of encoding/json may repeat what the file says, at any length.
func decode(d *json.Decoder, to any) error {
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("the header is not valid: %.200s", err.Error())
	}
	return nil
}

func cause(err error, otherwise string) error {
	switch {
	case err == nil:
		return errors.New(otherwise)
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// readEntry reads what the header says of one tensor, and compares it with have, the number of bytes that the file has
// for data.
func readEntry(d *json.Decoder, have int) (e entry, err error) {
	var w written
	fields := map[string]any{"dtype": &w.DType, "shape": &w.Shape, "data_offsets": &w.Offsets}
	err = object(d, func(key string) error {
		field, ok := fields[key]
		if !ok {
			return fmt.Errorf("the header's entry has an unknown field %.100q", key)
		}
		delete(fields, key)
		return decode(d, field)
	})
	if err != nil {
		return e, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if _, missing := fields[key]; missing {
			return e, fmt.Errorf("the header's entry has no %s", key)
		}
	}
	return w.check(have)
}

// check finds the tensor among the have bytes of data. The size of a type that lmkit does not know is not compared with
// the shape.
func (w written) check(have int) (e entry, err error) {
	begin, end := w.Offsets[0], w.Offsets[1]
	if begin < 0 || end < begin {
		return e, fmt.Errorf("its data run from byte %d to %d", begin, end)
	}
	if end > int64(have) {
		return e, fmt.Errorf("its data end at byte %d, but the file holds %d: the file is truncated", end, have)
	}
	e = entry{kind: number.Kind(w.DType), dims: make([]int, len(w.Shape)), at: int(begin), size: int(end - begin)}
	count := int64(1)
	for i, d := range w.Shape {
		if d < 0 || d > math.MaxInt || (d > 0 && count > math.MaxInt/d/8) {
			return e, fmt.Errorf("shape %s is impossible", short(w.Shape))
		}
		count *= d
		e.dims[i] = int(d)
	}
	if e.kind.Block() == 0 {
		return e, nil
	}
	size, err := e.kind.Size(int(count))
	if err != nil {
		return e, err
	}
	if size != e.size {
		return e, fmt.Errorf("shape %s of %s takes %d bytes, but it has %d", short(w.Shape), w.DType, size, e.size)
	}
	return e, nil
}

// short prints a shape; of one that is absurdly long, the beginning.
func short(shape []int64) string {
	if len(shape) > 8 {
		return fmt.Sprintf("%v of %d dimensions", shape[:8], len(shape))
	}
	return fmt.Sprint(shape)
}

// apart fails when two tensors share a byte.
func apart(entries map[string]entry) error {
	names := slices.Sorted(maps.Keys(entries))
	slices.SortStableFunc(names, func(a, b string) int { return entries[a].at - entries[b].at })
	last, end := "", 0
	for _, name := range names {
		e := entries[name]
		if e.size == 0 {
			continue
		}
		if e.at < end {
			return fmt.Errorf("tensor %.100q shares its bytes with %.100q", name, last)
		}
		last, end = name, e.at+e.size
	}
	return nil
}
