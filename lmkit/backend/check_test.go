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
)

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
	if r := Check(context.Background(), Options{Name: XLACPU}); r.OK() || r.Engine != "" || r.find("plugin").Status != Missing {
		t.Errorf("xla:cpu: %+v, want the plugin missing", r)
	}
	if r := Check(context.Background(), Options{Name: XLACUDA}); r.OK() || r.find("GPU").Status != Missing {
		t.Errorf("xla:cuda: %+v, want the GPU missing", r)
	}
	if r := Check(context.Background(), Options{Name: Go}); !r.OK() || r.Engine != Go || r.find("plugin") != (Item{}) {
		t.Errorf("go: %+v, want only what the pure-Go engine needs", r)
	}
	if r := Check(context.Background(), Options{Name: "gpu"}); r.OK() || !strings.Contains(r.find("engine").Found, "unknown engine") {
		t.Errorf("gpu: %+v, want an unknown engine", r)
	}

	m.python("case \"$*\" in *pip*) echo 'No module named pip' >&2; exit 1;; *) echo Python 3.99;; esac")
	r = Check(context.Background(), Options{})
	if r.find("python3").Found != "Python 3.99" || r.find("pip").Status != Warning {
		t.Errorf("%+v, want python3 without pip", r)
	}
	t.Setenv("XDG_CACHE_HOME", m.wheel)
	if item := Check(context.Background(), Options{}).find("cache"); item.Status != Warning || !strings.Contains(item.Cure, "XDG_CACHE_HOME") {
		t.Errorf("%+v, want a warning about the cache", item)
	}
}

func TestCheckRunsTheCompiler(t *testing.T) {
	m := newMachine(t)
	compiler := filepath.Join(m.home, "bin", "gcc")
	m.write(compiler, []byte("#!/bin/sh\necho 'main.c:1: stdlib.h: No such file' >&2; exit 1\n"))
	item := Check(context.Background(), Options{}).find("C compiler")
	if item.Status == Good || !strings.Contains(item.Found, "stdlib.h") || !strings.Contains(item.Cure, "libc6-dev") {
		t.Errorf("%+v, want what is wrong and the cure", item)
	}
	m.write(compiler, []byte("#!/bin/sh\necho gcc 99\n"))
	if item := Check(context.Background(), Options{}).find("C compiler"); item.Status != Good || !strings.Contains(item.Found, "gcc 99") {
		t.Errorf("%+v, want ok", item)
	}
}

func TestCheckFindsADamagedPlugin(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads ELF files")
	}
	m := newMachine(t)
	m.goodPip(m.wheel)
	installs(t, Options{}) // the library is no library
	if item := Check(context.Background(), Options{}).find("plugin"); item.Status != Warning || !strings.Contains(item.Cure, "remove") {
		t.Errorf("%+v, want a warning", item)
	}
}

func TestVerifyFindsAChangedByte(t *testing.T) {
	m := newMachine(t)
	m.goodPip(m.wheel)
	file := installs(t, Options{}).File
	if err := openStoreAndVerify(); err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), library...)
	changed[1000] ^= 1
	if err := os.WriteFile(file, changed, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := openStoreAndVerify(); err == nil || !strings.Contains(err.Error(), "wrong checksum") {
		t.Errorf("got %v, want a wrong checksum", err)
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
