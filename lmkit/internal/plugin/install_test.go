package plugin_test

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

	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/internal/plugin/plugintest"
	"lmkit.internal/lmkit/internal/store"
	"lmkit.internal/lmkit/progress"
)

// TestMain also serves as the program that TestConcurrentInstalls starts many times.
func TestMain(m *testing.M) {
	if os.Getenv("LMKIT_TEST_INSTALL") == "" {
		os.Exit(m.Run())
	}
	plugintest.Isolate()
	found, err := plugin.Find(context.Background(), plugin.Options{}, plugin.CPU)
	if err == nil {
		err = verify()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(found.File)
	os.Exit(0)
}

func verify() error {
	s, err := plugin.Store()
	if err != nil {
		return err
	}
	return s.Verify(context.Background(), plugin.Wheel.Folder)
}

// installs checks that a plugin is found or installed, and is the plugintest.Library.
func installs(t *testing.T, o plugin.Options) plugin.Plugin {
	t.Helper()
	found, err := plugin.Find(context.Background(), o, plugin.CPU)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(found.File); err != nil || !bytes.Equal(got, plugintest.Library) {
		t.Fatalf("%s is not the library (%v)", found.File, err)
	}
	return found
}

// fails checks that nothing is installed and that the error is one line with all the parts.
func fails(t *testing.T, o plugin.Options, parts ...string) {
	t.Helper()
	found, err := plugin.Find(context.Background(), o, plugin.CPU)
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
	if file, _, _ := plugin.Cached(); file != "" {
		t.Errorf("%s was installed", file)
	}
}

func TestPipInstallsOnce(t *testing.T) {
	m := plugintest.New(t)
	m.GoodPip(m.Wheel)
	var last [2]int64
	o := plugin.Options{Progress: func(e progress.Event) { last = [2]int64{e.Done, e.Total} }}
	if found := installs(t, o); found.Origin != "pip" {
		t.Errorf("origin %q, want pip", found.Origin)
	}
	if want := int64(len(plugintest.Library)); last != [2]int64{want, want} {
		t.Errorf("last progress %v, want %d of %d", last, want, want)
	}
	if found := installs(t, plugin.Options{Offline: true}); found.Origin != "cache" {
		t.Errorf("origin %q, want the cache", found.Origin)
	}
	if n := m.PipCalls(); n != 1 {
		t.Errorf("pip was called %d times, want 1", n)
	}
	if left := m.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDamagedCacheIsInstalledAgain(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"truncated":       func(file string) error { return os.Truncate(file, 100) },
		"empty":           func(file string) error { return os.Truncate(file, 0) },
		"library removed": os.Remove,
		"manifest removed": func(file string) error {
			return os.Remove(filepath.Join(filepath.Dir(file), store.ManifestFile))
		},
		"manifest emptied": func(file string) error {
			return os.Truncate(filepath.Join(filepath.Dir(file), store.ManifestFile), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := plugintest.New(t)
			m.GoodPip(m.Wheel)
			if err := damage(installs(t, plugin.Options{}).File); err != nil {
				t.Fatal(err)
			}
			installs(t, plugin.Options{})
			if n := m.PipCalls(); n != 2 {
				t.Errorf("pip was called %d times, want 2", n)
			}
		})
	}
}

func TestInstallErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(m *plugintest.Machine)
		want  []string
	}{
		{"no python", func(m *plugintest.Machine) {}, []string{"python3 is not found", "install Python 3", plugin.EnvWheel,
			"go-xla's release"}},
		{"no pip", func(m *plugintest.Machine) { m.Python("echo 'python3: No module named pip' >&2; exit 1") },
			[]string{"has no pip", "python3-pip"}},
		{"no network", func(m *plugintest.Machine) {
			m.Python("echo 'WARNING: Retrying: NewConnectionError(...)' >&2; echo 'ERROR: No matching distribution' >&2; exit 1")
		}, []string{"cannot reach its package index", "check the network"}},
		{"disk full", func(m *plugintest.Machine) { m.Python("echo '[Errno 28] No space left on device'; exit 2") },
			[]string{"disk is full"}},
		{"another failure", func(m *plugintest.Machine) {
			m.Python("echo odd; echo 'ERROR: No matching distribution found'; exit 1")
		},
			[]string{"tiny==1.0", "exit status 1", "ERROR: No matching distribution found"}},
		{"another file", func(m *plugintest.Machine) { m.GoodPip(m.Calls) }, []string{"wrong checksum", "must be"}},
		{"nothing downloaded", func(m *plugintest.Machine) { m.Python("exit 0") }, []string{"cannot be read"}},
		{"wrong library", func(m *plugintest.Machine) {
			m.GoodPip(m.Wheel)
			plugin.Wheel.MemberSHA256 = plugintest.Sha(
				nil)
		}, []string{"wrong checksum"}},
		{"longer library", func(m *plugintest.Machine) { m.GoodPip(m.Wheel); plugin.Wheel.MemberSize-- },
			[]string{"not the right size"}},
		{"shorter library", func(m *plugintest.Machine) { m.GoodPip(m.Wheel); plugin.Wheel.MemberSize++ },
			[]string{"not the right size"}},
		{"no library", func(m *plugintest.Machine) { m.GoodPip(m.Wheel); plugin.Wheel.Member = "other.so" },
			[]string{"lacks other.so"}},
		{"not a zip", func(m *plugintest.Machine) {
			m.GoodPip(m.File("junk"))
			plugin.Wheel.SHA256 = plugintest.Sha([]byte("junk"))
		}, []string{"not a valid zip"}},
		{"other system", func(m *plugintest.Machine) { m.GoodPip(m.Wheel); plugin.Platform = "plan9/mips" },
			[]string{"no plugin for", "pjrt_installer"}},
		{"cache is a file", func(m *plugintest.Machine) { m.T.Setenv("XDG_CACHE_HOME", m.Wheel) },
			[]string{"cannot be made", "set XDG_CACHE_HOME"}},
		{"no home", func(m *plugintest.Machine) { m.T.Setenv("XDG_CACHE_HOME", ""); m.T.Setenv("HOME", "") },
			[]string{"set HOME or XDG_CACHE_HOME"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := plugintest.New(t)
			c.setup(m)
			fails(t, plugin.Options{}, c.want...)
		})
	}
}

