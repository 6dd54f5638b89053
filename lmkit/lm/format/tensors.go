package format

import (
	"maps"
	"slices"

	"lmkit.internal/lmkit/internal/safetensors"
)

// Tensors is what a model's weights are read from, one at a time: a file, or a folder of them.
type Tensors interface {
	Names() []string
	Shape(name string) (dims []int, ok bool)
	Floats(name string) ([]float32, error) // the numbers, which are the caller's
}

// Loaded is tensors in memory.
type Loaded map[string]safetensors.Tensor

// Names implements Tensors.
func (l Loaded) Names() []string { return slices.Sorted(maps.Keys(l)) }

// Shape implements Tensors.
func (l Loaded) Shape(name string) (dims []int, ok bool) {
	t, ok := l[name]
	return t.Dims, ok
}

// Floats implements Tensors.
func (l Loaded) Floats(name string) ([]float32, error) { return l[name].Data, nil }
