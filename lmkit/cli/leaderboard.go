package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/trial/board"
)

func (a *app) leaderboardCmd() *cobra.Command {
	var c board.Config
	var asJSON, html string
	cmd := &cobra.Command{
		Use:   "leaderboard",
		Short: "Rank the explanation methods on texts whose true cause is known, in some minutes",
		Long: `Train a small Transformer and a small LSTM on each planted task, and see which methods find the true
cause of what they answer. Only items count whose cause is verified on the trained model: hiding it costs the
model at least half of its margin, and keeping it alone keeps the answer. The share of these is printed, and the
scores on all items stand beside those on verified ones. The same seed gives the same board, but for the
seconds.`,
		Example: `  lmkit leaderboard --task marker --size 6 --width 32 --items 4 --method saliency,occlusion \
    --json board.json --html board.html`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.leaderboard(cmd.Context(), c, asJSON, html) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&c.Tasks, "task", nil, "tasks of "+strings.Join(plant.Tasks(), ", ")+", with commas between "+
		"(default: all that both architectures learn in\nminutes: "+strings.Join(board.Tasks(), ", ")+")")
	f.StringSliceVar(&c.Archs, "arch", nil, "architectures, with commas between (default: transformer, lstm)")
	f.StringSliceVar(&c.Methods, "method", nil, "methods, with commas between (default: all; lmkit methods lists them)")
	f.IntVar(&c.Items, "items", 20, "texts to explain, of each model")
	f.IntVar(&c.Size, "size", 0, "length of the texts: words, pairs or nouns (default: the task's)")
	f.IntVar(&c.Width, "width", 0, "of the models (default: 64)")
	f.IntVar(&c.Steps, "steps", 0, "of training at most; it ends when a model knows its task (default: 3000)")
	f.IntVar(&c.Samples, "samples", 0, "random draws (default: the method's)")
	f.IntVar(&c.Budget, "budget", 0, "coalitions of words to try (default: the method's)")
	f.Uint64Var(&c.Seed, "seed", 0, "of texts, first weights and random draws")
	f.StringVar(&asJSON, "json", "", "write everything to this `FILE`, too")
	f.StringVar(&html, "html", "", "write a page with pictures to this `FILE`, too")
	return cmd
}

func (a *app) leaderboard(ctx context.Context, c board.Config, asJSON, html string) error {
	if err := c.Validate(); err != nil {
		return usage("%w", err)
	}
	if html != "" && samePath(asJSON, html) {
		return usage("--json and --html both write %s; give each a file of its own", html)
	}
	if err := errors.Join(replaceable(asJSON, "{"), replaceable(html, "<!DOCTYPE html>")); err != nil {
		return err
	}
	engine, err := a.openEngine(ctx, backend.Options{})
	if err != nil {
		return err
	}
	m := a.meter()
	defer m.hide()
	board, err := board.Run(ctx, engine, c, m.hear)
	if err != nil {
		return err
	}
	m.hide()
	if err := board.Text(a.out); err != nil {
		return err
	}
	if err := a.file(asJSON, board.JSON); err != nil {
		return err
	}
	return a.file(html, board.HTML)
}
