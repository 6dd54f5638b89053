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
)

type treeFlags struct {
	surrogate.GlobalTree
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
imitates the model is measured on lines that it was not fitted to.`,
		Example: `  lmkit tree runs/first input.txt --choices is,are --svg tree.svg`,
		Args:    between(2, 2),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.tree(cmd.Context(), args[0], args[1], o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
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
	if o.html != "" && samePath(o.html, o.svg) {
		return usage("--html and --svg both write %s; give each a file of its own", o.html)
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
	inputs, choices, err := encodeLines(m, texts, o.choices)
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

// encodeLines turns texts, and the tokens to choose from, into IDs.
func encodeLines(m *lm.Model, texts, names []string) (inputs [][]token.ID, choices []token.ID, err error) {
	tok := m.Tokenizer()
	if tok == nil {
		return nil, nil, fmt.Errorf("this model has no tokenizer, and cannot read a text")
	}
	for i, text := range texts {
		enc, err := tok.Encode(text)
		if err != nil {
			return nil, nil, fmt.Errorf("text %d: %w", i+1, err)
		}
		inputs = append(inputs, enc.IDs)
	}
	prompt := "" // one that the tokens follow
	if len(texts) > 0 {
		prompt = texts[0]
	}
	for _, name := range names {
		id, err := explain.FindToken(m, prompt, strings.TrimSpace(name))
		if err != nil {
			return nil, nil, err
		}
		choices = append(choices, id)
	}
	return inputs, choices, nil
}
