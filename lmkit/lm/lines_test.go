package lm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Whatever the files of a model hold, the error is one short line of text.
func TestErrorsAreShortLines(t *testing.T) {
	tok, err := token.NewChar("abc")
	if err != nil {
		t.Fatal(err)
	}
	words, err := token.TrainBPE(t.Context(), func(yield func(string) bool) { yield("aaab aab") }, 260)
	if err != nil {
		t.Fatal(err)
	}
	good := map[string][]byte{}
	for i, tk := range []token.Tokenizer{tok, words} {
		for j, c := range []lm.Config{
			{Arch: lm.LSTM, Vocab: tk.Size(), Width: 2, Hidden: 2, Layers: 1},
			{Arch: lm.Transformer, Vocab: tk.Size(), Width: 4, Heads: 2, Layers: 1, Context: 4},
		} {
			m, err := lm.New(backendtest.PureGo(t), c, tk, 1)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			m.Close()
			for _, name := range modelFiles {
				if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
					good[fmt.Sprintf("%d%d/%s", i, j, name)] = data
				}
			}
		}
	}
	dir, engine := t.TempDir(), backendtest.PureGo(t)
	rapid.Check(t, func(t *rapid.T) {
		model := rapid.SampledFrom([]string{"00/", "01/", "10/", "11/"}).Draw(t, "model")
		broken := rapid.SampledFrom(modelFiles).Draw(t, "broken")
		for _, name := range modelFiles {
			data := bytes.Clone(good[model+name])
			if name == broken {
				data = garbled(t, data)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			if data == nil {
				_ = os.Remove(filepath.Join(dir, name))
			}
		}
		m, err := lm.Open(engine, dir)
		if err == nil {
			m.Close()
			return
		}
		line := strings.ReplaceAll(err.Error(), dir, "")
		if len(line) > 700 || !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x00\x1b") {
			t.Fatalf("%s: %d bytes: %.1500q", broken, len(line), line)
		}
	})
}

var modelFiles = []string{lm.ConfigFile, lm.TokenizerFile, lm.WeightsFile, lm.GenerationFile, "tokenizer_config.json",
	lm.WeightsFile + ".index.json", "vocab.json"}

// garbled puts something long or strange in place of a text or a number of a file.
func garbled(t *rapid.T, data []byte) []byte {
	what := rapid.SampledFrom([]string{
		strings.Repeat("long", 5000), "\xff\xfe", "\x1b[31m", "\n\n", "\u202e", `\u0000`, `\ud800`, "-1", "1e999", "null",
		strings.Repeat("[", 3000), strings.Repeat("9", 4000), `{"a":1,"a":1}`, strings.Repeat("é", 900),
		strings.Repeat("😀", 500), `"` + strings.Repeat("x", 5000) + `"`, `["` + strings.Repeat("y", 5000) + `"]`,
	}).Draw(t, "what")
	var all map[string]json.RawMessage
	if json.Unmarshal(data, &all) == nil && len(all) > 0 && rapid.Bool().Draw(t, "by key") {
		key := rapid.SampledFrom(slices.Sorted(maps.Keys(all))).Draw(t, "key")
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			all[what] = all[key]
			delete(all, key)
		case 1:
			text, _ := json.Marshal(what)
			all[key] = text
		default:
			all[key] = json.RawMessage(`"MARK"`)
			text, _ := json.Marshal(all)
			return bytes.Replace(text, []byte(`"MARK"`), []byte(what), 1)
		}
		text, _ := json.MarshalIndent(all, "", " ")
		return text
	}
	at := rapid.IntRange(0, len(data)).Draw(t, "at")
	n := min(rapid.IntRange(0, 3).Draw(t, "n"), len(data)-at)
	return append(append(bytes.Clone(data[:at]), what...), data[at+n:]...)
}
