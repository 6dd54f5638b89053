package generate_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// ending opens a model again whose files name end tokens, in one of the ways in which files do.
func ending(t *testing.T, m *lm.Model, file string, value any) *lm.Model {
	t.Helper()
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	keys := map[string]any{}
	if data, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(data, &keys); err != nil {
			t.Fatal(err)
		}
	}
	keys["eos_token_id"] = value
	data, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := lm.Open(m.Engine(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	return again
}

// A text ends before the first of the model's end tokens, whichever file names them, alone and beside others, and
// goes on past them where it is asked to. Nothing else about it changes.
func TestEndsAtTheEndToken(t *testing.T) {
	e := backendtest.PureGo(t)
	for _, c := range []lm.Config{transformer, lstm} {
		m := loud(t, e, c, char(t))
		config := generate.Config{Tokens: 24, Temperature: 1, Seed: 3}
		prompts := []string{"abc", "h. e", "dad"}
		texts, err := generate.Batch(ctx, m, prompts, config)
		if err != nil {
			t.Fatal(err)
		}
		tokens := stream(t, m, prompts[0], config)
		for _, at := range []int{0, 3, 9, 23} {
			end := tokens[at].ID
			for _, way := range []struct {
				file  string
				value any
			}{{lm.ConfigFile, end}, {lm.GenerationFile, end}, {lm.GenerationFile, []token.ID{99, end}},
				{lm.ConfigFile, []token.ID{end, end}}} {
				ended := ending(t, m, way.file, way.value)
				if got := ended.Ends(); !slices.Equal(got, []token.ID{end}) {
					t.Fatalf("%s: %v: the ends are %v", way.file, way.value, got)
				}
				got, err := generate.Batch(ctx, ended, prompts, config)
				if err != nil {
					t.Fatal(err)
				}
				for i, text := range texts {
					want, _, _ := strings.Cut(text, m.TokenText(end))
					if got[i] != want {
						t.Errorf("%q from %q with the end %q, want %q", got[i], prompts[i], m.TokenText(end), want)
					}
				}
				first := slices.IndexFunc(tokens, func(x generate.Token) bool { return x.ID == end })
				streamed := stream(t, ended, prompts[0], config)
				if last := streamed[len(streamed)-1]; len(streamed) != first+1 || !last.End || last.ID != end || last.Text != "" {
					t.Errorf("%d tokens came, the last %+v; want %d", len(streamed), last, first+1)
				}
			}
			past := config
			past.PastEnd = true
			got, err := generate.Batch(ctx, ending(t, m, lm.ConfigFile, end), prompts, past)
			if err != nil || !slices.Equal(got, texts) {
				t.Errorf("past the end: %q, %v, want %q", got, err, texts)
			}
		}
		// What a stop text may have begun with is part of the text when the text ends.
		held := config
		end, before := tokens[9].ID, tokens[8]
		held.Stop = []string{m.TokenText(before.ID) + "never"}
		want, _, _ := strings.Cut(texts[0], m.TokenText(end))
		if got, err := generate.Text(ctx, ending(t, m, lm.ConfigFile, end), prompts[0], held); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

// The tokenizer's own end token is one, also of a model that was never a file; it stays one when the model is saved.
func TestEndsOfTheTokenizer(t *testing.T) {
	tok, err := token.TrainBPE(ctx, slices.Values([]string{"the cat sat"}), 300, "<|endoftext|>", "<|other|>")
	if err != nil {
		t.Fatal(err)
	}
	m := loud(t, backendtest.PureGo(t), transformer, tok)
	end, _ := tok.Lookup("<|endoftext|>")
	if got := m.Ends(); !slices.Equal(got, []token.ID{end}) {
		t.Errorf("the ends are %v, want %v", got, end)
	}
	twice := ending(t, ending(t, m, lm.GenerationFile, 5), lm.ConfigFile, nil)
	if got := twice.Ends(); !slices.Equal(got, []token.ID{5, end}) {
		t.Errorf("saved and opened: %v, want 5 and %v", got, end)
	}
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`{"eos_token_id": "x"}`, `{"eos_token_id": [1, "x"]}`, `{"eos_token_id": 1.5}`, `[]`,
		`{`} {
		if err := os.WriteFile(filepath.Join(dir, lm.GenerationFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := lm.Open(m.Engine(), dir)
		if err == nil || !strings.Contains(err.Error(), lm.GenerationFile+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
