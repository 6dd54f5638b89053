package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/internal/compiled"
)

func (a *app) cacheCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Show how many compiled programs are kept on disk; \"lmkit cache clear\" removes them",
		Long: `Show where the programs that XLA compiled are kept, how many they are and what they take;
"lmkit cache clear" removes them. A later process loads them in milliseconds where compiling takes
seconds. They take 1 GB at most: what was not loaded for longest goes first.
LMKIT_CACHE names another folder, or is "off". Nothing else is lost with them but time.`,
		Example: `  lmkit cache
  lmkit cache clear`,
		Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, err := compiled.Open()
			if errors.Is(err, compiled.ErrOff) {
				return printf(a.out, "no compiled programs are kept: %s\n", err)
			}
			if err != nil {
				return err
			}
			s, err := c.Stat()
			if err != nil {
				return err
			}
			return printf(a.out, "%s in %s\n", s, c.Folder)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "clear",
		Short:   "Remove the compiled programs that are kept on disk",
		Example: "  lmkit cache clear",
		Args:    between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, err := compiled.Open()
			if errors.Is(err, compiled.ErrOff) {
				return usage("%s: set it to the folder that is to be emptied", err)
			}
			if err != nil {
				return err
			}
			s, err := c.Clear()
			if err != nil {
				return err
			}
			return printf(a.out, "removed %s from %s\n", s, c.Folder)
		},
	})
	return cmd
}
