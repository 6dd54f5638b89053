package format

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"lmkit.internal/lmkit/internal/number"
	"lmkit.internal/lmkit/internal/safetensors"
)

// Tensors is what a model's weights are read from: a file, or several. Its methods may be called from several
// goroutines at once.
type Tensors interface {
	Names() []string
	// Shape returns a tensor's sizes, outermost first, and how its numbers are stored.
	Shape(name string) (dims []int, kind number.Kind, ok bool)
	// View calls use with a tensor's bytes as they are stored, which use must neither change nor keep. What cannot be
	// read is an error, as long as use reads it in the goroutine that it is called in.
	View(name string, use func(raw []byte) error) error
}

// inParts shows a tensor to several goroutines, which share n rows of work out among them: do is called with ranges of
// at most so many rows. It returns the first error.
func inParts(ts Tensors, name string, n, most int, do func(raw []byte, from, to int) error) error {
	var next atomic.Int64
	workers := min(runtime.GOMAXPROCS(0), (n+most-1)/most)
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			errs[w] = ts.View(name, func(raw []byte) error {
				for {
					from := int(next.Add(int64(most))) - most
					if from >= n {
						return nil
					}
					if err := do(raw, from, min(from+most, n)); err != nil {
						return err
					}
				}
			})
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

// atOnce is about how many numbers are converted in one piece: a multiple of every kind's block.
const atOnce = 1 << 16

// floats reads the numbers of a tensor.
func floats(ts Tensors, name string, to []float32) error {
	_, kind, ok := ts.Shape(name)
	if !ok {
		return fmt.Errorf("there is no tensor %q", name)
	}
	block := kind.Block()
	size, err := kind.Size(block)
	if err != nil {
		return err
	}
	if _, err := kind.Size(len(to)); err != nil {
		return err
	}
	return inParts(ts, name, len(to), atOnce, func(raw []byte, from, end int) error {
		return number.Floats(to[from:end], kind, raw[from/block*size:end/block*size])
	})
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

// View implements Tensors.
func (l Loaded) View(name string, use func(raw []byte) error) error {
	return use(number.Bytes(l[name].Data))
}
