package lm

import (
	"context"
	"errors"
	"fmt"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/lm/format"
	"lmkit.internal/lmkit/token"
)

// openGGUF opens a model that is one GGUF file, with its tokenizer, if the file has one.
func openGGUF(ctx context.Context, e *backend.Engine, path string, o Options) (m *Model, err error) {
	f, layout, c, err := findGGUF(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tok, err := ggufTokenizer(f)
	if err != nil {
		return nil, err
	}
	rows := c.Vocab
	u, err := format.Unpack(fitted(layout, &c, tok), c, f)
	if err != nil {
		return nil, err
	}
	if m, err = assemble(ctx, e, c, tok, u, o); err != nil {
		return nil, err
	}
	m.padding = rows - c.Vocab
	m.chat = ggufChat(f, tok)
	r, ends := settings{file: f}, token.Ends(tok)
	for _, key := range []string{"eos_token_id", "eot_token_id", "eom_token_id"} { // of a text, a turn, a message
		if id := r.id("ggml." + key); id != nil {
			ends = append(ends, *id)
		}
	}
	if r.err != nil {
		m.Close()
		return nil, r.err
	}
	m.ends = sortEnds(ends, c.Vocab)
	return m, nil
}

// findGGUF opens a file, and reads the model's shape and where its parameters are.
func findGGUF(path string) (*gguf.File, format.Layout, Config, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, nil, Config{}, err
	}
	layout, c, err := format.GGUF(f.Settings(), f)
	if err != nil {
		return nil, nil, c, errors.Join(err, f.Close())
	}
	return f, layout, c, nil
}

// ggufTokenizer is the tokenizer of a file; nil if it has none.
func ggufTokenizer(f *gguf.File) (token.Tokenizer, error) {
	r := settings{file: f}
	g := token.GGUF{
		Model: get[string](&r, "ggml.model"), Pre: get[string](&r, "ggml.pre"), Tokens: get[[]string](&r, "ggml.tokens"),
		Merges: get[[]string](&r, "ggml.merges"), BOS: r.id("ggml.bos_token_id"), EOS: r.id("ggml.eos_token_id"),
		Unknown: r.id("ggml.unknown_token_id"), AddBOS: given[bool](&r, "ggml.add_bos_token"),
		AddEOS: given[bool](&r, "ggml.add_eos_token"), AddSpacePrefix: given[bool](&r, "ggml.add_space_prefix"),
	}
	for _, s := range get[[]float64](&r, "ggml.scores") {
		g.Scores = append(g.Scores, float32(s))
	}
	for _, t := range get[[]int](&r, "ggml.token_type") {
		g.Types = append(g.Types, int32(t))
	}
	if r.err != nil {
		return nil, r.err
	}
	if g.Tokens == nil {
		return nil, nil
	}
	tok, err := token.FromGGUF(g)
	if err != nil {
		return nil, err
	}
	return tok, nil
}

// settings reads those of a tokenizer, and keeps the first error.
type settings struct {
	file *gguf.File
	err  error
}

// given is a setting, nil where the file does not have it.
func given[T gguf.Value](r *settings, key string) *T {
	v, ok, err := gguf.Get[T](r.file, "tokenizer."+key)
	if err != nil && r.err == nil {
		r.err = err
	}
	if err != nil || !ok {
		return nil
	}
	return &v
}

// get is a setting, zero where the file does not have it.
func get[T gguf.Value](r *settings, key string) (v T) {
	if p := given[T](r, key); p != nil {
		v = *p
	}
	return v
}

func (r *settings) id(key string) *token.ID {
	n := given[int](r, key)
	if n == nil {
		return nil
	}
	id := token.ID(*n)
	if int(id) != *n && r.err == nil {
		r.err = fmt.Errorf("the setting tokenizer.%s is %d, which is no token", key, *n)
	}
	return &id
}
