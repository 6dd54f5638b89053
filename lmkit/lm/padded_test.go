package lm_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/token"
)

// ofThirteen are the config.json of models with all kinds of embeddings and output matrices: tied, of their own, and
// with a bias.
var ofThirteen = []string{
	`{"model_type": "gpt2", "vocab_size": 13, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 12}`,
	`{"model_type": "gpt2", "vocab_size": 13, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 12,
		"tie_word_embeddings": false}`,
	`{"model_type": "llama", "vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
		"intermediate_size": 9}`,
	`{"model_type": "phi", "vocab_size": 13, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
		"intermediate_size": 9}`,
	`{"model_type": "lstm", "vocab_size": 13, "embed_size": 6, "hidden_size": 5, "num_layers": 2}`,
	`{"model_type": "lstm", "vocab_size": 13, "embed_size": 6, "hidden_size": 6, "num_layers": 1,
		"tie_word_embeddings": true}`,
}

// Rows beyond the tokenizer's tokens are no tokens: the model is the one without them. Fewer rows than tokens are an
// error.
func TestPaddedVocabulary(t *testing.T) {
	tok, err := token.NewChar("abcdefghijklm")
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range ofThirteen {
		_, c, err := format.Read([]byte(config))
		if err != nil {
			t.Fatal(err)
		}
		m, err := lm.New(backendtest.PureGo(t), c, tok, 5)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		dir := t.TempDir()
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		setRows(t, dir, 13, 21)
		back, err := lm.Open(backendtest.PureGo(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(back.Close)
		was, err := m.Weights()
		is, err2 := back.Weights()
		if err != nil || err2 != nil || back.Config() != m.Config() || len(is) != len(was) {
			t.Errorf("%+v came back as %+v (%v, %v)", m.Config(), back.Config(), err, err2)
		}
		for name := range was {
			if !slices.Equal(is[name].Data, was[name].Data) {
				t.Errorf("%s is %v, want %v", name, is[name].Data, was[name].Data)
			}
		}
		if back.Padding() != 8 || m.Padding() != 0 {
			t.Errorf("%d and %d rows were left out", back.Padding(), m.Padding())
		}
		mean, err := back.MeanEmbedding()
		if want, err2 := m.MeanEmbedding(); err != nil || err2 != nil || !slices.Equal(mean.Data, want.Data) {
			t.Errorf("the mean embedding is %v, want %v (%v, %v)", mean.Data, want.Data, err, err2)
		}
		// The rows beyond have the largest logits.
		d, err := back.Decode(context.Background(), [][]token.ID{{1, 2}}, 5, lm.Sampling{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if id := d.Choices()[0].ID; int(id) >= tok.Size() {
			t.Errorf("token %d was chosen, of %d", id, tok.Size())
		}
		if _, err := back.LogProbs(context.Background(), [][]token.ID{{1, 13}}); err == nil {
			t.Error("a row beyond the tokens was read")
		}
		setRows(t, dir, 21, 12)
		want := "the tokenizer has 13 tokens, but the model's vocabulary 12"
		if _, err := lm.Open(backendtest.PureGo(t), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that says %s", err, want)
		}
	}
}

// setRows gives the tensors of a model folder that have a row for each of so many tokens another number of them. What
// comes to them is large, and in one place no number.
func setRows(t *testing.T, dir string, old, rows int) {
	t.Helper()
	config := filepath.Join(dir, lm.ConfigFile)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), fmt.Sprintf(`"vocab_size": %d`, old),
		fmt.Sprintf(`"vocab_size": %d`, rows), 1))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	weights := filepath.Join(dir, lm.WeightsFile)
	ts, err := safetensors.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range ts {
		if x.Dims[0] != old {
			continue
		}
		each := len(x.Data) / old
		x.Dims[0], x.Data = rows, slices.Clone(x.Data[:min(old, rows)*each])
		for len(x.Data) < rows*each {
			x.Data = append(x.Data, 1e9)
		}
		if rows > old {
			x.Data[len(x.Data)-1] = float32(math.NaN())
		}
		ts[name] = x
	}
	if err := safetensors.WriteFile(weights, ts); err != nil {
		t.Fatal(err)
	}
}

// A tokenizer may have special tokens that the model has no embedding for, as those for pictures in a model of text:
// such a model opens, is saved and opens again, and each of these tokens is an error that names it where it is used.
func TestTokensWithoutRows(t *testing.T) {
	_, c, err := format.Read([]byte(`{"model_type": "llama", "vocab_size": 4, "hidden_size": 8, "num_hidden_layers": 1,
		"num_attention_heads": 2, "intermediate_size": 9}`))
	if err != nil {
		t.Fatal(err)
	}
	read := func(vocab, added string) token.Tokenizer {
		tok, err := token.Unmarshal([]byte(`{"version": "1.0", "added_tokens": [` + added + `],
			"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"},
			"model": {"type": "BPE", "vocab": {` + vocab + `}, "merges": []}}`))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	const abc = `"a": 0, "b": 1, "c": 2`
	special := func(id int, text string) string {
		return fmt.Sprintf(`{"id": %d, "content": %q, "special": true}`, id, text)
	}
	end := special(3, "<eos>") + "," + special(4, "<picture>") + "," + special(5, "<end_of_turn>")
	m, err := lm.New(backendtest.PureGo(t), c, read(abc, end), 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	back, err := lm.Open(backendtest.PureGo(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Close)
	if !slices.Equal(back.Ends(), []token.ID{3}) || back.Padding() != 0 || back.Config().Vocab != 4 {
		t.Errorf("it ends with %v; %d rows are left out of %+v", back.Ends(), back.Padding(), back.Config())
	}
	for text, want := range map[string]string{"abc": "", "a<eos>": "", "a<picture>": `token 1 is #4 ("<picture>", of `} {
		e, err := token.EncodeWith(back.Tokenizer(), text, token.Options{Special: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = back.Run(context.Background(), lm.Query{Rows: [][]token.ID{e.IDs}, Logits: lm.LastLogits})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := lm.New(backendtest.PureGo(t), c, read(abc+`, "d": 3, "e": 4`, ""), 5); err == nil {
		t.Error("a tokenizer with a word that the model has no embedding for is another model's")
	}
}
