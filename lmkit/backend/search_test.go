package backend

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestSearchOrder(t *testing.T) {
	m := newMachine(t)
	m.goodPip(m.wheel)
	at := func(parts ...string) string { return filepath.Join(append([]string{m.home}, parts...)...) }
	find := func(kind, wantFile, wantOrigin string, o Options) plugin {
		t.Helper()
		found, err := search(o, kind)
		if err != nil || found.File != wantFile || found.Origin != wantOrigin {
			t.Errorf("found %+v, %v; want %s (%s)", found, err, wantFile, wantOrigin)
		}
		return found
	}
	find(XLACPU, "", "", Options{})

	find(XLACPU, installs(t, Options{}).File, "cache", Options{})
	systemFolder = at("system")
	m.write(at("system", "pjrt_c_api_cpu_plugin.so"), library)
	find(XLACPU, at("system", "pjrt_c_api_cpu_plugin.so"), "go-xla's folder", Options{})

	if runtime.GOOS == "linux" {
		user := at(".local", "lib", "go-xla")
		m.write(filepath.Join(user, "pjrt_c_api_cpu_v0.98.0_plugin.so"), library)
		m.write(filepath.Join(user, "pjrt_c_api_cpu_v0.114.0_plugin.so"), library)
		find(XLACPU, filepath.Join(user, "pjrt_c_api_cpu_v0.114.0_plugin.so"), "go-xla's folder", Options{})
		m.write(filepath.Join(user, "pjrt_c_api_cpu_plugin.so"), library)
		find(XLACPU, filepath.Join(user, "pjrt_c_api_cpu_plugin.so"), "go-xla's folder", Options{})
		m.write(filepath.Join(user, "nvidia", "pjrt_c_api_cuda_plugin.so"), library)
		find(XLACUDA, filepath.Join(user, "nvidia", "pjrt_c_api_cuda_plugin.so"), "go-xla's folder", Options{})
	}

	m.write(at("mine", "README"), nil)
	t.Setenv(EnvPlugins, at("mine"))
	if found, err := search(Options{}, XLACPU); err != nil || !strings.Contains(found.Note, "holds no plugin") {
		t.Errorf("a folder without a plugin: %+v, %v; want a note", found, err)
	}
	m.write(at("mine", "pjrt-plugin-cpu.so"), library)
	t.Setenv(EnvPlugins, at("none")+string(filepath.ListSeparator)+at("mine"))
	find(XLACPU, at("mine", "pjrt-plugin-cpu.so"), EnvPlugins, Options{})
	t.Setenv(EnvPlugins, at("mine", "pjrt-plugin-cpu.so"))
	find(XLACPU, at("mine", "pjrt-plugin-cpu.so"), EnvPlugins, Options{})

	m.write(at("any", "name.so"), library)
	find(XLACPU, at("any", "name.so"), "as asked", Options{Plugin: at("any", "name.so")})
	fails := Options{Plugin: at("any", "other.so")}
	if _, err := search(fails, XLACPU); err == nil || !strings.Contains(err.Error(), "other.so") {
		t.Errorf("a plugin that is not there: %v", err)
	}
}

func TestPluginKind(t *testing.T) {
	for file, want := range map[string]string{
		"/a/pjrt_c_api_cpu_plugin.so":          XLACPU,
		"/a/pjrt_c_api_cpu_v0.114.0_plugin.so": XLACPU,
		"/a/pjrt_c_api_cpu_plugin.dylib":       XLACPU,
		"/a/pjrt_plugin_cpu.dll":               XLACPU,
		"/a/pjrt_c_api_cuda_plugin.so":         XLACUDA,
		"/a/pjrt-plugin-cuda13.so":             XLACUDA,
		"/a/pjrt_c_api_tpu_plugin.so":          "",
		"/a/pjrt_c_api_cpu_plugin.so.lock":     "",
		"/pjrt_c_api_cpu_plugin.so/file.so":    "",
	} {
		if got := pluginKind(file); got != want {
			t.Errorf("%s is for %q, want %q", file, got, want)
		}
	}
}

