package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/serve"
)

type probeFlags struct {
	outputs
	inspect.Probe
	untrained bool
	memory    string
}

func (a *app) probeCmd() *cobra.Command {
	o := &probeFlags{}
	cmd := &cobra.Command{
		Use: `probe MODEL FILE`,
		Long: `Ask what can be read from activations by a linear map. FILE has a text and its label a line, with a tab
between: a probe is fitted to tell the label from the activation at the text's last token. Where empty lines stand
between them, the lines up to one are the words of one text, each with its label.

Accuracy is that on texts that the probe was not fitted to. Beside it stand: a control task, where each piece has a
random label that is always the same, and selectivity, what the probe is better at the real task; the majority; the
accuracy on pieces that it was not fitted to; and that of a model of the same shape with random weights.`,
		Example: `  lmkit inspect probe smollm2 reviews.tsv
  lmkit inspect probe smollm2 words.tsv --tap embed,block.5.resid.post,block.5.mlp.out`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.probe(cmd.Context(), args, o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.Taps, "tap", nil,
		"the activations, with commas between (default: the embeddings, and up to eight residuals)")
	f.BoolVar(&o.untrained, "untrained", true, "probe a model of the same shape with random weights, too")
	f.Uint64Var(&o.Seed, "seed", 0, "of what is held out, and of random labels")
	f.StringVar(&o.memory, "memory", "",
		"memory for activations, about, such as 512MB (default: an eighth of the machine's, at most 1GB)")
	o.outputs.register(cmd)
	return a.asks(cmd)
}

func (a *app) probe(ctx context.Context, args []string, o *probeFlags) (err error) {
	if err := o.check(args[:2]); err != nil {
		return err
	}
	if o.memory != "" {
		if o.Memory, err = parseBytes(o.memory); err != nil {
			return err
		}
	}
	lines, err := a.allLines(args[1])
	if err != nil {
		return err
	}
	if o.Items, err = inspect.ReadLabelled(lines); err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	if a.server.Address != "" {
		if o.untrained {
			return a.opensHere("the model of random weights (--untrained=false leaves it out)")
		}
		return a.study(ctx, args[0], "probe", serve.Probing{Lines: lines, Taps: o.Taps, Seed: o.Seed, Memory: o.Memory},
			o.outputs)
	}
	m, err := a.openModel(ctx, args[0], backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.CheckText(); err != nil {
		return err
	}
	if o.untrained {
		if o.Untrained, err = lm.New(m.Engine(), m.Config(), m.Tokenizer(), o.Seed+1); err != nil {
			return err
		}
		defer o.Untrained.Close()
	}
	found, err := o.Run(ctx, m)
	a.meter().hide()
	if err != nil {
		return err
	}
	return a.showMatrix(found, o.outputs)
}
