package lm_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/internal/safetensors"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// What is saved opens as the same model, under the names that other programs read.
func TestSaveAndOpen(t *testing.T) {
	tok, err := token.NewChar("abcdefghijklm")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []lm.Config{
		{Arch: lm.Transformer, Vocab: 13, Width: 8, Layers: 1, Heads: 2, Context: 12, Tied: true, Activation: "relu",
			Inner: 20, Dropout: 0.1},
		{Arch: lm.LSTM, Vocab: 13, Width: 6, Hidden: 5, Layers: 2, Dropout: 0.25},
		{Arch: lm.LSTM, Vocab: 13, Width: 6, Hidden: 6, Layers: 1, Tied: true},
	} {
		m, err := lm.New(backendtest.PureGo(t), c, tok, 5)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		dir := filepath.Join(t.TempDir(), "deep", "model")
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		back, err := lm.Open(backendtest.PureGo(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(back.Close)
		if back.Hash() != m.Hash() || back.Config() != m.Config() {
			t.Errorf("%+v came back as %+v", m.Config(), back.Config())
		}
		enc, err := back.Tokenizer().Encode("badcafe")
		if err != nil || !slices.Equal(enc.IDs, []token.ID{1, 0, 3, 2, 0, 5, 4}) {
			t.Errorf("the tokenizer came back as another one: %v %v", enc.IDs, err)
		}
		ts, err := safetensors.ReadFile(filepath.Join(dir, lm.WeightsFile))
		if err != nil {
			t.Fatal(err)
		}
		want := "h.0.attn.c_attn.weight"
		if c.Arch == lm.LSTM {
			want = "lstm.weight_hh_l0"
		}
		if _, ok := ts[want]; !ok {
			t.Errorf("the file has no %s", want)
		}
	}
}

// The names that PyTorch's examples give the same tensors are understood.
func TestOtherNames(t *testing.T) {
	from := filepath.Join("testdata", "reference", "lstm")
	ts, err := safetensors.ReadFile(filepath.Join(from, lm.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	renamed := map[string]safetensors.Tensor{}
	for n, x := range ts {
		for _, r := range [][2]string{{"embed.", "encoder."}, {"lstm.", "rnn."}, {"linear.", "decoder."}} {
			if rest, ok := strings.CutPrefix(n, r[0]); ok {
				renamed[r[1]+rest] = x
			}
		}
	}
	dir := modelDir(t, from, renamed)
	m, err := lm.Open(backendtest.PureGo(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := openReference(t, backendtest.PureGo(t), "lstm")
	if m.Hash() != r.Hash() {
		t.Error("the model under other names is another one")
	}
}

// modelDir is a folder with the config.json of another one, and tensors of its own.
func modelDir(t *testing.T, from string, ts map[string]safetensors.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(from, lm.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, lm.ConfigFile), config, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, lm.WeightsFile), ts); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWrongFolders(t *testing.T) {
	from := filepath.Join("testdata", "reference", "gpt2")
	good, err := safetensors.ReadFile(filepath.Join(from, lm.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	change := func(edit func(map[string]safetensors.Tensor)) string {
		ts := map[string]safetensors.Tensor{}
		for n, x := range good {
			ts[n] = safetensors.Tensor{Dims: slices.Clone(x.Dims), Data: slices.Clone(x.Data)}
		}
		edit(ts)
		return modelDir(t, from, ts)
	}
	const name = "transformer.h.1.mlp.c_fc.weight"
	cut := change(func(map[string]safetensors.Tensor) {})
	weights := filepath.Join(cut, lm.WeightsFile)
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(weights, data[:len(data)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	none := t.TempDir()
	bare := change(func(map[string]safetensors.Tensor) {})
	if err := os.Remove(filepath.Join(bare, lm.WeightsFile)); err != nil {
		t.Fatal(err)
	}
	heads := change(func(map[string]safetensors.Tensor) {})
	config := filepath.Join(heads, lm.ConfigFile)
	data, _ = os.ReadFile(config)
	if err := os.WriteFile(config, []byte(strings.Replace(string(data), `"n_head": 2`, `"n_head": 3`, 1)),
		0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ what, dir, want string }{
		{"no such folder", filepath.Join(none, "x"), "no such directory"},
		{"empty folder", none, "no config.json"},
		{"no weights", bare, "no model.safetensors"},
		{"truncated", cut, "truncated"},
		{"heads", heads, "the width 8 is not a multiple of the 3 heads"},
		{"missing tensor", change(func(ts map[string]safetensors.Tensor) { delete(ts, name) }),
			`tensor "h.1.mlp.c_fc.weight" is missing; the configuration asks for it with shape [8 32]`},
		{"mis-shaped tensor", change(func(ts map[string]safetensors.Tensor) {
			ts[name] = safetensors.Tensor{Dims: []int{32, 8}, Data: ts[name].Data}
		}), `tensor "transformer.h.1.mlp.c_fc.weight" has shape [32 8], but the configuration asks for [8 32]`},
		{"unknown tensor", change(func(ts map[string]safetensors.Tensor) {
			ts["h.7.ln_1.bias"] = safetensors.Tensor{Dims: []int{1}, Data: []float32{1}}
		}), `tensor "h.7.ln_1.bias" belongs to no part of the model`},
		{"not a number", change(func(ts map[string]safetensors.Tensor) { ts[name].Data[3] = float32(math.NaN()) }),
			"not finite"},
	} {
		_, err := lm.Open(backendtest.PureGo(t), tt.dir)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", tt.what, err, tt.want)
		}
	}
}

func TestWrongModels(t *testing.T) {
	e := backendtest.PureGo(t)
	if _, err := lm.New(e, lm.Config{Arch: "rnn", Heads: 3}, nil, 0); err == nil ||
		!strings.Contains(err.Error(), `no architecture "rnn"`) {
		t.Errorf("an unknown architecture: %v", err)
	}
	tok, err := token.NewChar("ab")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lm.New(e, lm.Config{Arch: lm.LSTM, Vocab: 3, Width: 2, Hidden: 2, Layers: 1}, tok, 0); err == nil ||
		!strings.Contains(err.Error(), "the tokenizer has 2 tokens, but the model's vocabulary 3") {
		t.Errorf("a tokenizer of another size: %v", err)
	}
	m, err := lm.New(e, lm.Config{Arch: lm.LSTM, Vocab: 3, Width: 2, Hidden: 2, Layers: 1}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := m.LogProbs(context.Background(), [][]token.ID{{1}}); err == nil ||
		!strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed model: %v", err)
	}
}