func TestCancelledInstallLeavesNothing(t *testing.T) {
	m := plugintest.New(t)
	m.Python("echo partial >\"$dest/part\"; exec sleep 60")
	ctx, cancel := context.WithCancel(context.Background())
	o := plugin.Options{Progress: func(e progress.Event) {
		if e.Done > 0 { // pip has begun
			cancel()
		}
	}}
	if _, err := plugin.Find(ctx, o, plugin.CPU); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if left := m.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestGivenWheel(t *testing.T) {
	serve := func(t *testing.T, file string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, file)
		}))
		t.Cleanup(server.Close)
		return server.URL + "/tiny.whl"
	}
	t.Run("file", func(t *testing.T) {
		m := plugintest.New(t)
		installs(t, plugin.Options{Wheel: m.Wheel, Offline: true})
	})
	t.Run("file by the environment", func(t *testing.T) {
		m := plugintest.New(t)
		t.Setenv(plugin.EnvWheel, m.Wheel)
		installs(t, plugin.Options{})
	})
	t.Run("address", func(t *testing.T) {
		m := plugintest.New(t)
		installs(t, plugin.Options{Wheel: serve(t, m.Wheel)})
		if left := m.Leftovers(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("address of another file", func(t *testing.T) {
		m := plugintest.New(t)
		fails(t, plugin.Options{Wheel: serve(t, m.File("other"))}, "checksum")
	})
	t.Run("another file", func(t *testing.T) {
		m := plugintest.New(t)
		m.GoodPip(m.Wheel) // and yet pip is not asked: the user named a source
		fails(t, plugin.Options{Wheel: m.File("other")}, "wrong checksum", plugin.Wheel.SHA256)
	})
	t.Run("missing file", func(t *testing.T) {
		plugintest.New(t)
		fails(t, plugin.Options{Wheel: "/nowhere/tiny.whl"}, "cannot be read", "/nowhere/tiny.whl")
	})
	t.Run("address while offline", func(t *testing.T) {
		plugintest.New(t)
		fails(t, plugin.Options{Wheel: "https://example.org/w.whl", Offline: true}, "network is not to be used")
	})
	t.Run("offline", func(t *testing.T) {
		m := plugintest.New(t)
		m.GoodPip(m.Wheel)
		fails(t, plugin.Options{Offline: true}, "network is not to be used", plugin.EnvWheel, plugin.EnvPlugins)
	})
}

// publish serves a release of one archive with one file in it.
func publish(t *testing.T, entry, digest string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: entry, Mode: 0o644, Size: int64(len(plugintest.Library))})
	if err == nil {
		_, err = w.Write(plugintest.Library)
	}
	if err = errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	if digest == "right" {
		digest = "sha256:" + plugintest.Sha(b.Bytes())
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
	plugin.ReleaseAddress = server.URL + "/release"
}

func TestRelease(t *testing.T) {
	const entry = "./pjrt_c_api_cpu_v0.114.0_plugin.so"
	t.Run("installs", func(t *testing.T) {
		m := plugintest.New(t)
		publish(t, entry, "right")
		installs(t, plugin.Options{})
		if found := installs(t, plugin.Options{Offline: true}); found.Origin != "cache" {
			t.Errorf("origin %q, want the cache", found.Origin)
		}
		if left := m.Leftovers(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	for _, c := range []struct{ name, entry, digest, want string }{
		{"wrong checksum", entry, "sha256:" + plugintest.Sha(nil), "checksum"},
		{"no checksum", entry, "", "no checksum"},
		{"no plugin inside", "README", "right", "holds no CPU plugin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			plugintest.New(t)
			publish(t, c.entry, c.digest)
			fails(t, plugin.Options{}, c.want, "python3 is not found")
		})
	}
	t.Run("then pip", func(t *testing.T) {
		m := plugintest.New(t)
		publish(t, entry, "sha256:"+plugintest.Sha(nil))
		m.GoodPip(m.Wheel)
		if found := installs(t, plugin.Options{}); found.Origin != "pip" {
			t.Errorf("origin %q, want pip", found.Origin)
		}
	})
}

func TestConcurrentInstalls(t *testing.T) {
	m := plugintest.New(t)
	m.GoodPip(m.Wheel)
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
	if n := m.PipCalls(); n != 1 {
		t.Errorf("pip was called %d times, want 1", n)
	}
	if left := m.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKilledInstallIsCleanedUp(t *testing.T) {
	m := plugintest.New(t)
	m.GoodPip(m.Wheel)
	s, err := plugin.Store()
	if err != nil {
		t.Fatal(err)
	}
	m.Write(filepath.Join(s.Folder, "installing-123", "half.whl"), plugintest.Library[:100])
	installs(t, plugin.Options{})
	if left := m.Leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestVerifyFindsAChangedByte(t *testing.T) {
	m := plugintest.New(t)
	m.GoodPip(m.Wheel)
	file := installs(t, plugin.Options{}).File
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), plugintest.Library...)
	changed[1000] ^= 1
	if err := os.WriteFile(file, changed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil || !strings.Contains(err.Error(), "wrong checksum") {
		t.Errorf("got %v, want a wrong checksum", err)
	}
}
