package mapped

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func write(t *testing.T, b []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 10_000)
	f, err := Open(write(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if f.Size() != len(want) {
		t.Errorf("the size is %d, want %d", f.Size(), len(want))
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			got := make([]byte, 10_000)
			if err := f.Read(got, i*10_000); err != nil || !bytes.Equal(got, want[i*10_000:(i+1)*10_000]) {
				t.Errorf("other bytes than the file's, or %v", err)
			}
		})
	}
	all.Wait()
	for _, at := range []int{-1, len(want), len(want) + 1, 1 << 62} {
		if err := f.Read(make([]byte, 1), at); err == nil {
			t.Errorf("byte %d of %d was read", at, len(want))
		}
	}
	failed := errors.New("failed")
	if err := f.View(func([]byte) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("View returns %v, want what its function returned", err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Read(make([]byte, 1), 0); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Errorf("reading a closed file gave %v", err)
	}
}

func TestEmpty(t *testing.T) {
	f, err := Open(write(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Read(nil, 0); err != nil || f.Size() != 0 {
		t.Errorf("size %d, %v", f.Size(), err)
	}
}

// A file that another program cuts short is an error, not the end of the process.
func TestCutShort(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" && runtime.GOOS != "freebsd" {
		t.Skip("files are not mapped on this system")
	}
	path := write(t, make([]byte, 1<<20))
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if err := f.Read(make([]byte, 1<<20), 0); err == nil || !strings.Contains(err.Error(), "cannot be read any more") {
		t.Errorf("got error %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a panic of the function was hidden")
		}
	}()
	_ = f.View(func([]byte) error { panic("mine") })
}
