package backend

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"lmkit.internal/lmkit/progress"
)

// installs checks that a plugin is found or installed, and is the library.
func installs(t *testing.T, o Options) plugin {
	t.Helper()
	found, err := locate(context.Background(), o, XLACPU)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(found.File); err != nil || !bytes.Equal(got, library) {
		t.Fatalf("%s is not the library (%v)", found.File, err)
	}
	return found
}

// fails checks that nothing is installed and that the error is one line with all the parts.
func fails(t *testing.T, o Options, parts ...string) {
	t.Helper()
	found, err := locate(context.Background(), o, XLACPU)
	if err == nil {
		t.Fatalf("found %s, want an error", found.File)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has several lines: %q", err)
	}
	if file, _ := cachedPlugin(); file != "" {
		t.Errorf("%s was installed", file)
	}
}

func TestPipInstallsOnce(t *testing.T) {
	m := newMachine(t)
	m.goodPip(m.wheel)
	var last [2]int64
	o := Options{Progress: func(e progress.Event) { last = [2]int64{e.Done, e.Total} }}
	if found := installs(t, o); found.Origin != "pip" {
		t.Errorf("origin %q, want pip", found.Origin)
	}
	if want := int64(len(library)); last != [2]int64{want, want} {
		t.Errorf("last progress %v, want %d of %d", last, want, want)
	}
	if found := installs(t, Options{Offline: true}); found.Origin != "cache" {
		t.Errorf("origin %q, want the cache", found.Origin)
	}
	if n := m.pipCalls(); n != 1 {
		t.Errorf("pip was called %d times, want 1", n)
	}
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDamagedCacheIsInstalledAgain(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"truncated":        func(file string) error { return os.Truncate(file, 100) },
		"empty":            func(file string) error { return os.Truncate(file, 0) },
		"library removed":  os.Remove,
		"manifest removed": func(file string) error { return os.Remove(filepath.Join(filepath.Dir(file), manifestFile)) },
		"manifest emptied": func(file string) error { return os.Truncate(filepath.Join(filepath.Dir(file), manifestFile), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.goodPip(m.wheel)
			if err := damage(installs(t, Options{}).File); err != nil {
				t.Fatal(err)
			}
			installs(t, Options{})
			if n := m.pipCalls(); n != 2 {
				t.Errorf("pip was called %d times, want 2", n)
			}
		})
	}
}

func TestInstallErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(m *machine)
		want  []string
	}{
		{"no python", func(m *machine) {}, []string{"python3 is not found", "install Python 3", EnvWheel, "go-xla's release"}},
		{"no pip", func(m *machine) { m.python("echo 'python3: No module named pip' >&2; exit 1") }, []string{"has no pip", "python3-pip"}},
		{"no network", func(m *machine) {
			m.python("echo 'WARNING: Retrying: NewConnectionError(...)' >&2; echo 'ERROR: No matching distribution' >&2; exit 1")
		}, []string{"cannot reach its package index", "check the network"}},
		{"disk full", func(m *machine) { m.python("echo '[Errno 28] No space left on device'; exit 2") }, []string{"disk is full"}},
		{"another failure", func(m *machine) { m.python("echo odd; echo 'ERROR: No matching distribution found'; exit 1") },
			[]string{"tiny==1.0", "exit status 1", "ERROR: No matching distribution found"}},
		{"another file", func(m *machine) { m.goodPip(m.calls) }, []string{"wrong checksum", "must be"}},
		{"nothing downloaded", func(m *machine) { m.python("exit 0") }, []string{"cannot be read"}},
		{"wrong library", func(m *machine) { m.goodPip(m.wheel); pinned.memberSHA256 = sha(nil) }, []string{"wrong checksum"}},
		{"longer library", func(m *machine) { m.goodPip(m.wheel); pinned.memberSize-- }, []string{"not the right size"}},
		{"shorter library", func(m *machine) { m.goodPip(m.wheel); pinned.memberSize++ }, []string{"not the right size"}},
		{"no library", func(m *machine) { m.goodPip(m.wheel); pinned.member = "other.so" }, []string{"lacks other.so"}},
		{"not a zip", func(m *machine) { m.goodPip(m.write0("junk")); pinned.sha256 = sha([]byte("junk")) }, []string{"not a valid zip"}},
		{"other system", func(m *machine) { m.goodPip(m.wheel); pinned.platform = "plan9/mips" }, []string{"no plugin for", "pjrt_installer"}},
		{"cache is a file", func(m *machine) { m.t.Setenv("XDG_CACHE_HOME", m.wheel) }, []string{"cannot be made", "set XDG_CACHE_HOME"}},
		{"no home", func(m *machine) { m.t.Setenv("XDG_CACHE_HOME", ""); m.t.Setenv("HOME", "") }, []string{"set HOME or XDG_CACHE_HOME"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.setup(m)
			fails(t, Options{}, c.want...)
		})
	}
}

