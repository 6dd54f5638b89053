package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/lm"
)

func (a *app) methodsCmd() *cobra.Command {
	asJSON, matrices := false, false
	cmd := &cobra.Command{
		Use:   "methods",
		Short: "List the explanation methods: what they need, cost and promise, and how well they find true causes",
		Long: `List the explanation methods. Needs: any model (it only asks what the model says of altered texts),
gradients, or attention. Cost: rows forward (F) and backward (B), for M features, T tokens and one baseline.
Axioms: what holds for any model. Found: how much of the planted causes the method ranks first in Transformers
and in LSTMs, where lmkit leaderboard has measured it; - where it does not apply.`,
		Example: `  lmkit methods
  lmkit methods --json
  lmkit methods --matrices`,
		Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			switch {
			case asJSON && matrices:
				return writeJSON(a.out, lmkit.Matrices())
			case asJSON:
				return writeJSON(a.out, lmkit.Methods())
			case matrices:
				return a.listMatrices()
			}
			return a.listMethods()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().BoolVar(&matrices, "matrices", false, "those that score pairs (lmkit explain --matrix)")
	return cmd
}

func (a *app) listMatrices() error {
	w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
	if err := printf(w, "matrix\tonly for\tcost\tpaper\trows by columns\n"); err != nil {
		return err
	}
	for _, m := range lmkit.Matrices() {
		if err := printf(w, "%s\t%s\t%s\t%s\t%s\n", m.Name, onlyFor(m.Arch), m.Cost, m.Paper, m.About); err != nil {
			return err
		}
	}
	return w.Flush()
}

// onlyFor names the one architecture that a method explains.
func onlyFor(arch string) string {
	return map[string]string{"": "-", lm.LSTM: "LSTM", lm.Transformer: "Transformer"}[arch]
}

func (a *app) listMethods() error {
	w := tabwriter.NewWriter(a.out, 2, 0, 2, ' ', 0)
	if err := printf(w, "method\tneeds\tonly for\tfound: Tr.\tLSTM\taxioms\tcost\tpaper\n"); err != nil {
		return err
	}
	for _, m := range lmkit.Methods() {
		axioms := strings.Join(m.Axioms, ", ")
		if axioms == "" {
			axioms = "-"
		}
		if err := printf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.Needs, onlyFor(m.Arch), found(m, lm.Transformer),
			found(m, lm.LSTM), axioms, m.Cost, m.Paper); err != nil {
			return err
		}
	}
	return w.Flush()
}

func found(m lmkit.MethodInfo, arch string) string {
	if score, ok := m.Found[arch]; ok {
		return fmt.Sprintf("%.2f", score)
	}
	return "-"
}
