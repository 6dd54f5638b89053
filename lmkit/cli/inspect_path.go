package cli

import (
	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/inspect"
)

func (a *app) pathCmd() *cobra.Command {
	o, x := &insideFlags{}, inspect.Path{}
	cmd := &cobra.Command{
		Use: `path MODEL "CLEAN" "CORRUPTED"`,
		Long: `Measure what goes from each head and feed-forward layer straight to some receivers: the corrupted output of the
sender is put into the clean run, all other heads and feed-forward layers are kept as they are there, and what the
receivers then read goes into another clean run. The value is the share of the difference that this destroys.

Receivers are logits, the queries, keys or values of a head (23.3.q), or a feed-forward layer (24.mlp).`,
		Example: `  lmkit inspect path smollm2 "When Mary and John went to the store, John gave a drink to" \
      "When Mary and John went to the store, Mary gave a drink to" --target " Mary" --foil " John" --to 23.3.v`,
		Args: between(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				x.Corrupted, args = args[2], args[:2]
			}
			return a.inside(cmd.Context(), args, o, x)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&x.To, "to", nil, "the receivers, with commas (default: logits)")
	f.BoolVar(&x.ThroughMLPs, "through-mlps", false,
		"let the feed-forward layers between compute anew; the heads stay frozen")
	against(cmd, &x.IDs)
	o.register(cmd)
	return a.asks(cmd)
}
