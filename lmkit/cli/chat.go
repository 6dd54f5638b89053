package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token/chat"
)

// talk answers a message, or without one each line of stdin in turn, by the model's own chat template.
func (a *app) talk(ctx context.Context, args []string, o generateFlags) error {
	if o.ids != "" || o.n != 1 {
		return usage("--chat answers a text once: leave --ids and --n out")
	}
	prompt := ""
	if len(args) > 1 {
		var err error
		if prompt, _, err = a.prompt(args, ""); err != nil {
			return err
		}
	}
	m, err := a.openModel(ctx, args[0], backend.Options{Latency: true})
	if err != nil {
		return err
	}
	defer m.Close()
	t, err := m.Chat()
	if err != nil {
		return fmt.Errorf("chat with %s: %w", args[0], err)
	}
	if m.Tokenizer() == nil {
		return errors.New("this model has no tokenizer, and cannot read a text")
	}
	var messages []chat.Message
	if o.system != "" {
		messages = append(messages, chat.Message{Role: "system", Content: o.system})
	}
	if len(args) > 1 {
		_, err := a.reply(ctx, m, t, append(messages, chat.Message{Role: "user", Content: prompt}), o.Config)
		return err
	}
	lines := bufio.NewReader(io.LimitReader(a.in, 16<<20))
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			messages = append(messages, chat.Message{Role: "user", Content: strings.TrimRight(line, "\r\n")})
			said, err := a.reply(ctx, m, t, messages, o.Config)
			if err != nil {
				return err
			}
			messages = append(messages, chat.Message{Role: "assistant", Content: said})
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reply writes the model's next turn as it comes, and returns it.
func (a *app) reply(
	ctx context.Context, m *lm.Model, t *chat.Template, messages []chat.Message, c generate.Config,
) (string, error) {
	read, err := t.Encode(m.Tokenizer(), messages, true)
	if err != nil {
		return "", err
	}
	if n := m.Config().Context; n > 0 && len(read.IDs) >= n {
		return "", fmt.Errorf("the conversation has %d tokens, and the model reads %d: begin another", len(read.IDs), n)
	}
	var said strings.Builder
	for next, err := range generate.Stream(ctx, m, read.IDs, c) {
		if err != nil {
			_ = printf(a.out, "\n")
			return "", err
		}
		said.WriteString(next.Text)
		if err := printf(a.out, "%s", next.Text); err != nil {
			return "", err
		}
	}
	return said.String(), printf(a.out, "\n")
}
