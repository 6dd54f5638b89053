package cli

import (
	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/serve"
)

func (a *app) dictionaryCmd() *cobra.Command {
	o, x := &insideFlags{}, inspect.Dictionary{}
	from := ""
	cmd := &cobra.Command{
		Use: `dictionary MODEL ["PROMPT"] --from FILE`,
		Long: `Ask which features of a sparse autoencoder a prediction goes by. FILE is its safetensors (W_enc, W_dec, b_enc,
b_dec, and threshold where there is one), or a folder with them and their cfg.json. An activation is the sum of the
features found in it, an offset, and an error that stays in the model: nothing changes. A value is what the difference
of the two logits would lose without the feature at the token, to first order; the JSON has what it does lose, too.

With --server, --from is the name of one that lmkit serve was started with (--dictionary).`,
		Example: `  lmkit inspect dictionary smollm2 "The capital of France is" --from sae/ --tap block.15.resid.post`,
		Args:    between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if from == "" {
				return usage("--from is missing: the file or folder of the sparse autoencoder")
			}
			if x.Top < 1 {
				return usage("--top is %d; it is how many features to show", x.Top)
			}
			if a.server.Address != "" {
				return a.served(cmd.Context(), args, o, "dictionary", serve.DictionaryOf{From: from, Tap: x.Tap, Top: x.Top})
			}
			if x.Of, err = inspect.ReadAutoencoder(from); err != nil {
				return err
			}
			return a.insideBy(cmd.Context(), args, o, func(*lm.Model) (explain.MatrixMethod, error) { return x, nil })
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "the sparse autoencoder: its `FILE` of safetensors, or its folder")
	f.StringVar(&x.Tap, "tap", "", "the activation that it is of (default: what its cfg.json says)")
	f.IntVar(&x.Top, "top", 10, "how many features to show, the largest")
	o.register(cmd)
	return a.asks(cmd)
}
