package backend

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/internal/plugin/plugintest"
)

// newMachine is a machine with nothing installed and without a GPU.
func newMachine(t *testing.T) *plugintest.Machine {
	t.Helper()
	old := findGPU
	t.Cleanup(func() { findGPU = old })
	findGPU = func() gpu { return gpu{} }
	return plugintest.New(t)
}

// install installs the plugin from the machine's package index.
func install(t *testing.T) {
	t.Helper()
	if _, err := plugin.Find(t.Context(), plugin.Options{}, XLACPU); err != nil {
		t.Fatal(err)
	}
}

func (r Report) find(name string) Item {
	for _, item := range r.Items {
		if item.Name == name {
			return item
		}
	}
	return Item{}
}

func TestCheckOnABareMachine(t *testing.T) {
	m := newMachine(t)
	r := Check(context.Background(), Options{})
	if !r.OK() || r.Engine != Go || r.Wanted != Auto {
		t.Errorf("auto: %+v, want the pure-Go engine", r)
	}
	for _, name := range []string{"C compiler", "plugin", "python3"} {
		if item := r.find(name); item.Status != Warning || item.Cure == "" {
			t.Errorf("%s: %+v, want a warning with a cure", name, item)
		}
	}
	for _, name := range []string{"go", "cache", "engine", "GPU"} {
		if item := r.find(name); item.Status != Good {
			t.Errorf("%s: %+v, want ok", name, item)
		}
	}
	if r := Check(context.Background(), Options{Name: XLACPU}); r.OK() || r.Engine != "" ||
		r.find("plugin").Status != Missing {
		t.Errorf("xla:cpu: %+v, want the plugin missing", r)
	}
	if r := Check(context.Background(), Options{Name: XLACUDA}); r.OK() || r.find("GPU").Status != Missing {
		t.Errorf("xla:cuda: %+v, want the GPU missing", r)
	}
	if r := Check(context.Background(), Options{Name: Go}); !r.OK() || r.Engine != Go || r.find("plugin") != (Item{}) {
		t.Errorf("go: %+v, want only what the pure-Go engine needs", r)
	}
	if r := Check(context.Background(), Options{Name: "gpu"}); r.OK() ||
		!strings.Contains(r.find("engine").Found, "unknown engine") {
		t.Errorf("gpu: %+v, want an unknown engine", r)
	}

	m.Python("case \"$*\" in *pip*) echo 'No module named pip' >&2; exit 1;; *) echo Python 3.99;; esac")
	r = Check(context.Background(), Options{})
	if r.find("python3").Found != "Python 3.99" || r.find("pip").Status != Warning {
		t.Errorf("%+v, want python3 without pip", r)
	}
	t.Setenv("XDG_CACHE_HOME", m.Wheel)
	if item := Check(context.Background(), Options{}).find("cache"); item.Status != Warning ||
		!strings.Contains(item.Cure, "XDG_CACHE_HOME") {
		t.Errorf("%+v, want a warning about the cache", item)
	}
}

// With a home folder that does not exist, looking makes none.
func TestCheckMakesNoHome(t *testing.T) {
	m := newMachine(t)
	home := filepath.Join(m.Home, "nobody")
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	m.Write(filepath.Join(m.Home, "bin", "go"), []byte("#!/bin/sh\n[ -z \"$HOME\" ] || /bin/mkdir -p \"$HOME\"\necho "+
		"go version go9\n"))
	item := Check(t.Context(), Options{}).find("cache")
	if item.Status != Warning || !strings.Contains(item.Found, "home folder cannot be used") {
		t.Errorf("%+v, want a warning about the home folder", item)
	}
	if _, err := os.Stat(home); err == nil {
		t.Error("the home folder was made")
	}
}

func TestCheckRunsTheCompiler(t *testing.T) {
	m := newMachine(t)
	compiler := filepath.Join(m.Home, "bin", "gcc")
	m.Write(compiler, []byte("#!/bin/sh\necho 'main.c:1: stdlib.h: No such file' >&2; exit 1\n"))
	item := Check(context.Background(), Options{}).find("C compiler")
	if item.Status == Good || !strings.Contains(item.Found, "stdlib.h") || !strings.Contains(item.Cure, "libc6-dev") {
		t.Errorf("%+v, want what is wrong and the cure", item)
	}
	m.Write(compiler, []byte("#!/bin/sh\necho gcc 99\n"))
	if item := Check(context.Background(), Options{}).find("C compiler"); item.Status != Good ||
		!strings.Contains(item.Found, "gcc 99") {
		t.Errorf("%+v, want ok", item)
	}
}

func TestCheckFindsADamagedPlugin(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads ELF files")
	}
	m := newMachine(t)
	m.GoodPip(m.Wheel)
	install(t) // the library is no library
	if item := Check(context.Background(), Options{}).find("plugin"); item.Status != Warning ||
		!strings.Contains(item.Cure, "remove") {
		t.Errorf("%+v, want a warning", item)
	}
}

func TestReportIsJSON(t *testing.T) {
	newMachine(t)
	r := Check(context.Background(), Options{})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%s reads back as %+v (%v)", text, back, err)
	}
}
