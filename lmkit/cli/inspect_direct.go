package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/inspect"
)

func (a *app) directCmd() *cobra.Command {
	o, direct := &insideFlags{}, inspect.Direct{}
	cmd := &cobra.Command{
		Use: `direct MODEL ["PROMPT"]`,
		Long: `Split the difference of two logits by who writes it. The residual stream is a sum of what embeddings, heads and
feed-forward layers write, and the final norm is linear with its scale as it is: so the difference is a sum of what
each part writes, and of a constant. By token, what attention writes is split by the tokens that it brings it from.
It is the direct effect alone: what a part does to later ones is not in it.

Of an LSTM, the difference is split by the units of its last hidden state, or by the tokens that wrote to its cells.`,
		Example: `  lmkit inspect direct smollm2 "The capital of France is" --target " Paris" --foil " London"
  lmkit inspect direct smollm2 "The capital of France is" --by head --png heads.png`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.inside(cmd.Context(), args, o, direct) },
	}
	cmd.Flags().StringVar(&direct.By, "by", "", "what gets a value: "+strings.Join(inspect.DirectParts, ", ")+
		" (default: component, of an LSTM token)")
	cmd.Flags().IntVar(&direct.Top, "top", 20, "how many neurons are named")
	o.register(cmd)
	return a.asks(cmd)
}
