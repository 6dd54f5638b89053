package lm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
)

// otherKinds are what files begin with that hold no weights lmkit reads, and what is said about them.
var otherKinds = map[string]string{
	"\x80\x02\x8a\x0a": "a pickle", "PK\x03\x04\x00\x00": "a ZIP archive", "\x89HDF\r\n\x1a\n": "an HDF5 file",
	"version https://git-lfs.github.com/spec/v1\n": "git lfs pull", "<!DOCTYPE html>": "a web page",
	"\x1f\x8b\x08\x00": "compressed with gzip",
}

// A file of another kind is named, with what to do, whether it stands in place of the weights, beside a config.json or
// alone in the folder, in place of config.json, or is given as the model itself. It is never opened as what it is.
func TestOtherKindsOfFiles(t *testing.T) {
	for _, family := range []string{"gpt2", "lstm"} {
		config, err := os.ReadFile(filepath.Join("testdata", "reference", family, lm.ConfigFile))
		if err != nil {
			t.Fatal(err)
		}
		for first, is := range otherKinds {
			body := first + strings.Repeat("\x00\xff", 300)
			for _, c := range []struct {
				files map[string]string
				model string
				say   []string
			}{
				{map[string]string{lm.ConfigFile: string(config), lm.WeightsFile: body}, "", []string{lm.WeightsFile, is}},
				{map[string]string{lm.ConfigFile: string(config), "weights": body}, "", []string{`"weights": `, is}},
				{map[string]string{lm.ConfigFile: string(config), "model.pt": body}, "", []string{`"model.pt": `, "pickle"}},
				{map[string]string{"model.bin": body}, "", []string{lm.ConfigFile, `"model.bin": `, "pickle"}},
				{map[string]string{lm.ConfigFile: body}, "", []string{lm.ConfigFile, is}},
				{map[string]string{"model.pth": body}, "model.pth", []string{"model.pth", is}},
			} {
				dir := t.TempDir()
				for name, text := range c.files {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				_, err := lm.Open(backendtest.PureGo(t), filepath.Join(dir, c.model))
				if err == nil {
					t.Fatalf("%q opened", first)
				}
				line := strings.ReplaceAll(err.Error(), dir, "")
				for _, say := range c.say {
					if !strings.Contains(line, say) {
						t.Errorf("%s, want %q", line, say)
					}
				}
				if len(line) > 500 || strings.Contains(line, "\n") || !utf8.ValidString(line) {
					t.Errorf("%q is no short line", line)
				}
			}
		}
	}
}
