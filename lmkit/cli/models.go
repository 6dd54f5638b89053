package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/internal/hub"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/lm"
)

// depth is how many folders below the one that was named models are looked for.
const depth = 3

// listing is what is known of a model without opening its weights.
type listing struct {
	Dir       string   `json:"dir"`
	Name      string   `json:"name,omitempty"` // of one that is fetched by name
	Arch      string   `json:"architecture,omitempty"`
	Shape     string   `json:"shape,omitempty"`
	Params    int      `json:"parameters,omitempty"`
	Kind      string   `json:"kind,omitempty"` // how most of its numbers are stored
	Bytes     int64    `json:"bytes,omitempty"`
	Licence   string   `json:"licence,omitempty"`
	Tokenizer string   `json:"tokenizer,omitempty"`
	Step      int      `json:"step,omitempty"`
	ValidLoss *float64 `json:"valid_loss,omitempty"`
	Trouble   string   `json:"error,omitempty"`
}

func (a *app) modelsCmd() *cobra.Command {
	taps, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "models [DIR]",
		Short: "List the models in a folder, or what is inside one",
		Long: `List the models in a folder (default: runs) and in its folders, GGUF files among them: architecture,
parameters, tokenizer, and the best validation loss of their training. Without DIR, list the models that are at
hand under a name, too: the family of each, how many numbers it has, how most of them are stored, its size and
its licence. DIR may be one model's folder, file or name, too. With --taps, list the activations of this model
that can be looked at, replaced and differentiated by: B rows, T tokens, H heads, S tokens attended to, and the
width of the last axis.`,
		Example: `  lmkit models
  lmkit models runs/first --taps`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "runs"
			if len(args) > 0 {
				dir = args[0]
			} else if taps {
				return usage("--taps needs one model: its folder, file or name")
			}
			dir, err := a.find(cmd.Context(), dir)
			if err != nil {
				return err
			}
			if taps {
				return a.taps(dir, asJSON)
			}
			return a.models(dir, len(args) == 0, asJSON)
		},
	}
	cmd.Flags().BoolVar(&taps, "taps", false, "list the activations of the model in DIR")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// models lists what is in a folder, and, if all are wanted, what is at hand under a name.
func (a *app) models(dir string, all, asJSON bool) error {
	var named []listing
	if all {
		for _, m := range hub.List() {
			named = append(named, listing{Dir: m.Path, Name: m.Name, Arch: m.Family, Params: m.Numbers, Kind: m.Kind,
				Bytes: m.Bytes, Licence: m.Licence})
		}
	}
	found := []listing{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if path == dir {
				return err
			}
			return fs.SkipDir // not ours to read
		}
		if !e.IsDir() {
			if path == dir || strings.EqualFold(filepath.Ext(path), ".gguf") {
				found = append(found, look(path))
			}
			return nil
		}
		if _, err := os.Stat(filepath.Join(path, lm.ConfigFile)); err == nil {
			found = append(found, look(path))
			return fs.SkipDir
		}
		rel, _ := filepath.Rel(dir, path)
		if path != dir && (strings.HasPrefix(e.Name(), ".") || strings.Count(rel, string(filepath.Separator)) >= depth) {
			return fs.SkipDir
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && len(named) == 0 {
		return fmt.Errorf("there is no folder %s; name one that has models, train one (lmkit train -h) or fetch one "+
			"(lmkit pull -h)",
			dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var trouble error
	if len(found) == 1 && found[0].Dir == dir && found[0].Trouble != "" { // what was named, and not what was found in it
		trouble = fmt.Errorf("open model %s: %s", dir, found[0].Trouble)
	}
	if asJSON {
		return errors.Join(writeJSON(a.out, append(found, named...)), trouble)
	}
	if trouble != nil {
		return trouble
	}
	if len(found) == 0 && len(named) == 0 {
		return fmt.Errorf("there is no model in %s; name another folder, train one (lmkit train -h) or fetch one "+
			"(lmkit pull -h)", dir)
	}
	if len(named) > 0 {
		if err := a.atHand(named); err != nil || len(found) == 0 {
			return err
		}
		if err := printf(a.out, "\n"); err != nil {
			return err
		}
	}
	wide := len("model")
	for _, l := range found {
		wide = max(wide, printable.Columns(printable.Clean(l.Dir)))
	}
	if err := printf(a.out, "%-*s  %-11s  %12s  %-10s  %10s  %7s\n", wide, "model", "arch", "parameters", "tokenizer",
		"valid loss", "step"); err != nil {
		return err
	}
	for _, l := range found {
		loss, step := "-", "-"
		if l.ValidLoss != nil {
			loss = fmt.Sprintf("%.4f", *l.ValidLoss)
		}
		if l.Step > 0 {
			step = fmt.Sprint(l.Step)
		}
		row := fmt.Sprintf("%-11s  %12s  %-10s  %10s  %7s", l.Arch, thousands(l.Params), l.Tokenizer, loss, step)
		if l.Trouble != "" {
			row = "does not open: " + l.Trouble
		}
		if err := printf(a.out, "%s  %s\n", printable.PadRight(printable.Clean(l.Dir), wide), row); err != nil {
			return err
		}
	}
	return nil
}

// look reads all of a model but its weights.
func look(dir string) listing {
	l := listing{Dir: dir}
	c, err := lm.ReadConfig(dir)
	if err != nil {
		l.Trouble = oneLine(err.Error())
		return l
	}
	l.Arch, l.Shape, l.Params = c.Arch, shape(c), paramCount(c)
	if err := lm.CheckWeights(dir); err != nil {
		l.Trouble = oneLine(err.Error())
		return l
	}
	tok, err := lm.ReadTokenizer(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.Trouble = lm.TokenizerFile + ": " + oneLine(err.Error())
		return l
	}
	l.Tokenizer = tokenizerName(tok)
	if text, err := os.ReadFile(filepath.Join(dir, lm.TrainingFile)); err == nil {
		var t struct {
			Step      int      `json:"step"`
			ValidLoss *float64 `json:"valid_loss"`
		}
		if json.Unmarshal(text, &t) == nil { // free form: other programs write other things there
			l.Step, l.ValidLoss = t.Step, t.ValidLoss
		}
	}
	return l
}

// taps lists the activations of a model.
func (a *app) taps(dir string, asJSON bool) error {
	c, err := lm.ReadConfig(dir)
	if err != nil {
		return fmt.Errorf("open model %s: %w; lmkit models lists the models under runs", dir, err)
	}
	type tap struct {
		Name  string `json:"name"`
		Axes  string `json:"axes"`
		Width int    `json:"width,omitempty"`
	}
	taps := []tap{}
	wide := 0
	for _, t := range c.Taps() {
		axes, width := strings.Join(strings.Split(t.Axes, ""), ", "), 0
		if rest, ok := strings.CutSuffix(axes, "."); ok {
			width = t.Sizes[len(t.Sizes)-1]
			axes = rest + fmt.Sprint(width)
		}
		taps = append(taps, tap{t.Name, "[" + axes + "]", width})
		wide = max(wide, len(t.Name))
	}
	if asJSON {
		return writeJSON(a.out, taps)
	}
	for _, t := range taps {
		if err := printf(a.out, "%-*s  %s\n", wide, t.Name, t.Axes); err != nil {
			return err
		}
	}
	return nil
}
