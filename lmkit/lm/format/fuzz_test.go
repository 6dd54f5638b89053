package format

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/gguf"
)

const familiesDir = "../testdata/families"

// Whatever a config.json says, reading it ends with a configuration that can be written down and whose parameters and
// activations can be listed, or with an error; and quickly, without memory for what it claims.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(familiesDir, "*", "config*.json"))
	if err != nil || len(files) < 30 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) { readable(t, text) })
}

func readable(t *testing.T, text []byte) {
	t.Helper()
	family, c, err := Read(text)
	if err != nil || c.Layers > 100 {
		return
	}
	if len(c.Params()) == 0 || len(c.Taps()) == 0 || len(family.Rules(c)) == 0 {
		t.Errorf("nothing to read of %+v", c)
	}
	if _, _, err := Write(c); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

// strange is what a file may say where another thing is expected.
var strange = []any{-1, 0, 1, 3, 7, 1 << 31, 1 << 62, -0.5, 1e300, 1e-300, "", "x", true, false, []int{},
	[]int{1, 2}, []bool{true},
	[]string{"full_attention"}, map[string]any{}, map[string]any{"rope_type": "yarn", "factor": -1}, nil}

// No key of any family brings reading down, whatever its value.
func TestStrangeKeys(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(familiesDir, "*", "config*.json"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			for _, value := range strange {
				changed := maps.Clone(keys)
				changed[key] = value
				text, err := json.Marshal(changed)
				if err != nil {
					t.Fatal(err)
				}
				readable(t, text)
			}
		}
	}
}

// The same for the settings of GGUF files, and for files that lack one.
func TestStrangeSettings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(familiesDir, "*.gguf"))
	if len(files) < 12 {
		t.Fatalf("%d files", len(files))
	}
	for _, file := range files {
		f, err := gguf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		settings := f.Settings()
		for key := range settings {
			for _, value := range strange {
				changed := maps.Clone(settings)
				if changed[key] = value; value == nil {
					delete(changed, key)
				}
				if layout, c, err := GGUF(changed, f); err == nil {
					_, _ = Unpack(layout, c, f)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a GGUF file asks for and lmkit does not do is an error that names the key.
func TestGGUFRefuses(t *testing.T) {
	for _, c := range []struct {
		file, key string
		value     any
		says      string
	}{
		{"llama", "llama.expert_count", 8, "not supported: expert_count=8"},
		{"llama", "llama.rope.scaling.type", "new", "rope.scaling.type=new"},
		{"llama", "general.architecture", "mamba", `general.architecture "mamba" is not supported`},
		{"llama", "llama.attention.value_length", 4, "attention.value_length=4"},
		{"llama", "llama.rope.dimension_count", 4, "rope.dimension_count=4"},
		{"llama", "llama.attention.head_count_kv", []int{1, 2, 2}, "attention.head_count_kv=[1,2,2]"},
		{"gemma3_text", "gemma3.attention.sliding_window_pattern", []bool{true}, "1 entries"},
		{"llama", "llama.block_count", 1 << 40, "block_count"},
		{"llama", "llama.logit_scale", 0.5, "logit_scale=0.5"},
		{"llama", "llama.attention.layer_norm_rms_epsilon", nil, "layer_norm_rms_epsilon is missing"},
	} {
		t.Run(fmt.Sprint(c.key), func(t *testing.T) {
			f, err := gguf.Open(filepath.Join(familiesDir, c.file+".gguf"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			settings := f.Settings()
			if settings[c.key] = c.value; c.value == nil {
				delete(settings, c.key)
			}
			if _, _, err := GGUF(settings, f); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want an error that says %s", err, c.says)
			}
		})
	}
}
