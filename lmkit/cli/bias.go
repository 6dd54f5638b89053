package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/lm"
)

type biasFlags struct {
	bias.Config
	suite, data, out, html string
	limit                  int
	json                   bool
}

func (a *app) biasCmd() *cobra.Command {
	var o biasFlags
	var protocols []string
	for _, p := range bias.Protocols {
		protocols = append(protocols, "  "+printable.PadRight(p.Name, 13)+p.Is)
	}
	cmd := &cobra.Command{
		Use:   "bias MODEL --suite SUITE",
		Short: "Measure which of two sentences a model prefers",
		Long: `Measure which of two sentences a model prefers that differ in one thing alone: how often, by how much, and
whether so many pairs can tell it from chance. The worst pairs are shown word by word.

--suite is one of ` + strings.Join(bias.Suites(), ", ") + `, which are read from the folder --data; or
pairs of your own: a table of two columns (.csv, .tsv, or .jsonl with "first" and "second"), and in it group and
cluster if need be; a file of templates, one a line (.txt); or a template itself. In a template, braces hold what the
two sentences differ in, and brackets lists, of which each entry makes a pair:

  {He|She} says that {his|her} sister is a [nurse|doctor|cook].

--protocol says what a sentence's score is:

` + strings.Join(protocols, "\n") + `

Scores are log-probabilities. Intervals are those of a bootstrap over the writers or templates of the pairs; the sign
test is exact, and of groups corrected for their number (Holm). No suite comes with lmkit.`,
		Example: `  lmkit bias runs/first --suite pairs.csv
  lmkit bias smollm2 --suite "{He|She} is a [nurse|doctor|cook|plumber]." --protocol conditional`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.bias(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.suite, "suite", "", "what is measured (see above)")
	f.StringVar(&o.data, "data", "", "the `FOLDER` or file of a published suite")
	f.StringVar(&o.Protocol, "protocol", "", "what a sentence's score is (default: what is usual for the suite)")
	f.IntVar(&o.limit, "limit", 0, "measure so many pairs of each group, spread evenly (default: all)")
	f.IntVar(&o.Worst, "worst", 3, "show so many of the worst pairs word by word")
	f.IntVar(&o.Draws, "draws", 10_000, "of the bootstrap")
	f.Uint64Var(&o.Seed, "seed", 0, "of these draws")
	f.StringVar(&o.out, "out", "", "keep the scores in the folder `DIR`, too: a run that was stopped goes on there, and "+
		"lmkit summarize reports them again")
	f.BoolVar(&o.json, "json", false, "write JSON, with all pairs")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	return cmd
}

func (a *app) bias(ctx context.Context, model string, o biasFlags) error {
	switch {
	case o.suite == "":
		return usage("--suite is missing; there are %s, and files and templates of your own",
			strings.Join(bias.Suites(), ", "))
	case o.limit < 0 || o.Worst < 0 || o.Draws < 1:
		return usage("--limit and --worst are 0 or more, and --draws is 1 or more")
	}
	if err := bias.Check(o.Protocol); err != nil {
		return usage("--protocol: %w", err)
	}
	if err := writable([]string{model, o.suite}, output{"--html", o.html, pageBegins}); err != nil {
		return err
	}
	s, err := bias.Open(o.suite, o.data)
	if err != nil {
		return err
	}
	s.Limit(o.limit)
	m, err := a.openModel(ctx, model, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	o.Model = model
	measure := a.measure
	if o.out != "" {
		measure = a.measureInto
	}
	r, err := measure(ctx, m, s, o)
	if err != nil {
		return err
	}
	return a.showBias(r, o.json, o.html)
}

// measure scores the pairs of a suite, and makes the report.
func (a *app) measure(ctx context.Context, m *lm.Model, s *bias.Suite, o biasFlags) (*bias.Report, error) {
	meter := a.meter()
	o.Progress = meter.hear
	begun := time.Now()
	r, err := bias.Measure(ctx, m, s, o.Config)
	meter.hide()
	if err == nil {
		a.note("%s pairs in %.1f s: %.1f sentences a second", thousands(len(r.Pairs)), time.Since(begun).Seconds(),
			float64(r.Sentences)/time.Since(begun).Seconds())
	}
	return r, err
}

// measureInto is measure by way of a folder, in which a run that was stopped goes on.
func (a *app) measureInto(ctx context.Context, m *lm.Model, s *bias.Suite, o biasFlags) (*bias.Report, error) {
	plan, err := batch.Open(ctx, batch.Job{Suite: s, Protocol: o.Protocol, Model: o.Model, Out: o.out})
	if err != nil {
		return nil, err
	}
	_, err = plan.Explain(ctx, m)
	a.meter().hide()
	if err != nil {
		if ctx.Err() != nil {
			a.note("what was scored is kept in %s; the same command goes on", o.out)
		}
		return nil, err
	}
	return batch.Bias(o.out, o.Config)
}

// showBias writes a report everywhere that was asked for.
func (a *app) showBias(r *bias.Report, asJSON bool, html string) (err error) {
	if asJSON {
		err = writeJSON(a.out, r)
	} else {
		err = r.Text(a.out, a.look())
	}
	return errors.Join(err, a.file(html, r.HTML))
}
