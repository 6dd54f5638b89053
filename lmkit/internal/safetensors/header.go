package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/kind"
	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/strict"
)

// maxHeader bounds the header's length in bytes, as the format's own implementation does.
const maxHeader = 100 << 20

// metadata is the name of what is not a tensor in a header, but texts.
const metadata = "__metadata__"

// header is what a file says about itself: its tensors, at places that are checked to be in the file, and texts.
type header struct {
	entries  map[string]entry
	metadata map[string]string
}

// written is a tensor as the header describes it. Offsets count from the header's end.
type written struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// readHeader reads the header of a whole file. It allocates no more than the header has bytes, times a small number.
func readHeader(all []byte) (header, error) {
	h := header{entries: map[string]entry{}}
	if len(all) < 8 {
		return h, fmt.Errorf("not a safetensors file: it has %d bytes, and a header takes 8", len(all))
	}
	if len(all) == 8 || all[8] != '{' { // where a header begins
		if is := kind.Of(all[:min(kind.Head, len(all))]); is != "" {
			return h, fmt.Errorf("not a safetensors file: %s", is)
		}
	}
	n := binary.LittleEndian.Uint64(all)
	if n > maxHeader || n > uint64(len(all)-8) {
		return h, fmt.Errorf("not a safetensors file, or a truncated one: its header claims %d bytes, the file has %d",
			n, len(all))
	}
	start := 8 + int(n)
	var entries map[string]json.RawMessage
	if err := strict.Unmarshal(all[8:start], &entries); err != nil {
		return h, fmt.Errorf("the header: %w", err)
	}
	if texts, ok := entries[metadata]; ok {
		delete(entries, metadata)
		if err := strict.Unmarshal(texts, &h.metadata); err != nil {
			return h, fmt.Errorf("the header's %s: %w", metadata, err)
		}
	}
	for name, text := range entries {
		var w written
		err := strict.Unmarshal(text, &w)
		if err == nil {
			h.entries[name], err = w.check(start, len(all))
		}
		if err != nil {
			return h, fmt.Errorf("tensor %.100q: %w", name, err)
		}
	}
	return h, covered(h.entries, start, len(all))
}

// check finds the tensor in the data, which begin at byte start of a file of so many bytes. The size of a type that
// lmkit does not know is not compared with the shape.
func (w written) check(start, bytes int) (e entry, err error) {
	if len(w.Offsets) != 2 {
		return e, fmt.Errorf("it has %d data_offsets; two are needed", len(w.Offsets))
	}
	begin, end, have := w.Offsets[0], w.Offsets[1], bytes-start
	if begin < 0 || end < begin {
		return e, fmt.Errorf("its data run from byte %d to %d", begin, end)
	}
	if end > int64(have) {
		return e, fmt.Errorf("its data end at byte %d, but the file holds %d: the file is truncated", end, have)
	}
	e = entry{kind: number.Kind(w.DType), dims: make([]int, len(w.Shape)), at: start + int(begin), size: int(end - begin)}
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

// covered fails unless each byte of the data, which begin at byte start of a file of so many bytes, belongs to one
// tensor, as the format asks: what nobody reads may be another program's, and what two read is a mistake.
func covered(entries map[string]entry, start, bytes int) error {
	names := slices.Sorted(maps.Keys(entries))
	slices.SortStableFunc(names, func(a, b string) int { return entries[a].at - entries[b].at })
	last, end := "", start
	for _, name := range names {
		e := entries[name]
		if e.size == 0 {
			continue
		}
		if e.at < end {
			return fmt.Errorf("tensor %.100q shares its bytes with %.100q", name, last)
		}
		if e.at > end {
			return fmt.Errorf("bytes %d to %d, before tensor %.100q, belong to no tensor%s", end, e.at-1, name, cureOfGaps)
		}
		last, end = name, e.at+e.size
	}
	if end < bytes {
		return fmt.Errorf("its last %d bytes belong to no tensor%s", bytes-end, cureOfGaps)
	}
	return nil
}

const cureOfGaps = ", which the format forbids: the file is damaged, or holds something else as well; save it again"
