package plugin_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/internal/plugin/plugintest"
)

func TestSearchOrder(t *testing.T) {
	m := plugintest.New(t)
	m.GoodPip(m.Wheel)
	at := func(parts ...string) string { return filepath.Join(append([]string{m.Home}, parts...)...) }
	find := func(kind, wantFile, wantOrigin string, o plugin.Options) plugin.Plugin {
		t.Helper()
		found, err := plugin.Search(o, kind)
		if err != nil || found.File != wantFile || found.Origin != wantOrigin {
			t.Errorf("found %+v, %v; want %s (%s)", found, err, wantFile, wantOrigin)
		}
		return found
	}
	find(plugin.CPU, "", "", plugin.Options{})

	find(plugin.CPU, installs(t, plugin.Options{}).File, "cache", plugin.Options{})
	plugin.SystemFolder = at("system")
	m.Write(at("system", "pjrt_c_api_cpu_plugin.so"), plugintest.Library)
	find(plugin.CPU, at("system", "pjrt_c_api_cpu_plugin.so"), "go-xla's folder", plugin.Options{})

	if runtime.GOOS == "linux" {
		user := at(".local", "lib", "go-xla")
		m.Write(filepath.Join(user, "pjrt_c_api_cpu_v0.98.0_plugin.so"), plugintest.Library)
		m.Write(filepath.Join(user, "pjrt_c_api_cpu_v0.114.0_plugin.so"), plugintest.Library)
		find(plugin.CPU, filepath.Join(user, "pjrt_c_api_cpu_v0.114.0_plugin.so"), "go-xla's folder", plugin.Options{})
		m.Write(filepath.Join(user, "pjrt_c_api_cpu_plugin.so"), plugintest.Library)
		find(plugin.CPU, filepath.Join(user, "pjrt_c_api_cpu_plugin.so"), "go-xla's folder", plugin.Options{})
		m.Write(filepath.Join(user, "nvidia", "pjrt_c_api_cuda_plugin.so"), plugintest.Library)
		find(plugin.CUDA, filepath.Join(user, "nvidia", "pjrt_c_api_cuda_plugin.so"), "go-xla's folder", plugin.Options{})
	}

	m.Write(at("mine", "README"), nil)
	t.Setenv(plugin.EnvPlugins, at("mine"))
	if found, err := plugin.Search(plugin.Options{}, plugin.CPU); err != nil ||
		!strings.Contains(found.Note, "holds no plugin") {
		t.Errorf("a folder without a plugin: %+v, %v; want a note", found, err)
	}
	m.Write(at("mine", "pjrt-plugin-cpu.so"), plugintest.Library)
	t.Setenv(plugin.EnvPlugins, at("none")+string(filepath.ListSeparator)+at("mine"))
	find(plugin.CPU, at("mine", "pjrt-plugin-cpu.so"), plugin.EnvPlugins, plugin.Options{})
	t.Setenv(plugin.EnvPlugins, at("mine", "pjrt-plugin-cpu.so"))
	find(plugin.CPU, at("mine", "pjrt-plugin-cpu.so"), plugin.EnvPlugins, plugin.Options{})

	m.Write(at("any", "name.so"), plugintest.Library)
	find(plugin.CPU, at("any", "name.so"), "as asked", plugin.Options{Plugin: at("any", "name.so")})
	fails := plugin.Options{Plugin: at("any", "other.so")}
	if _, err := plugin.Search(fails, plugin.CPU); err == nil || !strings.Contains(err.Error(), "other.so") {
		t.Errorf("a plugin that is not there: %v", err)
	}
}

func TestPluginKind(t *testing.T) {
	for file, want := range map[string]string{
		"/a/pjrt_c_api_cpu_plugin.so":          plugin.CPU,
		"/a/pjrt_c_api_cpu_v0.114.0_plugin.so": plugin.CPU,
		"/a/pjrt_c_api_cpu_plugin.dylib":       plugin.CPU,
		"/a/pjrt_plugin_cpu.dll":               plugin.CPU,
		"/a/pjrt_c_api_cuda_plugin.so":         plugin.CUDA,
		"/a/pjrt-plugin-cuda13.so":             plugin.CUDA,
		"/a/pjrt_c_api_tpu_plugin.so":          "",
		"/a/pjrt_c_api_cpu_plugin.so.lock":     "",
		"/pjrt_c_api_cpu_plugin.so/file.so":    "",
	} {
		if got := plugin.Kind(file); got != want {
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
			err := plugin.Check(file)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want an error with %q and the file", err, c.want)
			}
		})
	}
}
