package backend

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestMain also serves as the program that TestConcurrentInstalls starts many times.
func TestMain(m *testing.M) {
	if os.Getenv("LMKIT_TEST_INSTALL") == "" {
		os.Exit(m.Run())
	}
	pinned, _ = tinyWheel()
	isolate()
	found, err := locate(context.Background(), Options{}, XLACPU)
	if err == nil {
		err = openStoreAndVerify()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(found.File)
	os.Exit(0)
}

func openStoreAndVerify() error {
	s, err := openStore()
	if err != nil {
		return err
	}
	return s.verify(context.Background(), pinned.folder())
}

// library stands for the plugin's bytes.
var library = bytes.Repeat([]byte("not really a library\n"), 5000)

// tinyWheel is a wheel for this system that holds library; always the same bytes.
func tinyWheel() (wheel, []byte) {
	w := wheel{
		name: "tiny", version: "1.0", file: "tiny-1.0-py3-none-any.whl", platform: runtime.GOOS + "/" + runtime.GOARCH,
		member: "tiny/plugin.so", memberSize: int64(len(library)), memberSHA256: sha(library),
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create(w.member)
	if err == nil {
		_, err = f.Write(library)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	w.size, w.sha256 = int64(b.Len()), sha(b.Bytes())
	return w, b.Bytes()
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// isolate cuts this process from the machine's GPU, system folders and network.
func isolate() {
	findGPU = func() gpu { return gpu{} }
	systemFolder = filepath.Join(os.DevNull, "none")
	releaseAddress = "http://127.0.0.1:1/release"
}

// machine is a machine with nothing installed, whose package index has the tiny wheel.
type machine struct {
	t     *testing.T
	home  string
	wheel string // the wheel's file
	calls string // the file that each call of pip adds a line to
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake python3 is a shell script")
	}
	oldWheel, oldGPU, oldSystem, oldRelease := pinned, findGPU, systemFolder, releaseAddress
	t.Cleanup(func() { pinned, findGPU, systemFolder, releaseAddress = oldWheel, oldGPU, oldSystem, oldRelease })
	isolate()
	dir := t.TempDir()
	m := &machine{t: t, home: dir, wheel: filepath.Join(dir, "index", "tiny.whl"), calls: filepath.Join(dir, "calls")}
	var data []byte
	pinned, data = tinyWheel()
	m.write(m.wheel, data)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	for _, name := range []string{EnvEngine, EnvPlugins, EnvWheel, "HTTP_PROXY", "HTTPS_PROXY", "CC"} {
		t.Setenv(name, "")
	}
	return m
}

func (m *machine) write(file string, data []byte) {
	m.t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, data, 0o755)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// python installs a python3 that runs a shell script, which finds the folder to download to in $dest.
func (m *machine) python(script string) {
	m.t.Helper()
	m.write(filepath.Join(m.home, "bin", "python3"), []byte(`#!/bin/sh
PATH=/usr/bin:/bin
for a in "$@"; do case "$a" in --dest=*) dest="${a#--dest=}";; esac; done
echo called >>'`+m.calls+"'\n"+script+"\n"))
}

// goodPip is the script of a pip that downloads a file.
func (m *machine) goodPip(file string) {
	m.t.Helper()
	m.python("sleep 0.1; cp '" + file + "' \"$dest/" + pinned.file + "\"")
}

// pipCalls is how often pip was called.
func (m *machine) pipCalls() int {
	text, _ := os.ReadFile(m.calls)
	return bytes.Count(text, []byte("called\n"))
}

// leftovers are the entries of the store beyond the lock and the installed plugins.
func (m *machine) leftovers() []string {
	m.t.Helper()
	s, err := openStore()
	if err != nil {
		m.t.Fatal(err)
	}
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); n != "install.lock" && n != pinned.folder() && n != releaseName {
			names = append(names, n)
		}
	}
	return names
}
