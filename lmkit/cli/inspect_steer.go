package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/inspect"
)

type steerFlags struct {
	outputs
	inspect.Behaviour
	prompts, neutral, vector string
	memory                   string
}

func (a *app) steerCmd() *cobra.Command {
	o := &steerFlags{}
	cmd := &cobra.Command{
		Use: `steer MODEL FILE --target A --foil B`,
		Long: `Move the residual stream along a direction, and measure what becomes of a prediction. FILE has a text and a
label a line, with a tab between, and two labels. The direction of a layer is the mean residual at the end of the
texts with the label --toward (default: the first in the file), minus the mean of the others. The model goes on with
x + strength*direction at every token.

The behaviour is the difference of the logits of --target and --foil after prompts: those of --prompts, one a line, or
the last third of the texts with the other label, which the direction is then made without. Beside the mean effect
stand the share of prompts that moved the way of the strength's sign, and the perplexity of a neutral text.`,
		Example: `  lmkit inspect steer smollm2 reviews.tsv --toward good --target " great" --foil " terrible"
  lmkit inspect steer smollm2 reviews.tsv --target " great" --foil " terrible" --layer 15 --vector mood.gguf`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.steer(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Target, "target", "", "the token that the behaviour makes likelier, by its text or as #ID")
	f.StringVar(&o.Foil, "foil", "", "the token that it makes less likely")
	f.StringVar(&o.Toward, "toward", "", "the label of the texts that show the behaviour (default: the first in the file)")
	f.StringVar(&o.prompts, "prompts", "", "the prompts to measure on, one a line of this `FILE`")
	f.StringVar(&o.neutral, "neutral", "", "a `FILE` with the neutral text (default: a few sentences about a train)")
	f.IntSliceVar(&o.Layers, "layer", nil, "the layers to move, from 0 (default: at a quarter, half and three quarters)")
	f.Float64SliceVar(&o.Strengths, "strength", nil, "what the direction is multiplied by (default: -4,-2,-1,1,2,4)")
	f.StringVar(&o.vector, "vector", "", "write the directions to this `FILE`, as a GGUF control vector")
	f.StringVar(&o.memory, "memory", "",
		"memory for activations, about, such as 512MB (default: an eighth of the machine's, at most 1GB)")
	o.outputs.register(cmd)
	return a.asks(cmd)
}

func (a *app) steer(ctx context.Context, args []string, o *steerFlags) (err error) {
	if o.Target == "" || o.Foil == "" {
		return usage("name the behaviour by two tokens: --target, which it makes likelier, and --foil")
	}
	err = o.check(append(args[:2:2], o.prompts, o.neutral), output{"--vector", o.vector, inspect.VectorBegins})
	if err != nil {
		return err
	}
	if o.memory != "" {
		if o.Memory, err = parseBytes(o.memory); err != nil {
			return err
		}
	}
	if o.Lines, err = a.allLines(args[1]); err != nil {
		return err
	}
	if _, err := inspect.ReadLabelled(o.Lines); err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	if err := o.Validate(); err != nil {
		return usage("%w", err)
	}
	if o.prompts != "" {
		if o.Prompts, err = a.lines(o.prompts); err != nil {
			return err
		}
	}
	if o.neutral != "" {
		neutral, err := a.allLines(o.neutral)
		if err != nil {
			return err
		}
		o.Neutral = strings.Join(neutral, "\n")
	}
	if a.server.Address != "" {
		if o.vector != "" {
			return a.opensHere("--vector")
		}
		return a.study(ctx, args[0], "steer", o.Behaviour, o.outputs)
	}
	m, err := a.openModel(ctx, args[0], backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	asked, err := o.Steer(m)
	if err != nil {
		return err
	}
	found, err := asked.Run(ctx, m)
	a.meter().hide()
	if err != nil {
		return err
	}
	if err := a.file(o.vector, func(w io.Writer) error { return found.WriteVector(w, m) }); err != nil {
		return err
	}
	return a.showMatrix(found.Matrix, o.outputs)
}
