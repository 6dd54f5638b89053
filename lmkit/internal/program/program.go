// Package program is where Go meets compiled programs: numbers in and out, panics of graph code to errors, shape
// buckets.
package program

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/distributed"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
)

// Program is a graph function, compiled once for each combination of input shapes. It is safe for concurrent use.
type Program struct {
	engine *backend.Engine
	exec   *graph.Exec
	nodes  atomic.Int64   // of the graphs that were compiled
	left   atomic.Int64   // compilations that nobody waits for any more
	ending sync.WaitGroup // these
}

// New takes a function that builds a graph. The function may panic with an error; a runtime.Error stays a panic.
func New(e *backend.Engine, build func(in []*graph.Node) []*graph.Node) (*Program, error) {
	exec, err := graph.NewExec(e.Backend, func(in []*graph.Node) []*graph.Node { return guard(build, in) })
	if err != nil {
		return nil, clean(err)
	}
	exec.SetMaxCache(-1)
	return &Program{engine: e, exec: exec}, nil
}

// Layout says how an array lies on several devices.
type Layout bool

// The layouts.
const (
	Whole  Layout = false // the same on each device
	ByRows Layout = true  // cut along its first axis, an equal part on each device
)

// NewSpread makes a program that several devices run together. The graph is that of one device, on whole arrays, and
// so are its results: the engine divides the work and adds the messages between the devices (XLA's Shardy). Run then
// takes and returns what lies on the first device, then on the second, and so on.
func NewSpread(
	e *backend.Engine, devices int, in, out []Layout, build func(in []*graph.Node) []*graph.Node,
) (*Program, error) {
	p, err := New(e, build)
	if err != nil || devices == 1 {
		return p, err
	}
	const axis = "rows"
	mesh, err := distributed.NewDeviceMesh([]int{devices}, []string{axis})
	if err != nil {
		return nil, clean(err)
	}
	byRows, err := distributed.BuildSpec(mesh).S(axis).Done()
	if err != nil {
		return nil, clean(err)
	}
	specs := func(layouts []Layout) []*distributed.ShardingSpec {
		s := make([]*distributed.ShardingSpec, len(layouts))
		for i, l := range layouts {
			if s[i] = distributed.NewReplicatedShardingSpec(mesh); l == ByRows {
				s[i] = byRows
			}
		}
		return s
	}
	p.exec.AutoSharding(mesh).WithInputShardingSpecs(specs(in)...).WithOutputShardingSpecs(specs(out)...)
	return p, nil
}

// guard turns panics with anything but an error, and graphs without a result, into panics with an error: GoMLX would
// wait for ever for the compilation that both leave pending, at the next call or when the program is freed.
func guard(build func([]*graph.Node) []*graph.Node, in []*graph.Node) []*graph.Node {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if err, ok := r.(error); ok {
			panic(err)
		}
		panic(fmt.Errorf("%v", r))
	}()
	outs := build(in)
	if len(outs) == 0 {
		panic(errors.New("a program without results was to be compiled: leave out the call"))
	}
	return outs
}

// Ready compiles the program if the shapes of args are new, and says how long that took. When ctx ends, it returns its
// error at once: an engine cannot be stopped while it compiles, which then goes on to its end by itself.
func (p *Program) Ready(ctx context.Context, args []*tensors.Tensor) (compile time.Duration, err error) {
	dims := make([]shapes.Shape, len(args))
	for i, a := range args {
		dims[i] = a.Shape()
	}
	start, end := time.Now(), make(chan error, 1)
	p.ending.Add(1)
	go func() {
		defer p.ending.Done()
		_, err := p.exec.Compile(dims...)
		end <- err
	}()
	select {
	case err = <-end:
	case <-ctx.Done():
		p.left.Add(1)
		return time.Since(start), ctx.Err()
	}
	if err != nil {
		err = clean(err)
	}
	return time.Since(start), err
}

// Run executes the program, after compiling it if these shapes are new, and says how long the compilation took. Args
// stay with the caller; outputs are the caller's to finalise (Get does).
func (p *Program) Run(args []*tensors.Tensor) (outs []*tensors.Tensor, compile time.Duration, err error) {
	in := make([]any, len(args))
	dims := make([]shapes.Shape, len(args))
	for i, a := range args {
		in[i], dims[i] = a, a.Shape()
	}
	start := time.Now()
	g, err := p.exec.Compile(dims...)
	if err != nil {
		return nil, 0, clean(err)
	}
	p.nodes.Store(int64(len(g.Nodes())))
	compile = time.Since(start)
	outs, err = p.exec.Call(in...)
	if err != nil {
		return nil, compile, clean(err)
	}
	return outs, compile, nil
}

