package lmkit_test

import (
	"os"
	"path/filepath"
	"testing"

	"lmkit.internal/lmkit"
)

// One function opens a folder, a file and a name, whatever layout the name's files are kept in.
func TestOpen(t *testing.T) {
	hub := t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	const commit = "0123456789abcdef0123456789abcdef01234567"
	model := filepath.Join(hub, "models--some--model")
	snapshot := filepath.Join(model, "snapshots", commit)
	folder, file := "lm/testdata/families/llama", "lm/testdata/families/llama.gguf"
	if err := os.CopyFS(snapshot, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	gguf, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(model, "refs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{filepath.Join(model, "refs", "main"): []byte(commit),
		filepath.Join(snapshot, "small.gguf"): gguf} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{folder, file, "hf:some/model", "hf:some/model@" + commit, "hf:some/model/small.gguf"} {
		m, err := lmkit.Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c := m.Config(); c.Layers != 3 || c.Width != 16 {
			t.Errorf("%s: %+v", name, c)
		}
		m.Close()
	}
}
