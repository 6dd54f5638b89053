package cli

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/docs"
)

func (a *app) docsCmd() *cobra.Command {
	folder, noBrowser := "", false
	cmd := &cobra.Command{
		Use:   "docs",
		Short: "Open the manual in the browser",
		Long: `Open the manual in the browser. Its pages are written into a folder, and need no network. The path of the first
one is printed.`,
		Example: `  lmkit docs
  lmkit docs --no-browser --out manual`,
		Args: between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if folder == "" {
				cache, err := os.UserCacheDir()
				if err != nil {
					return fmt.Errorf("there is no folder for the manual (%w): name one with --out", err)
				}
				folder = filepath.Join(cache, "lmkit", "docs")
			}
			folder, err := filepath.Abs(folder)
			if err != nil {
				return err
			}
			first, err := docs.Write(folder)
			if err != nil {
				return fmt.Errorf("write the manual: %w; name another folder with --out", err)
			}
			if err := printf(a.out, "%s\n", first); err != nil {
				return err
			}
			if !noBrowser {
				path := "/" + strings.TrimPrefix(filepath.ToSlash(first), "/") // of Windows, behind its drive
				show((&url.URL{Scheme: "file", Path: path}).String(), "")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&folder, "out", "", "write the pages into this `FOLDER` (default: one in the user's cache)")
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "open no browser: show the path")
	return cmd
}
