package lm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// ErrClosed is the error of whatever is asked of a model that was closed.
var ErrClosed = errors.New("the model is closed")

// users counts who uses the engine's memory that a model holds.
type users struct {
	mu      sync.Mutex
	idle    *sync.Cond // tells that active became 0; nil until Close waits for it
	active  int        // calls that have not returned, which Close waits for
	working int        // work in goroutines of its own, for which nobody may be waiting any more
	closed  bool
	freed   bool
}

// use keeps the model open until done is called.
func (m *Model) use() (done func(), err error) {
	u := &m.users
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, ErrClosed
	}
	u.active++
	return func() { m.leave(&u.active) }, nil
}

// leave takes one off a count of users, and frees a closed model after the last one.
func (m *Model) leave(count *int) {
	u := &m.users
	u.mu.Lock()
	defer u.mu.Unlock()
	if *count--; u.active == 0 && u.idle != nil {
		u.idle.Broadcast()
	}
	m.freeUnused()
}

// freeUnused frees what a closed model holds, once nobody uses it. It is called with the users locked.
func (m *Model) freeUnused() {
	if u := &m.users; u.closed && !u.freed && u.active == 0 && u.working == 0 {
		u.freed = true
		m.free()
	}
}

// Close waits for the calls that have not returned, and frees the engine's memory that the model holds. A call that was
// interrupted has returned, though the engine may still be at its last batch: the memory is then freed after that.
// Whatever is asked of the model afterwards is an error; closing it again does nothing.
func (m *Model) Close() {
	u := &m.users
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if u.idle == nil {
		u.idle = sync.NewCond(&u.mu)
	}
	for u.active > 0 {
		u.idle.Wait()
	}
	m.freeUnused()
}

// heed does work, and returns the context's error at once if ctx ends before the work does: an engine cannot be stopped
// while it compiles or runs a program. The work then goes on to its end by itself, and calls left there, if that is not
// nil; the caller must not touch what it uses. The caller is a user of the model.
func (m *Model) heed(ctx context.Context, work func() error, left func()) error {
	if ctx.Done() == nil {
		return work()
	}
	const working, ended, abandoned = 0, 1, 2
	var state atomic.Int32
	var err error
	var panicked any
	end := make(chan struct{})
	m.users.mu.Lock()
	m.users.working++
	m.users.mu.Unlock()
	go func() {
		defer m.leave(&m.users.working)
		defer func() {
			panicked = recover()
			if state.CompareAndSwap(working, ended) {
				close(end)
				return
			}
			if left != nil {
				left()
			}
			if panicked != nil {
				panic(panicked)
			}
		}()
		err = work()
	}()
	select {
	case <-end:
	case <-ctx.Done():
		if state.CompareAndSwap(working, abandoned) {
			return ctx.Err()
		}
		<-end
	}
	if panicked != nil {
		panic(panicked)
	}
	return err
}
