package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

// chatFlags are those about a conversation.
type chatFlags struct {
	chat                    bool
	system, reply, messages string
}

// register adds the flags that every command with conversations has.
func (o *chatFlags) register(f *pflag.FlagSet) {
	f.BoolVar(&o.chat, "chat", false, "the prompt is said to the model, which answers, by its own chat template")
	f.StringVar(&o.system, "system", "", "with --chat, what the model is told before the conversation")
}

// asked says whether there is a conversation, or a part of one.
func (o chatFlags) asked() bool { return o != (chatFlags{}) }

// conversation is the messages that the flags and arguments make, or those in a file.
func (a *app) conversation(args []string, o chatFlags) ([]chat.Message, error) {
	if o.messages == "" {
		return a.say(args, o)
	}
	switch {
	case len(args) > 1:
		return nil, usage("both a prompt and --messages were given; give one")
	case o.system != "" || o.reply != "":
		return nil, usage("--messages holds the whole conversation: put what --system and --reply say into it")
	}
	in := a.in
	if o.messages != "-" {
		file, err := os.Open(o.messages)
		if err != nil {
			return nil, fmt.Errorf("the messages %s: %w", o.messages, plain(err))
		}
		defer file.Close() //nolint:errcheck // read only
		in = file
	}
	messages, err := lmkit.ReadMessages(in)
	if err != nil {
		return nil, usage("%s: %w", o.messages, err)
	}
	return messages, nil
}

// say is the conversation that a prompt and the flags make.
func (a *app) say(args []string, o chatFlags) ([]chat.Message, error) {
	if !o.chat {
		return nil, usage("--system and --reply belong to --chat")
	}
	said, _, err := a.prompt(args, "")
	if err != nil {
		return nil, err
	}
	return o.said(said), nil
}

// said is a conversation of one message of the user, with what the model is told before it and how its answer begins.
func (o chatFlags) said(text string) (messages []chat.Message) {
	if o.system != "" {
		messages = append(messages, chat.Message{Role: chat.System, Content: o.system})
	}
	messages = append(messages, chat.Message{Role: chat.User, Content: text})
	if o.reply != "" {
		messages = append(messages, chat.Message{Role: chat.Assistant, Content: o.reply})
	}
	return messages
}

// asker returns how a text becomes the tokens after which the model answers, when a person has said it.
func (o chatFlags) asker(m *lm.Model) (func(text string) ([]token.ID, error), error) {
	t, err := m.Chat()
	if err != nil {
		return nil, err
	}
	if err := m.CheckText(); err != nil {
		return nil, err
	}
	return func(text string) ([]token.ID, error) {
		read, err := t.Encode(m.Tokenizer(), o.said(text), true)
		return read.IDs, err
	}, nil
}

// talk answers a message, or without one each line of stdin in turn, by the model's own chat template.
func (a *app) talk(ctx context.Context, args []string, o generateFlags) error {
	if o.ids != "" || o.n != 1 {
		return usage("--chat answers a text once: leave --ids and --n out")
	}
	var messages []chat.Message
	if len(args) > 1 {
		var err error
		if messages, err = a.say(args, o.chatFlags); err != nil {
			return err
		}
	} else if o.system != "" {
		messages = append(messages, chat.Message{Role: chat.System, Content: o.system})
	}
	if a.server.Address != "" {
		return a.converse(len(args) > 1, messages, func(said []chat.Message) (string, error) {
			return a.write("", a.server.Generate(ctx, asGeneration(args[0], "", said, o.Config)))
		})
	}
	m, err := a.openModel(ctx, args[0], backend.Options{Latency: true})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := o.steered(m); err != nil {
		return err
	}
	t, err := m.Chat()
	if err != nil {
		return fmt.Errorf("chat with %s: %w", args[0], err)
	}
	if err := m.CheckText(); err != nil {
		return err
	}
	if o.why.method != "" {
		read, err := t.Encode(m.Tokenizer(), messages, true)
		if err != nil {
			return err
		}
		return a.explainWriting(ctx, m, read, o)
	}
	return a.converse(len(args) > 1, messages, func(said []chat.Message) (string, error) {
		return a.reply(ctx, m, t, said, o.Config)
	})
}

// converse lets a model answer messages once, or without a message of the user each line of stdin in turn.
func (a *app) converse(once bool, messages []chat.Message, reply func([]chat.Message) (string, error)) error {
	if once {
		_, err := reply(messages)
		return err
	}
	lines := bufio.NewReader(io.LimitReader(a.in, 16<<20))
	for {
		line, err := lines.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			messages = append(messages, chat.Message{Role: chat.User, Content: strings.TrimRight(line, "\r\n")})
			said, err := reply(messages)
			if err != nil {
				return err
			}
			messages = append(messages, chat.Message{Role: chat.Assistant, Content: said})
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
	return a.write("", generate.Stream(ctx, m, read.IDs, c))
}
