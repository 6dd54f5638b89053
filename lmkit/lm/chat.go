package lm

import (
	"os"
	"path/filepath"

	"lmkit.internal/lmkit/internal/gguf"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// conversations is what a model's files say of how it writes conversations.
type conversations struct {
	template *chat.Template
	err      error // why there is none
}

// Chat returns the template that the model writes conversations with. The error is chat.ErrNone where its files hold
// none, as is the case for models that were not trained on conversations, or says what is wrong with the template.
func (m *Model) Chat() (*chat.Template, error) {
	if m.chat.template == nil && m.chat.err == nil {
		return nil, chat.ErrNone
	}
	return m.chat.template, m.chat.err
}

// WriteChat keeps the chat template beside a model that is saved, if it has one.
func (m *Model) WriteChat(dir string) error {
	if m.chat.template == nil {
		return nil
	}
	files, err := m.chat.template.Files()
	for name, data := range files {
		if err == nil {
			err = whole.Write(filepath.Join(dir, name), data)
		}
	}
	return err
}

// readChat finds the chat template of a model directory.
func readChat(dir string) (c conversations) {
	c.template, c.err = chat.ReadFolder(os.DirFS(dir))
	return c
}

// ggufChat finds the chat template of a GGUF file, whose tokenizer is tok.
func ggufChat(f *gguf.File, tok token.Tokenizer) (c conversations) {
	r := settings{file: f}
	source := given[string](&r, "chat_template")
	var s chat.Settings
	for key, text := range map[string]*string{"bos_token_id": &s.BOS, "eos_token_id": &s.EOS} {
		if id := r.id("ggml." + key); id != nil && tok != nil {
			*text = tok.Token(*id)
		}
	}
	switch {
	case r.err != nil:
		c.err = r.err
	case source != nil:
		c.template, c.err = chat.New(*source, s)
	}
	return c
}
