package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// explainFlags are what explain and compare share.
type explainFlags struct {
	lmkit.Request
	chat        chatFlags
	ids, memory string
	groups      []string
	from        string // the file of a request to run
	print       bool   // the request, in place of running it
	outputs
	compare bool // side by side
	file    fileFlags
	flags   *pflag.FlagSet
}

func (a *app) explainCmd() *cobra.Command {
	o := &explainFlags{}
	cmd := &cobra.Command{
		Use:   `explain DIR ["PROMPT"]`,
		Short: "Explain why a model predicts what it does",
		Long: `Explain why a model predicts what it does after a prompt (- is read from stdin). Without further flags:
why its first choice rather than its second, by integrated gradients. Every explanation carries its evidence:
whether the scores add up, and what the model says without the tokens that they name. With --matrix, scores belong to
pairs: predictions and tokens, layers and heads, two features.

With --chat the prompt is what a person says to the model, and its answer is explained: the model's own chat template
makes a text of the conversation. What the template wrote stays as it is and gets no score.

With --file each row of a file is explained, into a folder of results (--out). Its columns are prompt (or text), or
messages; target (or answer), foil, id and label (what is right), if it has them; all others are kept as they are. The
flags say what all items have in common. A run that was stopped goes on where it was when the command is given again.

With --server a running lmkit serve answers, whose model is loaded already; everything else is the same.

` + methodList() + matrixList(),
		Example: `  lmkit explain runs/first "the keys near the box"
  lmkit explain runs/first "the keys near the box" --target are --foil is --method integrated-gradients,occlusion
  lmkit explain runs/first "anna lives in" --objective prob --by word --json --html why.html
  lmkit explain runs/first "the keys near the box" --matrix layers --svg layers.svg
  lmkit explain smollm2 --chat "What is the capital of France?" --method occlusion
  lmkit explain smollm2 --chat "Is Paris in France?" --generate 12 --by word
  lmkit explain smollm2 "The capital of France is" --answer "Paris" --foil "a city"
  lmkit explain runs/first --file items.jsonl --out results
  lmkit explain smollm2 "The capital of France is" --server http://127.0.0.1:8017`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args, o) },
	}
	o.register(cmd, []string{"integrated-gradients"})
	o.registerMatrix(cmd)
	o.file.register(cmd.Flags())
	return a.asks(cmd)
}

func (a *app) compareCmd() *cobra.Command {
	o := &explainFlags{compare: true}
	cmd := &cobra.Command{
		Use:   `compare DIR ["PROMPT"]`,
		Short: "Explain a prediction by several methods, side by side",
		Long: `Explain a prediction by several methods, and set their scores and evidence side by side, with how far each two
agree: the rank correlation of their scores, and how many of the top tokens they share.

` + methodList(),
		Example: `  lmkit compare runs/first "the keys near the box"
  lmkit compare runs/first "the keys near the box" --method saliency,occlusion,leave-one-out --html compare.html`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args, o) },
	}
	o.register(cmd, []string{"integrated-gradients", "input-x-gradient", "occlusion"})
	return a.asks(cmd)
}

func methodList() string {
	var b strings.Builder
	b.WriteString("Methods (lmkit methods says more about them):")
	for _, m := range lmkit.Methods() {
		fmt.Fprintf(&b, "\n  %-21s %s", m.Name, m.About)
	}
	fmt.Fprintf(&b, "\n  %-21s %s", "auto",
		"the best of these for the length and the budget; all: every one that suits the model")
	return b.String()
}

func (a *app) explain(ctx context.Context, args []string, o *explainFlags) error {
	if err := a.request(args, o); err != nil {
		return err
	}
	if o.print {
		return o.Write(a.out)
	}
	if o.file.File != "" {
		if a.server.Address != "" {
			return a.opensHere("--file")
		}
		return a.explainFile(ctx, args[0], o)
	}
	several := len(o.Methods) > 1 || slices.Equal(o.Methods, []string{lmkit.All})
	if o.svg+o.png != "" && several && !o.compare && o.Matrix == "" {
		return usage("a picture draws one method; lmkit compare draws several side by side")
	}
	answer, err := a.answer(ctx, args[0], o.Request)
	a.meter().hide()
	if err != nil && (answer == nil || len(answer.Attributions) == 0) {
		return err
	}
	for _, note := range answer.Notes {
		a.note("%s", note)
	}
	if answer.Matrix != nil {
		return a.showMatrix(answer.Matrix, o.outputs)
	}
	if err := errors.Join(a.show(answer.Attributions, o), err); err != nil { // an interrupt leaves what has ended
		return err
	}
	if o.strict {
		return promises(answer.Attributions)
	}
	return nil
}

// answer asks the model that is called so, of the server if there is one.
func (a *app) answer(ctx context.Context, model string, r lmkit.Request) (*lmkit.Answer, error) {
	if a.server.Address != "" {
		return a.server.Explain(ctx, called(model), r)
	}
	m, err := a.openModel(ctx, model, backend.Options{})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return r.Answer(ctx, m)
}

// show writes the explanations everywhere that was asked for.
func (a *app) show(as []*explain.Attribution, o *explainFlags) error {
	if o.json { // a reader of stdout sees no warning first
		for _, at := range as {
			for _, w := range at.Warnings {
				a.note("warning: %s: %s", at.Method.Name, w)
			}
		}
		if err := explain.Write(a.out, as...); err != nil {
			return err
		}
	} else if err := a.text(as, o); err != nil {
		return err
	}
	if err := a.file(o.html, func(w io.Writer) error { return page(w, as, o.compare) }); err != nil {
		return err
	}
	var picture interface {
		plot.Figure
		PNG(w io.Writer) error
	} = render.Attribution{Attribution: as[0]}
	if o.compare {
		c, err := render.Compare(as...)
		if err != nil {
			return err
		}
		picture = c
	}
	return errors.Join(a.file(o.svg, picture.SVG), a.file(o.png, picture.PNG))
}

func (a *app) text(as []*explain.Attribution, o *explainFlags) error {
	if o.compare {
		c, err := render.Compare(as...)
		if err != nil {
			return err
		}
		return a.print(c)
	}
	for i, at := range as {
		if i > 0 {
			if err := printf(a.out, "\n"); err != nil {
				return err
			}
		}
		if err := a.print(render.Attribution{Attribution: at}); err != nil {
			return err
		}
	}
	return nil
}

func page(w io.Writer, as []*explain.Attribution, compare bool) error {
	if !compare {
		return render.HTML(w, as...)
	}
	c, err := render.Compare(as...)
	if err != nil {
		return err
	}
	return render.Report{Title: "Comparison of explanations", Sections: []render.Section{
		{Figures: []plot.Figure{c}},
		{Heading: "Each by itself", Figures: render.Figures(as...)},
	}}.HTML(w)
}

// promises returns an error if an explanation breaks its own promise.
func promises(as []*explain.Attribution) error {
	for _, at := range as {
		if c := at.Evidence.Completeness; c != nil && !c.Holds {
			return broken(at.Method.Name, c)
		}
	}
	return nil
}

func broken(method string, c *explain.Completeness) error {
	return &exitError{exitBroken,
		fmt.Errorf("%s does not keep its promise: its scores miss their sum by %.3g %%, where %.3g %% is allowed; "+
			"its warning says what would cure it", method, 100*c.Relative, 100*c.Tolerance)}
}
