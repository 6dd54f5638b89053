package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/inspect"
)

func (a *app) headsCmd() *cobra.Command {
	o, x, reads := &insideFlags{}, inspect.Heads{}, inspect.Reads{}
	cmd := &cobra.Command{
		Use: `heads MODEL ["TEXT"]`,
		Long: `Without a text: find heads by what they do on random tokens that are repeated once. A cell says how much of its
attention a head gives to what came after the same token the last time (induction), to that token (duplicate), to the
token before (previous), to itself (current) or to the first one (first); and by the weights alone, whether what it
reads makes the same token likelier (copying), and whether it looks for tokens like its own (matching).

With a text: what each head reads in it.`,
		Example: `  lmkit inspect heads smollm2 --png heads.png
  lmkit inspect heads smollm2 --show copying
  lmkit inspect heads smollm2 "When Mary and John went to the store, John gave a drink to"`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 || o.ids != "" || o.chat.asked() {
				return a.inside(cmd.Context(), args, o, reads)
			}
			if err := o.outputs.check(args[:1]); err != nil {
				return err
			}
			if a.server.Address != "" {
				return a.study(cmd.Context(), args[0], "heads", x, o.outputs)
			}
			m, err := a.openModel(cmd.Context(), args[0], backend.Options{})
			if err != nil {
				return err
			}
			defer m.Close()
			found, err := x.Measure(cmd.Context(), m)
			a.meter().hide()
			if err != nil {
				return err
			}
			return a.showMatrix(found, o.outputs)
		},
	}
	f := cmd.Flags()
	f.StringVar(&x.Show, "show", inspect.Induction, "what the values are: "+
		strings.Join(append(append([]string{}, inspect.Detectors...), inspect.Copying, inspect.Matching), ", "))
	f.IntVar(&x.Tokens, "tokens", 0, "how many random tokens are repeated (default: 50, or as many as can be read twice)")
	f.IntVar(&x.Texts, "texts", 0, "how many such texts (default: 16)")
	f.IntVar(&reads.At, "at", 0, "with a text: the token that reads, counted from 1 (default: the last)")
	o.register(cmd)
	return a.asks(cmd)
}
