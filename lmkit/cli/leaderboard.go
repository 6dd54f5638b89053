package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus/facts"
	"lmkit.internal/lmkit/corpus/plant"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/trial/board"
)

func (a *app) leaderboardCmd() *cobra.Command {
	o := &boardFlags{}
	c := &o.Config
	cmd := &cobra.Command{
		Use:   "leaderboard",
		Short: "Rank the explanation methods on texts whose true cause is known",
		Long: `Train a small Transformer and a small LSTM on each planted task, and see which methods find the true
cause of what they answer. Only items count whose cause is verified on the trained model: hiding it costs the
model at least half of its margin, and keeping it alone keeps the answer. The share of these is printed, and the
scores on all items stand beside those on verified ones. The same seed gives the same board, but for the
seconds.

With --model, see which methods find the true cause in a model that you have, on facts: sentences in which one word
decides the answer. A fact counts only where the model follows: it prefers the right answer, and the other one once
the word is replaced. How many were left out, and why, is printed. A file has a fact a line, with its relation:

  capital: The capital of {France|Japan} is {Paris|Tokyo}

With --baselines, the table says which baseline serves the methods best on these facts.

With --inside, see which ways find the heads and feed-forward layers that a prediction goes by: patching, estimates of
it, edges, what parts write to the logits, what heads attend to. The truth is what is lost when each part is taken out.
Tasks are ` + strings.Join(board.InsideTasks(), ", ") + `, or, with --model, facts.

Ctrl-C ends the work with the board of what was done.`,
		Example: `  lmkit leaderboard --task marker --size 6 --width 32 --items 4 --method saliency,occlusion` +
			` --json board.json --html board.html
  lmkit leaderboard --model smollm2 --items 5 --method integrated-gradients,occlusion,attn-lrp
  lmkit leaderboard --model smollm2 --facts facts.txt --json board.json --html board.html
  lmkit leaderboard --inside --task agreement --json inside.json --html inside.html`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.flags = cmd.Flags()
			return a.leaderboard(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Model, "model", "", "rank on facts that this model knows: a folder, a file or a name")
	f.StringVar(&c.Facts, "facts", board.Builtin, "the `FILE` of the facts (- is stdin), or builtin")
	f.StringVar(&c.Baseline, "baseline", "", "with --model: what an absent word is, as in lmkit explain")
	f.StringSliceVar(&o.baselines, "baselines", nil, "with --model: compare these, with commas between: "+
		strings.Join(board.Baselines(), ", ")+", unk or #ID")
	f.BoolVar(&o.inside, "inside", false, "rank ways to find the parts of a model, not of a text")
	f.StringSliceVar(&c.Tasks, "task", nil, "tasks of "+strings.Join(plant.Tasks(), ", ")+", with commas between "+
		"(default: all that both architectures learn in\nminutes: "+strings.Join(board.Tasks(), ", ")+"); of facts their "+
		"relations (default: all)")
	f.StringSliceVar(&c.Archs, "arch", nil, "architectures, with commas between (default: transformer, lstm)")
	f.StringSliceVar(&c.Methods, "method", nil, "methods, with commas between (default: all; lmkit methods lists them)")
	f.IntVar(&c.Items, "items", 0, "texts to explain, of each model (default: 20); of facts of each relation (default: 6)")
	f.IntVar(&c.Size, "size", 0, "length of the texts: words, pairs or nouns (default: the task's)")
	f.IntVar(&c.Width, "width", 0, "of the models (default: 64)")
	f.IntVar(&c.Steps, "steps", 0, "of training at most; it ends when a model knows its task (default: 3000)")
	f.IntVar(&c.Samples, "samples", 0, "random draws (default: the method's; of facts 25)")
	f.IntVar(&c.Budget, "budget", 0, "coalitions of words to try (default: the method's; of facts 64)")
	f.Uint64Var(&c.Seed, "seed", 0, "of texts, first weights and random draws")
	f.StringVar(&o.json, "json", "", "write everything to this `FILE`, too")
	f.StringVar(&o.html, "html", "", "write a page with pictures to this `FILE`, too")
	return cmd
}

// boardFlags are what is asked of a leaderboard.
type boardFlags struct {
	board.Config
	baselines  []string
	inside     bool
	json, html string
	flags      *pflag.FlagSet
}

// check finds the mistakes that can be found before anything is opened.
func (o *boardFlags) check() error {
	if o.inside {
		for _, name := range []string{"arch", "method", "size", "width", "samples", "budget", "baseline", "baselines"} {
			if o.flags.Changed(name) {
				return usage("--%s is about explanations of texts, and --inside about parts of models; leave one out", name)
			}
		}
	}
	alien := []string{"facts", "baseline", "baselines"}
	if o.Model != "" {
		alien = []string{"arch", "size", "width", "steps"}
	} else if err := o.validate(); err != nil {
		return usage("%w", err)
	}
	for _, name := range alien {
		if o.flags.Changed(name) && o.Model != "" {
			return usage("--%s is about models that are trained, and --model gives one; leave one out", name)
		} else if o.flags.Changed(name) {
			return usage("--%s needs a model that knows the facts: give it with --model, such as --model smollm2", name)
		}
	}
	if o.Baseline != "" && o.flags.Changed("baselines") {
		return usage("--baseline and --baselines were given; give one")
	}
	return writable([]string{o.Model, o.Facts}, output{"--json", o.json, `{"schema"`},
		output{"--html", o.html, pageBegins})
}

func (a *app) leaderboard(ctx context.Context, o *boardFlags) error {
	if err := o.check(); err != nil {
		return err
	}
	m := a.meter()
	defer m.hide()
	r, failed := a.board(progress.With(ctx, nil), o, m) // it hears of the texts, rather than of the rows of each
	if r == nil {
		return failed
	}
	m.hide()
	if err := r.Text(a.out); err != nil {
		return err
	}
	if err := a.file(o.json, r.JSON); err != nil {
		return err
	}
	return errors.Join(a.file(o.html, r.HTML), failed)
}

// validate says what is wrong with what is asked of models that are trained.
func (o *boardFlags) validate() error {
	if o.inside {
		return o.insideConfig().Validate()
	}
	return o.Validate()
}

// insideConfig is what is asked of a board of what is inside.
func (o *boardFlags) insideConfig() board.InsideConfig {
	return board.InsideConfig{Tasks: o.Tasks, Items: o.Items, Steps: o.Steps, Seed: o.Seed, Model: o.Model, Facts: o.Facts}
}

// ranking is what came out of a leaderboard.
type ranking interface {
	Text(io.Writer) error
	JSON(io.Writer) error
	HTML(io.Writer) error
}

// board makes the leaderboard. Of one that was stopped the part that was done comes with the error.
func (a *app) board(ctx context.Context, o *boardFlags, m *meter) (ranking, error) {
	if o.Model == "" {
		o.Facts = ""
		engine, err := a.openEngine(ctx, backend.Options{})
		if err != nil {
			return nil, err
		}
		a.orderly.Store(true) // from here on what was done is written, however long its intervals take
		if o.inside {
			return done(board.RunInside(ctx, engine, o.insideConfig(), m.hear))
		}
		return done(board.Run(ctx, engine, o.Config, m.hear))
	}
	all, err := a.facts(o.Facts)
	if err != nil {
		return nil, err
	}
	model, err := a.openModel(ctx, o.Model, backend.Options{})
	if err != nil {
		return nil, err
	}
	defer model.Close()
	a.orderly.Store(true)
	if o.inside {
		return done(board.RunInsideFacts(ctx, model, all, o.insideConfig(), m.hear))
	}
	if o.flags.Changed("baselines") {
		return done(board.RunBaselines(ctx, model, all, o.Config, o.baselines, m.hear))
	}
	return done(board.RunFacts(ctx, model, all, o.Config, m.hear))
}

// done is a ranking, or none where the pointer to it is nil.
func done[R any, P interface {
	*R
	ranking
}](r P, err error) (ranking, error) {
	if r == nil {
		return nil, err
	}
	return r, err
}

// facts reads a file of facts.
func (a *app) facts(file string) ([]facts.Fact, error) {
	if file == board.Builtin {
		return facts.Builtin(), nil
	}
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("the facts %s: %w", file, plain(err))
		}
		defer f.Close()
		in = f
	}
	all, err := facts.Read(in)
	if err != nil {
		return nil, fmt.Errorf("the facts %s: %w", file, plain(err))
	}
	return all, nil
}
