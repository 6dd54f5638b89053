package lmkit

import (
	"fmt"
	"os"

	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/token/chat"
)

// ChatTemplate reads the template that a model writes conversations with, from the model's folder or GGUF file. The
// error is chat.ErrNone where the model has none.
func ChatTemplate(model string) (*chat.Template, error) {
	if info, err := os.Stat(model); err != nil {
		return nil, err
	} else if info.IsDir() {
		return chat.ReadFolder(os.DirFS(model))
	}
	f, err := gguf.Open(model)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	source, ok, err := gguf.Get[string](f, "tokenizer.chat_template")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	if !ok {
		return nil, chat.ErrNone
	}
	tokens, _, err := gguf.Get[[]string](f, "tokenizer.ggml.tokens")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	text := func(key string) string {
		id, ok, err := gguf.Get[int](f, key)
		if err != nil || !ok || id < 0 || id >= len(tokens) {
			return ""
		}
		return tokens[id]
	}
	return chat.New(source, chat.Settings{
		BOS: text("tokenizer.ggml.bos_token_id"), EOS: text("tokenizer.ggml.eos_token_id"),
	})
}
