// Package mapped shows a regular file as a slice of bytes, which the system reads when they are looked at.
package mapped

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
)

// File is an open file. Its methods may be called from several goroutines at once.
type File struct {
	path string
	size int

	mu    sync.RWMutex
	bytes []byte // nil once the file is closed
	unmap func() error
}

// Open maps a file. Only a regular file is opened, or a link to one: reading a pipe or a device could wait for ever.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		return nil, plain(path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(path, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil { // it may have been replaced in between
		err = regular(path, info)
	}
	if err != nil {
		return nil, plain(path, err)
	}
	m := &File{path: path, size: int(info.Size()), bytes: []byte{}, unmap: func() error { return nil }}
	if m.size == 0 { // systems refuse to map nothing
		return m, nil
	}
	if m.bytes, m.unmap, err = mapFile(f, m.size); err != nil {
		return nil, fmt.Errorf("%s cannot be mapped into memory: %w", path, err)
	}
	return m, nil
}

func regular(path string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return fmt.Errorf("%s is a folder; a file is needed", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file but a pipe, a device or a socket, which lmkit does not open", path)
	case info.Size() > math.MaxInt:
		return fmt.Errorf("%s has %d bytes, more than this system can map", path, info.Size())
	}
	return nil
}

// plain says what is wrong with a path whose links lead nowhere, and leaves other errors as they are.
func plain(path string, err error) error {
	if errors.Is(err, syscall.ELOOP) {
		return fmt.Errorf("%s is a link that leads back to itself: name the file that it should lead to", path)
	}
	return err
}

// ReadFile returns the contents of a small file. Like Open it takes regular files alone, and it takes none of more than
// most bytes.
func ReadFile(path string, most int) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > most {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that such a file may have", path, f.size, most)
	}
	all := make([]byte, f.size)
	return all, f.Read(all, 0)
}

// Size returns the number of bytes.
func (f *File) Size() int { return f.size }

// View calls use with the whole file, which use must neither change nor keep. A part of the file that cannot be read,
// because another program cut it off meanwhile or the disk fails, is an error, as long as use reads it in the goroutine
// that it is called in.
func (f *File) View(use func(all []byte) error) (err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.bytes == nil {
		return fmt.Errorf("%s is closed", f.path)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		failed := recover()
		if failed == nil {
			return
		}
		if _, fault := failed.(interface{ Addr() uintptr }); !fault {
			panic(failed)
		}
		err = fmt.Errorf("%s cannot be read any more: it was changed while it was open, or its disk fails", f.path)
	}()
	return use(f.bytes)
}

// Read copies the bytes that begin at byte at, as many as to takes. It is an error that they are not there.
func (f *File) Read(to []byte, at int) error {
	return f.View(func(all []byte) error {
		if at < 0 || at > len(all) || len(to) > len(all)-at {
			return fmt.Errorf("%s has %d bytes, too few for %d from byte %d", f.path, len(all), len(to), at)
		}
		copy(to, all[at:])
		return nil
	})
}

// Close gives the map back, once nobody looks at it any more.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bytes == nil {
		return nil
	}
	f.bytes = nil
	return f.unmap()
}
