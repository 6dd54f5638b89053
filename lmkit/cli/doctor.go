package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lmkit.internal/kernels"
	"lmkit.internal/lmkit/backend"
)

func (a *app) doctorCmd() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine has for running models and notebooks, and what is missing",
		Long: `Show what this machine has for running models and notebooks, what is missing, and what would cure it.
Nothing is installed. The exit code is 1 when the engine that --engine names does not run.`,
		Example: `  lmkit doctor
  lmkit doctor --engine xla:cpu --json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := backend.Check(cmd.Context(), backend.Options{Name: a.engine})
			report.Items = append(report.Items, kernels.Check(cmd.Context())...)
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if err := a.diagnosis(report, asJSON); err != nil {
				return err
			}
			if !report.OK() {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (a *app) diagnosis(r backend.Report, asJSON bool) error {
	if asJSON {
		return writeJSON(a.out, struct {
			OK bool `json:"ok"`
			backend.Report
		}{r.OK(), r})
	}
	color := a.look().Color
	for _, item := range r.Items {
		status := fmt.Sprintf("%-7s", item.Status)
		if color {
			code := map[backend.Status]string{backend.Good: "32", backend.Warning: "33", backend.Missing: "31"}[item.Status]
			status = "\x1b[" + code + "m" + status + "\x1b[0m"
		}
		if err := printf(a.paper, "%s  %-13s  %s\n", status, item.Name, oneLine(item.Found)); err != nil {
			return err
		}
		if item.Cure != "" {
			if err := printf(a.paper, "%-7s  %-13s  cure: %s\n", "", "", oneLine(item.Cure)); err != nil {
				return err
			}
		}
	}
	switch {
	case !r.OK():
		return printf(a.out, "\nThe engine %s does not run here.\n", r.Wanted)
	case r.Wanted == r.Engine:
		return printf(a.out, "\nModels run on %s.\n", r.Engine)
	}
	return printf(a.out, "\nModels run on %s (%s was asked for).\n", r.Engine, r.Wanted)
}