// Finalize frees the compiled programs; one that is still compiled, for nobody, when it has come to its end.
func (p *Program) Finalize() {
	if p.left.Load() == 0 {
		p.exec.Finalize()
		return
	}
	go func() {
		p.ending.Wait()
		p.exec.Finalize()
	}()
}

// clean makes one line of a GoMLX error, and a panic of a bug in our own code.
func clean(err error) error {
	var bug runtime.Error
	if errors.As(err, &bug) {
		panic(fmt.Sprintf("%+v", err))
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	if _, bytes, is := strings.Cut(line, "Out of memory allocating "); is {
		bytes, _, _ = strings.Cut(bytes, " ")
		return fmt.Errorf("the engine asked for %s bytes of memory at once, which there are not: compute less at a time, "+
			"with fewer or shorter rows", bytes)
	}
	for _, p := range []string{"failed during graph construction", "failed to execute graph", "graph function"} {
		if i := strings.Index(line, p); i == 0 {
			if _, rest, ok := strings.Cut(line, ": "); ok {
				line = rest
			}
		}
	}
	return errors.New(line)
}

// Number is what tensors hold.
type Number interface {
	float32 | int32 | uint32 | uint8 | float16.Float16 | bfloat16.BFloat16
}

// Put moves row-major numbers to the engine's first device.
func Put[N Number](e *backend.Engine, data []N, dims ...int) (*tensors.Tensor, error) {
	return PutOn(e, 0, data, dims...)
}

// PutOn moves row-major numbers to a device of the engine.
func PutOn[N Number](e *backend.Engine, device int, data []N, dims ...int) (*tensors.Tensor, error) {
	for _, d := range dims {
		if d < 1 {
			return nil, fmt.Errorf("an array of shape %v has no elements", dims)
		}
	}
	shape := shapes.Make(dtypes.FromGenericsType[N](), dims...)
	buf, err := e.Backend.BufferFromFlatData(compute.DeviceNum(device), data, shape)
	if err != nil {
		return nil, clean(err)
	}
	t, err := tensors.FromBuffer(buf)
	if err != nil {
		return nil, clean(err)
	}
	return t, nil
}

// Fill makes an array on the engine's first device of the numbers that fill writes: into the engine's own memory, where
// that is the machine's. What is not written is not defined. Nothing is kept when fill fails.
func Fill[N Number](e *backend.Engine, fill func(to []N) error, dims ...int) (*tensors.Tensor, error) {
	n := 1
	for _, d := range dims {
		n *= d
	}
	if !e.HasSharedBuffers() || n < 1 {
		data := make([]N, n)
		if err := fill(data); err != nil {
			return nil, err
		}
		return Put(e, data, dims...)
	}
	buf, flat, err := e.Backend.NewSharedBuffer(0, shapes.Make(dtypes.FromGenericsType[N](), dims...))
	if err != nil {
		return nil, clean(err)
	}
	t, err := tensors.FromBuffer(buf)
	if err != nil {
		return nil, clean(err)
	}
	if err := fill(flat.([]N)); err != nil {
		Free(t)
		return nil, err
	}
	return t, nil
}

// Copy is the tensor's numbers and shape. The tensor stays.
func Copy(e *backend.Engine, t *tensors.Tensor) ([]float32, []int, error) {
	device, err := t.Device()
	if err != nil {
		return nil, nil, clean(err)
	}
	buf, err := t.Buffer(e.Backend, device)
	if err != nil {
		return nil, nil, clean(err)
	}
	data := make([]float32, t.Size())
	if err := buf.ToFlatData(data); err != nil {
		return nil, nil, clean(err)
	}
	return data, t.Shape().Dimensions, nil
}

// Free finalises tensors. (Memory is the engine's: the garbage collector does not see how much of it there is.)
func Free(ts ...*tensors.Tensor) {
	for _, t := range ts {
		if t != nil {
			_ = t.FinalizeAll()
		}
	}
}

// Bucket is the least of least, 1.5 least, 2 least, 3 least, 4 least, ... that is n or more: few shapes to compile,
// and never more than a third of padding (above least).
func Bucket(n, least int) int {
	b := least
	for b < n {
		if h := b + b/2; b%2 == 0 && h >= n {
			return h
		}
		b *= 2
	}
	return b
}

// bytesPerNode is what a node of a graph comes to, as code and in GoMLX's records. On XLA's CPU plugin, programs of
// 265 to 3,670 nodes took 10 to 24 kB for each, of recurrences 2 to 12 kB (resident memory before and after compiling
// five).
const bytesPerNode = 12 << 10

// size returns how many bytes the compiled program takes, about.
func (p *Program) size() int64 { return bytesPerNode * p.nodes.Load() }
