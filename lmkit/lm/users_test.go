package lm

import (
	"context"
	"errors"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
)

// What is interrupted returns though its work has not ended, as an engine's does not while it compiles; then Close
// does not wait for it, and the memory is freed at the work's end. (The work ends only after all this, so that
// waiting for it would be for ever.)
func TestHeedReturnsWhileWorkGoesOn(t *testing.T) {
	m, err := New(backendtest.PureGo(t), Config{Arch: LSTM, Vocab: 5, Width: 4, Hidden: 4, Layers: 1}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun, release, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		<-begun
		cancel()
	}()
	done, err := m.use()
	if err != nil {
		t.Fatal(err)
	}
	err = m.heed(ctx, func() error {
		close(begun)
		<-release
		return nil
	}, func() { close(left) })
	done()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	m.Close()
	m.users.mu.Lock()
	if m.users.freed {
		t.Error("the model was freed under work that goes on")
	}
	m.users.mu.Unlock()
	if _, err := m.use(); err == nil {
		t.Error("a closed model can be used")
	}
	close(release)
	<-left
	for m.inUse() { // the last one frees it right after
	}
	if !m.users.freed {
		t.Error("the model was not freed after its last user")
	}
}

func (m *Model) inUse() bool {
	m.users.mu.Lock()
	defer m.users.mu.Unlock()
	return m.users.working > 0
}

// Work that ends is as if it had been called: its error, or its panic, is the caller's.
func TestHeedReturnsWhatWorkDoes(t *testing.T) {
	m := &Model{opened: &opened{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wrong := errors.New("wrong")
	if err := m.heed(ctx, func() error { return wrong }, nil); err != wrong {
		t.Errorf("error %v", err)
	}
	defer func() {
		if r := recover(); r != "bug" {
			t.Errorf("panic %v", r)
		}
	}()
	_ = m.heed(ctx, func() error { panic("bug") }, nil)
	t.Error("the panic is lost")
}
