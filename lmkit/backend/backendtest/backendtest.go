// Package backendtest gives tests the engine that they run on.
package backendtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"lmkit.internal/lmkit/backend"
)

// EnvEngine names the engine that tests run on, as [backend.Options.Name] does.
const EnvEngine = "LMKIT_TEST_ENGINE"

// EnvTuneChild is set in a test program that is started to find out what [backend.Tune] does.
const EnvTuneChild = "LMKIT_TUNE_CHILD"

// A test keeps what it compiles in a folder for tests alone, unless LMKIT_CACHE says otherwise, so that packages and
// runs share it. It tests no other program for that: a program is found by the checksum of all that it is made from.
//
// Tune is what lets a child of the test try whether the plugin's programs can be kept. It is told to change nothing of
// the process, which would start again otherwise, except in the program that TestTune starts: that calls Tune itself.
func init() {
	if os.Getenv(EnvTuneChild) != "" {
		return
	}
	if os.Getenv(backend.EnvCache) == "" {
		os.Setenv(backend.EnvCache, filepath.Join(os.TempDir(), fmt.Sprintf("lmkit-test-programs-%d", os.Getuid())))
	}
	if os.Getenv(backend.EnvTune) == "" {
		os.Setenv(backend.EnvTune, "off")
	}
	backend.Tune()
}

// Engine is the engine for tests, opened once a process: XLA, which is installed when it is missing, or what
// LMKIT_TEST_ENGINE or else GOMLX_BACKEND names. A test fails when it cannot be had.
func Engine(t testing.TB) *backend.Engine {
	t.Helper()
	e, err := open()
	if err != nil {
		t.Fatalf("the engine for tests: %v", err)
	}
	return e
}

// FourDevices is XLA on the processor, shown as four devices, opened once a process. A test is skipped that runs on
// another engine.
func FourDevices(t testing.TB) *backend.Engine {
	t.Helper()
	if e := Engine(t); e.Kind != backend.XLACPU {
		t.Skipf("the engine is %s, and this test needs %s", e.Kind, backend.XLACPU)
	}
	e, err := openFour()
	if err != nil {
		t.Fatalf("the engine for tests, with four devices: %v", err)
	}
	return e
}

// PureGo is the pure-Go engine, opened once a process.
func PureGo(t testing.TB) *backend.Engine {
	t.Helper()
	e, err := openGo()
	if err != nil {
		t.Fatalf("the pure-Go engine: %v", err)
	}
	return e
}

// Runs reports whether case number n of a list runs on an engine. It does, unless the run is short (go test -short)
// and the engine compiles, which takes about a second a case: then the first of every four does. The pure-Go engine
// compiles nothing, and always runs all of them.
func Runs(e *backend.Engine, n int) bool {
	return !testing.Short() || e.Kind == backend.Go || n%4 == 0
}

// Either is the engine for a test whose subject lies above the engine: Engine, or in a short run the pure-Go engine,
// which compiles nothing.
func Either(t testing.TB) *backend.Engine {
	t.Helper()
	if testing.Short() {
		return PureGo(t)
	}
	return Engine(t)
}

var open = sync.OnceValues(func() (*backend.Engine, error) {
	name := os.Getenv(EnvEngine)
	if name == "" {
		name = os.Getenv(backend.EnvEngine)
	}
	if name == "" || name == backend.Auto {
		name = "xla" // never the fallback: a test that needs XLA would fail for the wrong reason
	}
	return backend.Open(context.Background(), backend.Options{Name: name})
})

var openFour = sync.OnceValues(func() (*backend.Engine, error) {
	return backend.Open(context.Background(), backend.Options{Name: backend.XLACPU + ",devices=4"})
})

var openGo = sync.OnceValues(func() (*backend.Engine, error) {
	return backend.Open(context.Background(), backend.Options{Name: backend.Go})
})
