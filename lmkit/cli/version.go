package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
)

// version is that of this source: CHANGELOG.md begins with it.
const version = "0.1.0"

// built says what this program was built from, and what it computes with.
type built struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"` // of the source, where the Go command knew it
	Time     string `json:"time,omitempty"`   // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	System   string `json:"system"`
	GoMLX    string `json:"gomlx,omitempty"`
	Engine   string `json:"engine,omitempty"` // that opens now, without the network; "": none does
	Plugin   string `json:"plugin,omitempty"` // the file of the engine's PJRT plugin
	Note     string `json:"note,omitempty"`   // why it is not the engine hoped for, or why none opens
}

func (a *app) versionCmd() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version, what it was built from, and the engine that it runs on",
		Long: `Show the version of this program, the commit and the Go that it was built from, the engine that computes, and
the file of its plugin. Nothing is fetched. CHANGELOG.md says what each version brought.`,
		Example: `  lmkit version
  lmkit version --json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := buildOf(debug.ReadBuildInfo())
			e, err := backend.Open(cmd.Context(), backend.Options{Name: a.engine, Offline: true})
			switch {
			case cmd.Context().Err() != nil:
				return cmd.Context().Err()
			case err != nil:
				b.Note = oneLine(err.Error())
			default:
				b.Engine, b.Plugin, b.Note = e.Kind, e.Plugin, e.Note
			}
			if asJSON {
				return writeJSON(a.out, b)
			}
			return a.version(b)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// buildOf reads what the Go command wrote into the program; without it, what is known all the same.
func buildOf(info *debug.BuildInfo, ok bool) built {
	b := built{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/gomlx/gomlx" {
			b.GoMLX = d.Version
		}
	}
	return b
}

func (a *app) version(b built) error {
	source := ""
	if b.Commit != "" {
		source = " (commit " + b.Commit[:min(12, len(b.Commit))] + " of " + b.Time
		if b.Modified {
			source += ", and changes that are not committed"
		}
		source += ")"
	}
	built := b.Go + " " + b.System
	if b.GoMLX != "" {
		built += ", GoMLX " + b.GoMLX
	}
	rows := [][2]string{{"lmkit", b.Version + source}, {"built", built}, {"engine", b.Engine}, {"plugin", b.Plugin},
		{"note", b.Note}}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if err := printf(a.out, "%-7s %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
