package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"lmkit.internal/kernels"
)

// notebookFlags say which JupyterLab is started, and how.
type notebookFlags struct {
	venv, checkout string
	noBrowser      bool
	port           int
}

func (a *app) notebookCmd() *cobra.Command {
	var o notebookFlags
	cmd := &cobra.Command{
		Use:   "notebook [FOLDER] [-- JUPYTER_FLAGS]",
		Short: "Open the notebooks in JupyterLab, set up on the way",
		Long: `Open a folder of notebooks (default: lmkit's own) in JupyterLab. What is missing is set up first: a
virtual environment of Python with JupyterLab, and the kernels of "lmkit kernel install" in it. The first time
that takes a few minutes and the network. JupyterLab listens on this machine alone, and asks for a token, which
is part of the address that it shows.`,
		Example: `  lmkit notebook
  lmkit notebook --no-browser --port 8890 .`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var extra []string
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				args, extra = args[:dash], args[dash:]
			}
			if len(args) > 1 {
				return usage("too many arguments; the usage is: %s", cmd.UseLine())
			}
			return a.notebook(cmd, o, args, extra)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.noBrowser, "no-browser", false, "open no browser: show the address")
	f.IntVar(&o.port, "port", 0, "of JupyterLab (default: 8888, or the next that is free)")
	f.StringVar(&o.venv, "venv", "", "set up this virtual environment of Python (default: one in the user's cache folder)")
	f.StringVar(&o.checkout, "checkout", "", "the folder of lmkit's module (default: found from this folder)")
	return cmd
}

func (a *app) notebook(cmd *cobra.Command, o notebookFlags, args, extra []string) error {
	if o.port < 0 || o.port > 65535 {
		return usage("--port is %d; ports go from 1 to 65535", o.port)
	}
	checkout, err := kernels.Checkout(o.checkout)
	if err != nil {
		return err
	}
	folder := filepath.Join(checkout, "notebooks")
	if len(args) > 0 {
		folder = args[0]
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s; name the folder of your notebooks", folder)
	}
	venv, err := kernels.DefaultVenv()
	if o.venv != "" {
		venv.Dir, err = filepath.Abs(o.venv)
	}
	if err != nil {
		return err
	}
	if err := venv.Setup(cmd.Context(), a.meter().hear); err != nil {
		return err
	}
	into, err := kernels.Folder(venv.Dir)
	if err != nil {
		return err
	}
	if err := a.installKernels(cmd, into, checkout); err != nil {
		return err
	}
	return a.jupyter(cmd.Context(), venv, o, append([]string{folder}, extra...))
}

// jupyter runs JupyterLab to its end.
func (a *app) jupyter(ctx context.Context, venv kernels.Venv, o notebookFlags, args []string) error {
	args = append([]string{"lab"}, args...)
	if o.noBrowser {
		args = append(args, "--no-browser")
	}
	if o.port > 0 {
		args = append(args, "--port="+strconv.Itoa(o.port))
	}
	if os.Geteuid() == 0 { // as in a container
		args = append(args, "--allow-root")
	}
	cmd := exec.CommandContext(ctx, venv.Program("jupyter"), args...)
	// Of several installations, this one's programs.
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(venv.Program("jupyter"))+string(os.PathListSeparator)+os.Getenv(
		"PATH"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.paper, a.err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	a.orderly.Store(true) // JupyterLab ends its kernels
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() == nil && errors.As(err, &exit) {
		return fmt.Errorf("JupyterLab ended with %w; its last lines above say why", err)
	}
	return err
}
