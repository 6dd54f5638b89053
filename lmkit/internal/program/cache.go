package program

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lmkit.internal/lmkit/backend"
)

// Bound says how much a cache keeps. The zero value of a field is its default.
type Bound struct {
	Programs int   // how many programs, counting each combination of input shapes; 0: 256
	Bytes    int64 // of memory, about; 0: 512 MiB
}

// Cache keeps the compiled programs of a model under a bound: before it holds more, it frees what was not run for
// longest. A program is known by a key and by the shapes of its inputs, so that texts of ever new lengths do not
// gather programs. It is safe for concurrent use. A program that runs is never freed, so that the bound may be
// exceeded while many run.
type Cache struct {
	engine *backend.Engine
	bound  Bound

	mu     sync.Mutex
	kept   map[string]*cached
	bytes  int64 // of all that are kept
	clock  int   // counts runs
	closed bool
}

// cached is a program of one key, compiled for one combination of input shapes.
type cached struct {
	*Program
	bytes    int64 // about; 0 before it is compiled
	running  int   // how many runs are under way
	lastUsed int   // the clock at its last run
}

// NewCache makes an empty cache.
func NewCache(e *backend.Engine, b Bound) *Cache {
	if b.Programs == 0 {
		b.Programs = 256
	}
	if b.Bytes == 0 {
		b.Bytes = 512 << 20
	}
	return &Cache{engine: e, bound: b, kept: map[string]*cached{}}
}

// Run executes the program that the key names, and says how long its compilation took if it had to be compiled. The
// function builds the graph; equal keys must build equal graphs. Args stay with the caller, outputs are the caller's
// to free. After Close it is an error.
func (c *Cache) Run(
	key string, build func(in []*graph.Node) []*graph.Node, args []*tensors.Tensor,
) (outs []*tensors.Tensor, compile time.Duration, err error) {
	p, err := c.take(withShapes(key, args), build)
	if err != nil {
		return nil, 0, err
	}
	outs, compile, err = p.Run(args)
	c.giveBack(p)
	return outs, compile, err
}

// withShapes returns the key of a program for inputs of these shapes.
func withShapes(key string, args []*tensors.Tensor) string {
	long := append(make([]byte, 0, len(key)+8*len(args)), key...)
	for _, a := range args {
		s := a.Shape()
		long = append(long, byte(s.DType), byte(len(s.Dimensions)))
		for _, d := range s.Dimensions {
			long = binary.AppendUvarint(long, uint64(d))
		}
	}
	return string(long)
}

// take finds the program or makes it, and marks it as running.
func (c *Cache) take(key string, build func(in []*graph.Node) []*graph.Node) (*cached, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("the model is closed")
	}
	p := c.kept[key]
	if p == nil {
		made, err := New(c.engine, build)
		if err != nil {
			return nil, err
		}
		p = &cached{Program: made}
		c.kept[key] = p
	}
	c.clock++
	p.running, p.lastUsed = p.running+1, c.clock
	return p, nil
}

// giveBack marks the end of a run, counts what the program takes once that is known, and keeps the bound.
func (c *Cache) giveBack(p *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.running--
	if p.bytes == 0 {
		p.bytes = p.size()
		c.bytes += p.bytes
	}
	for len(c.kept) > c.bound.Programs || c.bytes > c.bound.Bytes {
		if !c.evict() {
			return
		}
	}
}

// evict frees the program that was not run for longest. It reports false if all but the last one are running.
func (c *Cache) evict() bool {
	oldest := ""
	for key, p := range c.kept {
		if p.running == 0 && p.lastUsed < c.clock && (oldest == "" || p.lastUsed < c.kept[oldest].lastUsed) {
			oldest = key
		}
	}
	if oldest == "" {
		return false
	}
	c.bytes -= c.kept[oldest].bytes
	c.kept[oldest].Finalize()
	delete(c.kept, oldest)
	return true
}

// Stats is what a cache holds.
type Stats struct {
	Programs int   // that are kept
	Running  int   // runs under way
	Bytes    int64 // of all programs, about
}

// Stats returns what the cache holds now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Programs: len(c.kept), Bytes: c.bytes}
	for _, p := range c.kept {
		s.Running += p.running
	}
	return s
}

// Close frees the programs. The caller sees to it that none is running.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.kept {
		p.Finalize()
	}
	c.kept, c.bytes, c.closed = nil, 0, true
}
