//go:build unix

package lm_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// A pipe, a device or a link without an end in place of any file of a model is an error at once: nobody waits for it.
func TestSpecialFilesOfModels(t *testing.T) {
	tok, err := token.NewChar("abc")
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: 3, Width: 2, Hidden: 2, Layers: 1}, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, name := range []string{lm.ConfigFile, lm.WeightsFile, lm.WeightsFile + ".index.json", lm.TokenizerFile,
		"vocab.json", "merges.txt", lm.TrainingFile, lm.GenerationFile, "tokenizer_config.json", "model.gguf"} {
		for what, make := range map[string]func(path string) error{
			"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"device": func(path string) error { return os.Symlink("/dev/zero", path) },
			"loop":   func(path string) error { return os.Symlink(filepath.Base(path), path) },
			"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		} {
			dir := t.TempDir()
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			switch name { // files that are looked for in place of others
			case lm.WeightsFile + ".index.json":
				_ = os.Remove(filepath.Join(dir, lm.WeightsFile))
			case "vocab.json", "merges.txt":
				_ = os.Remove(filepath.Join(dir, lm.TokenizerFile))
				if err := os.WriteFile(filepath.Join(dir, "vocab.json"), []byte(`{"a":0,"b":1,"c":2}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, name)
			_ = os.Remove(path)
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			model := dir
			if name == "model.gguf" {
				if model = path; what == "folder" {
					continue // which may be a model
				}
			}
			m, err := lm.Open(backendtest.PureGo(t), model)
			if err == nil {
				m.Close()
				t.Errorf("%s as a %s was read", name, what)
				continue
			}
			line := strings.ReplaceAll(err.Error(), dir, "")
			if !strings.Contains(line, name) || len(line) > 400 || strings.Contains(line, "\n") {
				t.Errorf("%s as a %s: %s", name, what, line)
			}
		}
	}
}
