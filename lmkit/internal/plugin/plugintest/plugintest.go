// Package plugintest plays a machine with nothing installed, whose package index has a plugin that is no library.
package plugintest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"lmkit.internal/lmkit/internal/plugin"
	"lmkit.internal/lmkit/internal/wheel"
)

// Library stands for the plugin's bytes.
var Library = bytes.Repeat([]byte("not really a library\n"), 5000)

// TinyWheel is a wheel for this system that holds Library; always the same bytes.
func TinyWheel() (wheel.Wheel, []byte) {
	w := wheel.Wheel{
		What: "the XLA plugin", Env: plugin.EnvWheel,
		Name: "tiny", Version: "1.0", File: "tiny-1.0-py3-none-any.whl",
		Member: "tiny/plugin.so", MemberSize: int64(len(Library)), MemberSHA256: Sha(Library),
		Folder: "cpu-1.0", As: plugin.FileName(),
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create(w.Member)
	if err == nil {
		_, err = f.Write(Library)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	w.Size, w.SHA256 = int64(b.Len()), Sha(b.Bytes())
	return w, b.Bytes()
}

// Sha is a SHA-256 checksum in hexadecimal.
func Sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Isolate cuts this process from the machine's system folders and network.
func Isolate() {
	plugin.SystemFolder = filepath.Join(os.DevNull, "none")
	plugin.ReleaseAddress = "http://127.0.0.1:1/release"
	plugin.Wheel, _ = TinyWheel()
	plugin.Platform = runtime.GOOS + "/" + runtime.GOARCH
}

// Machine is a machine with nothing installed, whose package index has the tiny wheel.
type Machine struct {
	T     *testing.T
	Home  string
	Wheel string // the wheel's file
	Calls string // the file that each call of pip adds a line to
}

// New makes one, for the time of a test.
func New(t *testing.T) *Machine {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake python3 is a shell script")
	}
	w, system, release, platform := plugin.Wheel, plugin.SystemFolder, plugin.ReleaseAddress, plugin.Platform
	t.Cleanup(func() {
		plugin.Wheel, plugin.SystemFolder, plugin.ReleaseAddress, plugin.Platform = w, system, release, platform
	})
	Isolate()
	dir := t.TempDir()
	m := &Machine{T: t, Home: dir, Wheel: filepath.Join(dir, "index", "tiny.whl"), Calls: filepath.Join(dir, "calls")}
	_, data := TinyWheel()
	m.Write(m.Wheel, data)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("PATH", filepath.Join(dir, "bin"))
	for _, name := range []string{"GOMLX_BACKEND", plugin.EnvPlugins, plugin.EnvWheel, "HTTP_PROXY", "HTTPS_PROXY", "CC"} {
		t.Setenv(name, "")
	}
	return m
}

// Write makes a file that may be run, and its folder.
func (m *Machine) Write(file string, data []byte) {
	m.T.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, data, 0o755)
	}
	if err != nil {
		m.T.Fatal(err)
	}
}

// Python installs a python3 that runs a shell script, which finds the folder to download to in $dest.
func (m *Machine) Python(script string) {
	m.T.Helper()
	m.Write(filepath.Join(m.Home, "bin", "python3"), []byte(`#!/bin/sh
PATH=/usr/bin:/bin
for a in "$@"; do case "$a" in --dest=*) dest="${a#--dest=}";; esac; done
echo called >>'`+m.Calls+"'\n"+script+"\n"))
}

// GoodPip is the script of a pip that downloads a file.
func (m *Machine) GoodPip(file string) {
	m.T.Helper()
	m.Python("sleep 0.1; cp '" + file + "' \"$dest/" + plugin.Wheel.File + "\"")
}

// PipCalls is how often pip was called.
func (m *Machine) PipCalls() int {
	text, _ := os.ReadFile(m.Calls)
	return bytes.Count(text, []byte("called\n"))
}

// Leftovers are the entries of the store beyond the lock and the installed plugins.
func (m *Machine) Leftovers() []string {
	m.T.Helper()
	s, err := plugin.Store()
	if err != nil {
		m.T.Fatal(err)
	}
	entries, err := os.ReadDir(s.Folder)
	if err != nil {
		m.T.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); n != "install.lock" && n != plugin.Wheel.Folder && n != plugin.ReleaseName {
			names = append(names, n)
		}
	}
	return names
}

// File makes a file with a text, and returns its path.
func (m *Machine) File(text string) string {
	file := filepath.Join(m.Home, "file")
	m.Write(file, []byte(text))
	return file
}
