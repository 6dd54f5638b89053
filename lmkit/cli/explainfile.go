package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/batch"
)

// fileFlags are those of a file of items.
type fileFlags struct {
	batch.Source
	out string
}

func (o *fileFlags) register(f *pflag.FlagSet) {
	f.StringVar(&o.File, "file", "", "explain each item of this `FILE`: .jsonl, .csv, .tsv, .parquet with a column "+
		"prompt (or text), or lines of text")
	f.StringVar(&o.Template, "template", "", `with --file, the prompt made of columns: "Review: {text}\nSentiment:"`)
	f.StringVar(&o.out, "out", "", "with --file, the folder `DIR` for the results; a run that was stopped goes on there")
}

// checkFile says what of the other flags does not go with a file of items.
func (o *explainFlags) checkFile(args []string) error {
	switch {
	case o.file.File == "":
		return usage("--template and --out belong to --file")
	case len(args) > 1:
		return usage("both a prompt and --file were given; give one")
	case o.ids != "" || o.chat.messages != "":
		return usage("the items of --file have their own prompts; leave --ids and --messages out")
	case o.outputs != (outputs{}):
		return usage("--json, --html, --svg, --png and --strict are about one explanation; the results of --file are a " +
			"folder, of which lmkit summarize makes a table, JSON or a page")
	case o.file.out == "" && !o.print:
		return usage("--file needs --out: the folder for the results")
	case !o.chat.chat && (o.chat.system != "" || o.chat.reply != ""):
		return usage("--system and --reply belong to --chat")
	}
	o.file.Chat, o.file.System, o.file.Reply = o.chat.chat, o.chat.system, o.chat.reply
	return nil
}

// explainFile explains the items of a file into a folder.
func (a *app) explainFile(ctx context.Context, model string, o *explainFlags) error {
	plan, err := batch.Open(ctx, batch.Job{Source: o.file.Source, Request: o.Request, Model: model, Out: o.file.out})
	if err != nil {
		return err
	}
	if n := plan.Rows - plan.Items; n > 0 {
		a.note("%s of %s no items, and left out; the first: %s", thousands(n), count(plan.Rows, "1 row is", "rows are"),
			plan.Broken)
	}
	m, err := a.openModel(ctx, model, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	done, err := plan.Explain(ctx, m)
	a.meter().hide()
	if err != nil {
		if ctx.Err() != nil {
			a.note("what was explained is kept in %s; the same command goes on", o.file.out)
		}
		return err
	}
	return a.sayExplained(done, o.file.out)
}

// sayExplained says what a folder of results holds.
func (a *app) sayExplained(m batch.Manifest, dir string) error {
	err := printf(a.out, "%s of %s explained in %s\nlmkit summarize %s says which words matter\n",
		thousands(m.Explained), count(m.Rows, "1 item is", "items are"), dir, dir)
	if err != nil || m.Failed == 0 {
		return err
	}
	for f, err := range batch.Failures(dir) {
		if err != nil {
			return err
		}
		return fmt.Errorf("%d of %s no explanation, and %s says why; the first: %s", m.Failed,
			count(m.Rows, "1 item has", "items have"), filepath.Join(dir, "failures-*.jsonl"), f)
	}
	return nil
}
