package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/hub"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/trial/demo"
)

func (a *app) demoCmd() *cobra.Command {
	var o demo.Options
	var offline bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Train two small models, and explain them and a real one, in about three minutes",
		Long: `Train a small Transformer and a small LSTM on texts whose true cause is known, explain a prediction of
each, and set the known cause beside the explanation. Then explain a language model that people use,
SmolLM2-135M-Instruct, which is fetched once (93 MB): a fact, a question in a chat, a sentiment, and a mistake.
The report is one HTML file.`,
		Example: `  lmkit demo
  lmkit demo --seed 7 --report demo.html --no-download`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), o, offline) },
	}
	cmd.Flags().StringVar(&o.Report, "report", "report.html", "the `FILE` to write")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "of the texts and the first weights")
	cmd.Flags().BoolVar(&offline, "no-download", false, "leave the real model out where it is not at hand")
	return cmd
}

func (a *app) demo(ctx context.Context, o demo.Options, offline bool) (err error) {
	if o.Engine, err = a.openEngine(ctx, backend.Options{}); err != nil {
		return err
	}
	m := a.meter()
	o.Real, err = hub.Find(ctx, hub.SmolLM2, hub.Options{Offline: offline, Progress: m.hear})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		o.Missing = fmt.Sprintf("A fact, a question in a chat, a sentiment and a mistake of SmolLM2 are not shown: %v. "+
			"With it at hand, lmkit demo shows them.", err)
	}
	look := a.look()
	o.Out, o.Color, o.Width, o.Progress = lines{a.paper, m.hide}, look.Color, look.Width, m.hear
	return demo.Run(progress.With(ctx, nil), o)
}
