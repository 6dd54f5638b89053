package format

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/safetensors"
)

// Tensors is what a model's weights are read from, one at a time: a file, or several.
type Tensors interface {
	Names() []string
	// Shape returns a tensor's sizes, outermost first, and how its numbers are stored.
	Shape(name string) (dims []int, kind number.Kind, ok bool)
	// Read copies a tensor's bytes as they are stored; to has the size that they take.
	Read(name string, to []byte) error
}

// floats reads the numbers of a tensor.
func floats(ts Tensors, name string) ([]float32, error) {
	dims, kind, ok := ts.Shape(name)
	if !ok {
		return nil, fmt.Errorf("there is no tensor %q", name)
	}
	size, err := kind.Size(product(dims))
	if err != nil {
		return nil, err
	}
	raw := make([]byte, size)
	if err := ts.Read(name, raw); err != nil {
		return nil, err
	}
	data := make([]float32, product(dims))
	return data, number.Floats(data, kind, raw)
}

// Loaded is tensors in memory.
type Loaded map[string]safetensors.Tensor

// Names implements Tensors.
func (l Loaded) Names() []string { return slices.Sorted(maps.Keys(l)) }

// Shape implements Tensors.
func (l Loaded) Shape(name string) (dims []int, kind number.Kind, ok bool) {
	t, ok := l[name]
	return t.Dims, number.F32, ok
}

// Read implements Tensors.
func (l Loaded) Read(name string, to []byte) error {
	for i, v := range l[name].Data {
		binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(v))
	}
	return nil
}
