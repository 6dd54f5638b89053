package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"lmkit.internal/kernels"
)

func (a *app) kernelCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kernel",
		Short: "Install and remove the Jupyter kernels",
		Long: `Install and remove the Jupyter kernels: Go notebooks with lmkit imported, and %lmkit as a command in cells.
"lmkit notebook" does it all at once; this is for a Jupyter that you already have.`,
		Example: `  lmkit kernel list`,
		Args:    between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q; lmkit kernel -h lists the commands", "kernel "+args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.kernelInstallCmd(), a.kernelListCmd(), a.kernelUninstallCmd(), a.kernelRunCmd())
	return cmd
}

const venvHelp = "in this virtual environment of Python (default: for the user, in every Jupyter)"

func (a *app) kernelInstallCmd() *cobra.Command {
	venv, checkout := "", ""
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install a kernel for each engine that runs here, or for --engine",
		Long: `Install a kernel for each engine that runs here, or for --engine alone: build gonb, goimports and gopls
in their pinned versions, a copy of this command, and all that cells import. The first time it takes a minute or
two and the network; cells then need neither. Installing again brings everything up to date.`,
		Example: `  lmkit kernel install
  lmkit kernel install --venv ~/venv --engine xla:cpu`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder, err := kernels.Folder(venv)
			if err != nil {
				return err
			}
			return a.installKernels(cmd, folder, checkout)
		},
	}
	cmd.Flags().StringVar(&venv, "venv", "", venvHelp)
	cmd.Flags().StringVar(&checkout, "checkout", "", "the folder of lmkit's module (default: found from this folder)")
	return cmd
}

func (a *app) installKernels(cmd *cobra.Command, folder, checkout string) error {
	m := a.meter()
	defer m.hide()
	all, err := kernels.Install(cmd.Context(), kernels.Installation{Folder: folder, Checkout: checkout, Engine: a.engine,
		Progress: m.hear})
	if err != nil {
		return err
	}
	for _, k := range all {
		a.note("the kernel %q is in %s", k.Display, k.Dir)
	}
	return nil
}

func (a *app) kernelListCmd() *cobra.Command {
	venv, asJSON := "", false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the installed kernels, and whether they run",
		Example: `  lmkit kernel list
  lmkit kernel list --json`,
		Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			folder, err := kernels.Folder(venv)
			if err != nil {
				return err
			}
			all, err := kernels.List(folder)
			if err != nil {
				return err
			}
			if asJSON {
				if all == nil {
					all = []kernels.Kernel{}
				}
				return writeJSON(a.out, all)
			}
			if len(all) == 0 {
				a.note("no kernel of lmkit is in %s; lmkit kernel install installs them", filepath.Join(folder, "kernels"))
			}
			for _, k := range all {
				state := "ok"
				if k.Problem != "" {
					state = oneLine(k.Problem)
				}
				if err := printf(a.out, "%-10s  %-22s  %s  %s\n", oneLine(k.Name), oneLine(k.Display), oneLine(k.Dir),
					state); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&venv, "venv", "", venvHelp)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (a *app) kernelUninstallCmd() *cobra.Command {
	venv := ""
	cmd := &cobra.Command{
		Use:     "uninstall",
		Short:   "Remove everything that install made",
		Example: `  lmkit kernel uninstall`,
		Args:    between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			folder, err := kernels.Folder(venv)
			if err != nil {
				return err
			}
			removed, err := kernels.Uninstall(folder)
			for _, dir := range removed {
				a.note("removed %s", dir)
			}
			if err == nil && len(removed) == 0 {
				a.note("no kernel of lmkit is in %s", filepath.Join(folder, "kernels"))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&venv, "venv", "", venvHelp)
	return cmd
}

// kernelRunCmd is what kernel.json starts.
func (a *app) kernelRunCmd() *cobra.Command {
	var s kernels.Settings
	cmd := &cobra.Command{
		Use:     "run CONNECTION_FILE",
		Short:   "Run a kernel; Jupyter does it",
		Hidden:  true,
		Example: `  lmkit kernel run connection.json`,
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Engine = a.engine
			a.orderly.Store(true) // Jupyter ends it
			return s.Run(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.Checkout, "checkout", "", "the folder of lmkit's module")
	f.StringVar(&s.Plugin, "plugin", "", "the PJRT plugin")
	f.StringVar(&s.Go, "go", "", "the go program")
	f.StringVar(&s.Tools, "tools", "", "the folder of gonb, goimports and gopls")
	return cmd
}
