package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/token/chat"
)

type treeFlags struct {
	surrogate.GlobalTree
	chat      chatFlags
	choices   []string
	json      bool
	html, svg string
}

func (a *app) treeCmd() *cobra.Command {
	o := &treeFlags{}
	cmd := &cobra.Command{
		Use:   "tree DIR FILE --choices A,B",
		Short: "Imitate a model by one decision tree over many texts",
		Long: `Imitate a model by one decision tree over many texts: which of some tokens the model expects after each
line of FILE (- is stdin), by the tokens that the line contains and the one that it ends in. How well the tree
imitates the model is measured on lines that it was not fitted to.

With --chat each line is what a person says to the model, and the tokens are how its answer begins, or goes on after
--reply. The tree asks only for what the line says, not for what the chat template or --system and --reply write.`,
		Example: `  lmkit tree runs/first input.txt --choices is,are --svg tree.svg
  lmkit tree smollm2 reviews.txt --chat --system "Is this good or bad?" --reply "It is" --choices good,bad`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.tree(cmd.Context(), args[0], args[1], o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.chat.register(f)
	f.StringVar(&o.chat.reply, "reply", "", "with --chat, how the model's answer begins")
	f.StringSliceVar(&o.choices, "choices", nil, "the tokens to choose from, by their text or as #ID, with commas between")
	f.IntVar(&o.Depth, "depth", 0, "tests on the way to a leaf (default 4)")
	f.IntVar(&o.MinRows, "rows", 0, "lines in a leaf, at least (default 5)")
	f.Uint64Var(&o.Seed, "seed", 0, "of which lines are held out")
	f.BoolVar(&o.json, "json", false, "write JSON")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture to this `FILE`, too")
	return cmd
}

func (a *app) tree(ctx context.Context, dir, file string, o *treeFlags) error {
	if len(o.choices) < 2 {
		return usage("a tree needs two tokens or more to choose from; name them with --choices")
	}
	err := writable([]string{dir, file}, output{"--html", o.html, pageBegins}, output{"--svg", o.svg, pictureBegins})
	if err != nil {
		return err
	}
	if o.chat.asked() && !o.chat.chat {
		return usage("--system and --reply belong to --chat")
	}
	texts, err := a.lines(file)
	if err != nil {
		return err
	}
	m, err := a.openModel(ctx, dir, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	inputs, choices, err := encodeLines(m, texts, o)
	if err != nil {
		return err
	}
	found, err := o.Explain(ctx, m, inputs, choices)
	a.meter().hide()
	if err != nil {
		return err
	}
	for _, w := range found.Warnings {
		a.note("warning: %s", w)
	}
	figure := render.GlobalOf(found)
	if o.json {
		err = writeJSON(a.out, found)
	} else {
		err = a.print(figure)
	}
	if err != nil {
		return err
	}
	page := render.Report{Title: "Decision tree", Sections: []render.Section{{Figures: []plot.Figure{figure}}}}
	if err := a.file(o.html, page.HTML); err != nil {
		return err
	}
	return a.file(o.svg, figure.SVG)
}

// lines reads the lines of a file, or of stdin, that are not empty.
func (a *app) lines(file string) ([]string, error) {
	all, err := a.allLines(file)
	return slices.DeleteFunc(all, blank), err
}

func blank(line string) bool { return strings.TrimSpace(line) == "" }

// allLines reads the lines of a file, or of stdin.
func (a *app) allLines(file string) ([]string, error) {
	const most = 64 << 20
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("the texts %s: %w", file, plain(err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the texts %s: %w", file, plain(err))
	case len(data) > most:
		return nil, fmt.Errorf("the texts %s are more than %d MB: give a part of them", file, most>>20)
	case bytes.IndexByte(data, 0) >= 0:
		return nil, fmt.Errorf("the texts %s are no text: they hold a zero byte", file)
	}
	return strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"), nil
}

// encodeLines turns texts, or what a conversation makes of each, and the tokens to choose from into tokens.
func encodeLines(m *lm.Model, texts []string, o *treeFlags) (inputs []token.Encoding, choices []token.ID, err error) {
	tok := m.Tokenizer()
	if tok == nil {
		return nil, nil, fmt.Errorf("this model has no tokenizer, and cannot read a text")
	}
	encode := tok.Encode
	if o.chat.chat {
		t, err := m.Chat()
		if err != nil {
			return nil, nil, err
		}
		encode = func(text string) (token.Encoding, error) { return said(t, tok, strings.TrimSpace(text), o.chat) }
	}
	prompt := "" // one that the tokens follow
	for i, text := range texts {
		enc, err := encode(text)
		if err != nil {
			return nil, nil, fmt.Errorf("text %d: %w", i+1, err)
		}
		if i == 0 {
			prompt = enc.Text
		}
		inputs = append(inputs, enc)
	}
	for _, name := range o.choices {
		id, err := explain.FindToken(m, prompt, strings.TrimSpace(name))
		if err != nil {
			return nil, nil, err
		}
		choices = append(choices, id)
	}
	return inputs, choices, nil
}

// said is a conversation of one message as tokens, of which all are held but those of the message.
func said(t *chat.Template, tok token.Tokenizer, text string, o chatFlags) (token.Encoding, error) {
	c, err := t.Encode(tok, o.said(text), true)
	for i := range c.Held {
		c.Held[i] = c.Held[i] || c.Role(i) != chat.User
	}
	return c.Encoding, err
}
