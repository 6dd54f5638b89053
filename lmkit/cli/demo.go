package cli

import (
	"context"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/trial/demo"
)

func (a *app) demoCmd() *cobra.Command {
	var report string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Train two small models and explain a prediction of each, in about a minute",
		Long: `Train a small Transformer and a small LSTM on texts whose true cause is known, explain a prediction of each, and
set the known cause beside the explanation. The report is one HTML file.`,
		Example: `  lmkit demo
  lmkit demo --seed 7 --report demo.html`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), report, seed) },
	}
	cmd.Flags().StringVar(&report, "report", "report.html", "the `FILE` to write")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "of the texts and the first weights")
	return cmd
}

func (a *app) demo(ctx context.Context, report string, seed uint64) error {
	engine, err := a.openEngine(ctx, backend.Options{})
	if err != nil {
		return err
	}
	m := a.meter()
	look := a.look()
	return demo.Run(ctx, demo.Options{
		Engine: engine, Out: lines{a.paper, m.hide}, Color: look.Color, Width: look.Width, Report: report, Seed: seed,
		Progress: m.hear,
	})
}
