package cli

import (
	"os"

	"github.com/spf13/cobra"
)

// asks adds the flags of a command that can ask a running server in place of opening a model here.
func (a *app) asks(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&a.server.Address, "server", "", "ask the `lmkit serve` that runs at this `URL`, such as "+
		"http://127.0.0.1:8017: MODEL is then one of its models")
	f.StringVar(&a.server.Token, "server-token", "", "what that server asks for (better: the variable LMKIT_TOKEN)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !f.Changed("server") {
			if f.Changed("server-token") {
				return usage("--server-token belongs to --server")
			}
			return nil
		}
		for _, here := range []string{"engine", "weights", "precision"} {
			if cmd.Flag(here).Changed {
				return usage("--%s is about a model that is opened here; that of a server is chosen where lmkit serve starts", here)
			}
		}
		if a.server.Token == "" {
			a.server.Token = os.Getenv("LMKIT_TOKEN")
		}
		if err := a.server.Validate(); err != nil {
			return usage("--server: %w", err)
		}
		return nil
	}
	return cmd
}

// opensHere is the error of what cannot be asked of a server.
func (a *app) opensHere(what string) error {
	return usage("%s takes a model that is opened here: leave --server out", what)
}
