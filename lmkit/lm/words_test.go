package lm

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/internal/strict/stricttest"
	"lmkit.internal/lmkit/token/chat"
)

// A tensor whose numbers cannot be read is named before the model is opened, and by listings, whichever tensor it is.
func TestUnknownNumberTypes(t *testing.T) {
	refused := func(what, model, tensor string) {
		t.Helper()
		err := CheckWeights(model)
		if err == nil || !strings.Contains(err.Error(), `"`+tensor+`"`) ||
			!strings.Contains(err.Error(), "is not supported") {
			t.Errorf("%s: %s: %v", what, tensor, err)
		}
	}
	for _, family := range []string{"llama", "gpt_neox", "gemma2"} {
		file := filepath.Join("testdata", "families", family+".gguf")
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range f.Names() {
			dims, _, _ := f.Shape(tensor)
			name := append(binary.LittleEndian.AppendUint64(nil, uint64(len(tensor))), tensor...)
			at := bytes.Index(whole, name) + len(name) + 4 + 8*len(dims) // behind the number of dimensions, and these
			for _, kind := range []uint32{9, 41, 99, 1 << 31} {
				changed := bytes.Clone(whole)
				binary.LittleEndian.PutUint32(changed[at:], kind)
				path := filepath.Join(t.TempDir(), "model.gguf")
				if err := os.WriteFile(path, changed, 0o600); err != nil {
					t.Fatal(err)
				}
				refused(family, path, tensor)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for _, tensor := range tensorsOf(t, family) {
			dir := copyOf(t, family)
			path := filepath.Join(dir, WeightsFile)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			kind := regexp.MustCompile(`"` + regexp.QuoteMeta(tensor) + `":\s*{[^}]*"dtype":\s*"([BF0-9]*)`)
			at := kind.FindSubmatchIndex(whole)
			if at == nil {
				t.Fatalf("%s has no %s", path, tensor)
			}
			whole[at[3]-3] = 'U' // of BF16, F16 or F32
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(family, dir, tensor)
		}
	}
}

func tensorsOf(t *testing.T, family string) []string {
	t.Helper()
	f, err := safetensors.Open(filepath.Join("testdata", "families", family))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Names()
}

// copyOf is a folder with the files of a family's.
func copyOf(t *testing.T, family string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "families", family))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// beside are files that a model's folder may have.
var beside = map[string]string{
	GenerationFile: `{"eos_token_id": [2, 3], "max_length": 20}`,
	TrainingFile:   `{"step": 3, "valid_loss": 2.5}`,
	"tokenizer_config.json": `{"bos_token": "a", "eos_token": {"content": "b"}, "add_bos_token": true,
		"chat_template": [{"name": "default", "template": "x"}], "add_prefix_space": false,
		"added_tokens_decoder": {"3": {"content": "<x>", "special": true, "lstrip": false}}}`,
	"chat_template.json":      `{"chat_template": "x"}`,
	"special_tokens_map.json": `{"bos_token": "a", "eos_token": {"content": "b"}}`,
	"added_tokens.json":       `{"<y>": 4}`,
	"vocab.json":              `{"a": 0, "b": 1, "ab": 2}`,
	safetensors.IndexFile:     `{"metadata": {"total_size": 1}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}`,
}

// Whatever a file of a model's folder holds in the place of something else, the error is a short line of words that
// says which file it is about.
func TestWordsOfWrongFiles(t *testing.T) {
	config, err := os.ReadFile(filepath.Join("testdata", "families", "llama", ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{ConfigFile: string(config)}
	for name, text := range beside {
		files[name] = text
	}
	for name, text := range files {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "merges.txt"), []byte("a b\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "chat_template.json" {
			_ = os.Remove(filepath.Join(dir, "tokenizer_config.json"))
		}
		for place, changed := range stricttest.Wrong([]byte(text)) {
			if err := os.WriteFile(filepath.Join(dir, name), changed, 0o600); err != nil {
				t.Fatal(err)
			}
			_, configErr := ReadConfig(dir)
			_, tokenErr := ReadTokenizer(dir)
			_, endsErr := readEnds(dir, nil, 9)
			_, chatErr := chat.ReadFolder(os.DirFS(dir))
			for _, err := range []error{configErr, CheckWeights(dir), tokenErr, chatErr, endsErr} {
				if wrong := stricttest.Unreadable(err); wrong != "" {
					t.Errorf("%s%s: %v: %s", name, place, err, wrong)
				}
			}
		}
	}
}