func TestCheckLibrary(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads ELF files")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	other := append([]byte(nil), program...)
	other[18], other[19] = 8, 0 // e_machine: MIPS
	unsectioned := append([]byte(nil), program[:len(program)/2]...)
	copy(unsectioned[40:48], make([]byte, 8)) // e_shoff
	copy(unsectioned[60:64], make([]byte, 4)) // e_shnum, e_shstrndx
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"text", []byte("hello"), "not a whole shared library"},
		{"empty", nil, "not a whole shared library"},
		{"half", program[:len(program)/2], "remove it and start again"},
		{"half without sections", unsectioned, "remove it and start again"},
		{"another processor", other, "EM_MIPS"},
		{"no plugin", program, "not a PJRT plugin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "plugin.so")
			if err := os.WriteFile(file, c.data, 0o755); err != nil {
				t.Fatal(err)
			}
			err := checkLibrary(file)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want an error with %q and the file", err, c.want)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	newMachine(t)
	for _, c := range []struct {
		name, env string
		want      request
		wantErr   string
	}{
		{name: "", want: request{kind: Auto}},
		{name: "auto", env: "go", want: request{kind: Auto}},
		{name: " go ", want: request{kind: Go}},
		{name: "", env: "go", want: request{kind: Go}},
		{name: "xla", want: request{kind: XLACPU}},
		{name: "xla:cpu", want: request{kind: XLACPU}},
		{name: "xla:cuda,preallocate=true", want: request{kind: XLACUDA, config: ",preallocate=true"}},
		{name: "xla:/a/plugin.so", want: request{kind: XLACPU, plugin: "/a/plugin.so"}},
		{name: "xla:/a/pjrt_c_api_cuda_plugin.so,tf32=false", want: request{kind: XLACUDA, plugin: "/a/pjrt_c_api_cuda_plugin.so", config: ",tf32=false"}},
		{name: "xla:cpu,devices=3", want: request{kind: XLACPU, devices: 3}},
		{name: "xla:/a/pjrt_c_api_cpu_plugin.so,shared_buffers,devices=1,tf32=false", want: request{kind: XLACPU, plugin: "/a/pjrt_c_api_cpu_plugin.so", config: ",shared_buffers,tf32=false", devices: 1}},
		{name: "xla:cpu,devices=0", wantErr: "xla:cpu: devices=0 is no number of devices: take 1 or more"},
		{name: "xla:tpu", wantErr: `unknown engine "xla:tpu": choose auto, xla:cpu, xla:cuda or go`},
		{name: "", env: "cuda", wantErr: `unknown engine "cuda"`},
		{name: "go,fast", wantErr: "unknown engine"},
		{name: "XLA", wantErr: "unknown engine"},
	} {
		t.Setenv(EnvEngine, c.env)
		got, err := Options{Name: c.name}.request()
		if c.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("%q: %v, want %q", c.name, err, c.wantErr)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestOnlyAutoFallsBack(t *testing.T) {
	newMachine(t)
	reason := "python3 is not found"
	if err := xlaMissing(); err != nil {
		reason = err.Error()
	}
	e, err := Open(context.Background(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != Go || !strings.Contains(e.Note, reason) || strings.Contains(e.Note, "\n") {
		t.Errorf("auto gave %s with the note %q, want go, and in one line why", e.Kind, e.Note)
	}
	for _, name := range []string{XLACPU, "xla"} {
		if _, err := Open(context.Background(), Options{Name: name}); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want an error with %q", name, err, reason)
		}
	}
	if _, err := Open(context.Background(), Options{Name: XLACUDA}); err == nil {
		t.Error("xla:cuda opened without a GPU")
	} else if xlaMissing() == nil && !strings.Contains(err.Error(), "no NVIDIA GPU") {
		t.Errorf("xla:cuda: %v, want an error about the GPU", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{}); xlaMissing() == nil && err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPluginThatDoesNotLoad(t *testing.T) {
	if err := xlaMissing(); err != nil || runtime.GOOS != "linux" {
		t.Skipf("needs XLA on Linux: %v", err)
	}
	m := newMachine(t)
	file := m.write0("not a library")
	for _, o := range []Options{{Plugin: file}, {Name: XLACPU, Plugin: file}, {Name: "xla:" + file}} {
		_, err := Open(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want one line that names the file", o, err)
		}
	}
}