// write0 makes a file with the text and returns its path.
func (m *machine) write0(text string) string {
	file := filepath.Join(m.home, "file")
	m.write(file, []byte(text))
	return file
}

func TestCancelledInstallLeavesNothing(t *testing.T) {
	m := newMachine(t)
	m.python("echo partial >\"$dest/part\"; exec sleep 60")
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Progress: func(e progress.Event) {
		if e.Done > 0 { // pip has begun
			cancel()
		}
	}}
	if _, err := locate(ctx, o, XLACPU); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestGivenWheel(t *testing.T) {
	serve := func(t *testing.T, file string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
		t.Cleanup(server.Close)
		return server.URL + "/tiny.whl"
	}
	t.Run("file", func(t *testing.T) {
		m := newMachine(t)
		installs(t, Options{Wheel: m.wheel, Offline: true})
	})
	t.Run("file by the environment", func(t *testing.T) {
		m := newMachine(t)
		t.Setenv(EnvWheel, m.wheel)
		installs(t, Options{})
	})
	t.Run("address", func(t *testing.T) {
		m := newMachine(t)
		installs(t, Options{Wheel: serve(t, m.wheel)})
		if left := m.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("address of another file", func(t *testing.T) {
		m := newMachine(t)
		fails(t, Options{Wheel: serve(t, m.write0("other"))}, "checksum")
	})
	t.Run("another file", func(t *testing.T) {
		m := newMachine(t)
		m.goodPip(m.wheel) // and yet pip is not asked: the user named a source
		fails(t, Options{Wheel: m.write0("other")}, "wrong checksum", pinned.sha256)
	})
	t.Run("missing file", func(t *testing.T) {
		newMachine(t)
		fails(t, Options{Wheel: "/nowhere/tiny.whl"}, "cannot be read", "/nowhere/tiny.whl")
	})
	t.Run("address while offline", func(t *testing.T) {
		newMachine(t)
		fails(t, Options{Wheel: "https://example.org/w.whl", Offline: true}, "network is not to be used")
	})
	t.Run("offline", func(t *testing.T) {
		m := newMachine(t)
		m.goodPip(m.wheel)
		fails(t, Options{Offline: true}, "network is not to be used", EnvWheel, EnvPlugins)
	})
}

// publish serves a release of one archive with one file in it.
func publish(t *testing.T, entry, digest string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: entry, Mode: 0o644, Size: int64(len(library))})
	if err == nil {
		_, err = w.Write(library)
	}
	if err = errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	if digest == "right" {
		digest = "sha256:" + sha(b.Bytes())
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	name := fmt.Sprintf("pjrt_cpu_%s_%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	mux.HandleFunc("/release", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"assets": []map[string]any{
			{"name": "other.tar.gz", "browser_download_url": server.URL + "/other"},
			{"name": name, "browser_download_url": server.URL + "/asset", "digest": digest},
		}})
	})
	mux.HandleFunc("/asset", func(w http.ResponseWriter, r *http.Request) { w.Write(b.Bytes()) })
	releaseAddress = server.URL + "/release"
}

func TestRelease(t *testing.T) {
	const plugin = "./pjrt_c_api_cpu_v0.114.0_plugin.so"
	t.Run("installs", func(t *testing.T) {
		m := newMachine(t)
		publish(t, plugin, "right")
		installs(t, Options{})
		if found := installs(t, Options{Offline: true}); found.Origin != "cache" {
			t.Errorf("origin %q, want the cache", found.Origin)
		}
		if left := m.leftovers(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	for _, c := range []struct{ name, entry, digest, want string }{
		{"wrong checksum", plugin, "sha256:" + sha(nil), "checksum"},
		{"no checksum", plugin, "", "no checksum"},
		{"no plugin inside", "README", "right", "holds no CPU plugin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			newMachine(t)
			publish(t, c.entry, c.digest)
			fails(t, Options{}, c.want, "python3 is not found")
		})
	}
	t.Run("then pip", func(t *testing.T) {
		m := newMachine(t)
		publish(t, plugin, "sha256:"+sha(nil))
		m.goodPip(m.wheel)
		if found := installs(t, Options{}); found.Origin != "pip" {
			t.Errorf("origin %q, want pip", found.Origin)
		}
	})
}

func TestConcurrentInstalls(t *testing.T) {
	m := newMachine(t)
	m.goodPip(m.wheel)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LMKIT_TEST_INSTALL", "1")
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			if out, err := exec.CommandContext(ctx, self).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	if n := m.pipCalls(); n != 1 {
		t.Errorf("pip was called %d times, want 1", n)
	}
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKilledInstallIsCleanedUp(t *testing.T) {
	m := newMachine(t)
	m.goodPip(m.wheel)
	s, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(s.folder, stagePrefix+"123", "half.whl"), library[:100])
	installs(t, Options{})
	if left := m.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
