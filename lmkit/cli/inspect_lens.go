package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
)

type lensFlags struct {
	insideFlags
	inspect.Lens
	tuned, jacobian, fit string
	steps                int
}

func (a *app) lensCmd() *cobra.Command {
	o := &lensFlags{}
	cmd := &cobra.Command{
		Use: `lens MODEL ["PROMPT"]`,
		Long: `Ask what the model would predict if each layer were the last one: the residual stream behind the layer goes
through the final norm and the output matrix. A row is a residual, a column a token; a cell has the first choice of
what would come after the token, and its colour says how likely that is. An LSTM's hidden states go through its
output matrix.

In early layers the residual is not yet in the terms of the output. A tuned lens turns it by an affine map that was
fitted to the model's own predictions; a Jacobian lens by the mean derivative of the last residual by it. With --fit
such a lens is made from texts and saved; without, it is read and used. It is of one model, and no other takes it.`,
		Example: `  lmkit inspect lens smollm2 "The capital of France is" --png lens.png
  lmkit inspect lens smollm2 "The capital of France is" --show rank --target " Paris"
  lmkit inspect lens runs/first --tuned lens.safetensors --fit texts.txt
  lmkit inspect lens runs/first "the keys near the box" --tuned lens.safetensors`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.lens(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Show, "show", "top", "what the colours and values are: "+strings.Join(inspect.LensMeasures, ", "))
	f.BoolVar(&o.Mid, "mid", false, "show the residuals between attention and feed-forward layer, too")
	f.StringVar(&o.tuned, "tuned", "", "look through the tuned lens in this `FILE`")
	f.StringVar(&o.jacobian, "jacobian", "", "look through the Jacobian lens in this `FILE`")
	f.StringVar(&o.fit, "fit", "", "make the lens from the texts in this `FILE`, one a line, and save it")
	f.IntVar(&o.steps, "steps", 0, "with --tuned and --fit, steps of the fit for each layer (default: 250)")
	o.register(cmd)
	return a.asks(cmd)
}

func (a *app) lens(ctx context.Context, args []string, o *lensFlags) error {
	file := o.tuned + o.jacobian
	switch {
	case o.tuned != "" && o.jacobian != "":
		return usage("--tuned and --jacobian are two lenses; look through one")
	case o.fit != "" && file == "":
		return usage("--fit makes a lens: say which, and where it is saved, with --tuned FILE or --jacobian FILE")
	case o.fit != "" && len(args) > 1:
		return usage("--fit makes a lens; look through it at a prompt afterwards, without --fit")
	case o.steps != 0 && (o.fit == "" || o.tuned == "") || o.steps < 0:
		return usage("--steps is a number above 0, for --tuned with --fit")
	case o.fit != "" && a.server.Address != "":
		return a.opensHere("--fit")
	case o.fit != "":
		return a.fitLens(ctx, args[0], file, o)
	case file == "":
		return a.inside(ctx, args, &o.insideFlags, o.Lens)
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("the lens %s: %w; --fit makes one", file, plain(err))
	}
	return a.insideBy(ctx, args, &o.insideFlags, func(m *lm.Model) (explain.MatrixMethod, error) {
		by, err := inspect.ReadTranslator(file, m)
		if err != nil {
			return nil, err
		}
		if tuned := len(by.Biases) > 0; tuned != (o.tuned != "") {
			return nil, fmt.Errorf("%s is a %s lens", file, map[bool]string{true: "tuned", false: "Jacobian"}[tuned])
		}
		o.By, o.Fitted = by, map[bool]string{true: "tuned", false: "Jacobian"}[o.tuned != ""]
		return o.Lens, nil
	})
}

// longestOfLens is how many tokens of a text a lens is fitted to.
const longestOfLens = 128

// fitLens makes a lens and saves it.
func (a *app) fitLens(ctx context.Context, model, file string, o *lensFlags) error {
	lens := output{"--tuned", file, inspect.LensBegins}
	if o.jacobian != "" {
		lens.flag = "--jacobian"
	}
	if err := o.check([]string{model, o.fit}, lens); err != nil {
		return err
	}
	lines, err := a.lines(o.fit)
	if err != nil {
		return err
	}
	m, err := a.openModel(ctx, model, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	rows, err := inspect.Encode(m, lines)
	if err != nil {
		return err
	}
	for i, row := range rows {
		rows[i] = row[:min(len(row), longestOfLens)]
	}
	var by *inspect.Translator
	var found *explain.Matrix
	if o.tuned != "" {
		by, found, err = inspect.TuneLens{Texts: rows, Steps: o.steps}.Fit(ctx, m)
	} else {
		by, found, err = inspect.JacobianLens{Texts: rows}.Fit(ctx, m)
	}
	a.meter().hide()
	if err != nil {
		return err
	}
	if err := a.file(file, by.Write); err != nil {
		return err
	}
	return a.showMatrix(found, o.outputs)
}
