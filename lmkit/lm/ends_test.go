package lm_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// ggufWith writes a GGUF file of the tests again, with more settings: numbers and texts.
func ggufWith(t *testing.T, name string, more map[string]any) string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "families", name))
	if err != nil {
		t.Fatal(err)
	}
	const header, settings = 24, 16 // bytes, and where the number of settings stands
	little := binary.LittleEndian
	text := func(b []byte, s string) []byte { return append(little.AppendUint64(b, uint64(len(s))), s...) }
	var added []byte
	for key, value := range more {
		added = text(added, key)
		switch v := value.(type) {
		case int:
			added = little.AppendUint32(little.AppendUint32(added, 4), uint32(v))
		case string:
			added = text(little.AppendUint32(added, 8), v)
		}
	}
	added = little.AppendUint32(text(added, "padding"), 8) // so that the numbers keep their alignment
	added = text(added, strings.Repeat(" ", 31-(len(added)+7)%32))
	n := little.Uint64(file[settings:])
	out := little.AppendUint64(slices.Clone(file[:settings]), n+uint64(len(more))+1)
	out = slices.Concat(out, added, file[header:])
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A GGUF file names the tokens that end a text, a turn and a message; the model's ends are all of them, sorted, each
// once, and without those outside the vocabulary.
func TestEndsOfGGUF(t *testing.T) {
	for _, c := range []struct {
		settings map[string]any
		want     []token.ID
	}{
		{nil, nil},
		{map[string]any{"tokenizer.ggml.eos_token_id": 5}, []token.ID{5}},
		{map[string]any{"tokenizer.ggml.eos_token_id": 5, "tokenizer.ggml.eot_token_id": 2}, []token.ID{2, 5}},
		{map[string]any{"tokenizer.ggml.eos_token_id": 5, "tokenizer.ggml.eot_token_id": 5,
			"tokenizer.ggml.eom_token_id": 3}, []token.ID{3, 5}},
		{map[string]any{"tokenizer.ggml.eot_token_id": math.MaxInt32, "tokenizer.ggml.eos_token_id": 0}, []token.ID{0}},
	} {
		m, err := lm.Open(backendtest.PureGo(t), ggufWith(t, "llama.gguf", c.settings))
		if err != nil {
			t.Fatalf("%v: %v", c.settings, err)
		}
		if got := m.Ends(); !slices.Equal(got, c.want) {
			t.Errorf("%v: the ends are %v, want %v", c.settings, got, c.want)
		}
		m.Close()
	}
	_, err := lm.Open(backendtest.PureGo(t), ggufWith(t, "llama.gguf", map[string]any{"tokenizer.ggml.eot_token_id": "x"}))
	if err == nil || !strings.Contains(err.Error(), "eot_token_id") {
		t.Errorf("an end that is a text: %v", err)
	}
}

// The end of a text that tokenizer_config.json names is one of the model's ends, in both forms of the key.
func TestEndsOfTokenizerConfig(t *testing.T) {
	tok, err := token.NewChar("abc;")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := tok.Lookup(";")
	c := lm.Config{Arch: lm.Transformer, Vocab: tok.Size(), Width: 8, Layers: 1, Heads: 2, Context: 8}
	m, err := lm.New(backendtest.PureGo(t), c, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	for config, ends := range map[string][]token.ID{
		`{"eos_token": ";"}`: {want}, `{"eos_token": {"content": ";"}}`: {want}, `{"eos_token": null}`: nil,
		`{"eos_token": "<|gone|>"}`: nil, `{}`: nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		again, err := lm.Open(m.Engine(), dir)
		if err != nil {
			t.Fatalf("%s: %v", config, err)
		}
		if got := again.Ends(); !slices.Equal(got, ends) {
			t.Errorf("%s: the ends are %v, want %v", config, got, ends)
		}
		again.Close()
	}
}

// A model has the chat template of its files, folder or GGUF alike; without one the error says so, and a template that
// cannot be read does not keep the model from being opened.
func TestChat(t *testing.T) {
	const source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
	said := func(path string) (string, error) {
		m, err := lm.Open(backendtest.PureGo(t), path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer m.Close()
		template, err := m.Chat()
		if err != nil {
			return "", err
		}
		r, err := template.Render([]chat.Message{{Role: "user", Content: "a"}}, false)
		return r.Text, err
	}
	key := "tokenizer.chat_template"
	folder := func(template string) string {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "families", "llama"))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "chat_template.jinja"), []byte(template), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, path := range []string{folder(source), ggufWith(t, "llama.gguf", map[string]any{key: source})} {
		if text, err := said(path); text != "<user>a" || err != nil {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	again := func(path string) string { // saved and opened, twice
		for range 2 {
			m, err := lm.Open(backendtest.PureGo(t), path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			path = t.TempDir()
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	// both ends of the text are in the template's hands, and in the folder that is saved
	const both = source + "{{ bos_token }}{{ eos_token }}"
	marked := folder(both)
	config := []byte(`{"bos_token": "<s>", "eos_token": {"content": "</s>"}, "more": 1}`)
	if err := os.WriteFile(filepath.Join(marked, chat.SettingsFile), config, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{marked, again(marked), again(ggufWith(t, "llama.gguf", map[string]any{key: source +
		"<s></s>"}))} {
		if text, err := said(path); text != "<user>a<s></s>" || err != nil {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	for _, path := range []string{folder("{% for"), ggufWith(t, "llama.gguf", map[string]any{key: "{% for"})} {
		if _, err := said(path); err == nil || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"testdata/families/llama", "testdata/families/llama.gguf"} {
		if _, err := said(path); !errors.Is(err, chat.ErrNone) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
