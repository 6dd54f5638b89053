package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

type evalFlags struct {
	source
	part         string
	labels       []string
	template     string
	chat         chatFlags
	rows, length int
	json         bool
}

func (a *app) evalCmd() *cobra.Command {
	var o evalFlags
	cmd := &cobra.Command{
		Use:   "eval DIR [--data TEXT]",
		Short: "Measure how well a model predicts a text",
		Long: `Measure how well a model predicts a text: loss in nats a token, perplexity, bits per byte.

--data is ` + dataHelp + `.
Without --data it is the text that the run in DIR was validated on.

With --answer, and of a run that learned answers, it is measured how right the model's answers are. Where the
examples' answers are few labels, the model's answer is the label that it finds most likely: accuracy with the
interval that holds the true one in 95 of 100 samples, F1, which was said for which, and the worst mistakes. Else
the answer is what the model writes: how many are right to the letter, BLEU and chrF as sacreBLEU computes them.
With --chat a person says the text to the model, and its answer is always what it writes.`,
		Example: `  lmkit eval runs/first
  lmkit eval runs/first --data grammar --part test --json
  lmkit eval runs/sentiment --data test.csv --answer label --prompt review
  lmkit eval smollm2 --data pairs.txt --answer "=>" --chat --template "Translate into English: {text}"`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.eval(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Data, "data", "", "the text (see above)")
	f.StringVar(&o.Answer, "answer", "", "measure answers: the `MARK` before them, such as \"=>\", or their column in a "+
		"table (default: as in the run)")
	f.StringVar(&o.Prompt, "prompt", "", "with --answer, the `COLUMN` of the texts (default: as in the run)")
	f.StringSliceVar(&o.labels, "labels", nil, "with --answer, what to choose from, with commas between (default: the "+
		"examples' answers, if they are few)")
	f.StringVar(&o.template, "template", "", "with --answer, what the model is asked, made of columns, or of the text "+
		"before the mark: \"Translate into English: {text}\"")
	o.chat.register(f)
	f.StringVar(&o.part, "part", "",
		"train, valid or test (default: test of a text that has one, else valid, else all of it)")
	f.IntVar(&o.rows, "rows", 0, "rows of a batch (default: as in the run's validation, else up to 12 as memory "+
		"allows)")
	f.IntVar(&o.length, "length", 0, "tokens of a row (default: as in the run, else the model's context, but 1,024 "+
		"at most)")
	f.BoolVar(&o.json, "json", false, "write JSON")
	return cmd
}

func (a *app) eval(ctx context.Context, dir string, o evalFlags) error {
	dir, err := a.find(ctx, dir)
	if err != nil {
		return err
	}
	if asked, err := o.asksAnswers(dir); err != nil {
		return err
	} else if asked {
		return a.evalAnswers(ctx, dir, o)
	}
	own := o.Data == ""
	if own {
		if o.source, err = kept(dir); errors.Is(err, fs.ErrNotExist) {
			return usage("%s does not say what it was validated on; name a text with --data", dir)
		} else if err != nil {
			return err
		}
	}
	var docs []corpus.Document
	if !o.encoded() {
		a.reading("reading " + o.Data)
		c, err := a.load(ctx, o.source, own)
		a.meter().hide()
		if err != nil {
			return err
		}
		if docs, err = part(c, o.part, own); err != nil {
			return err
		}
	}
	m, err := a.openModel(ctx, dir, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	if m.Tokenizer() == nil {
		return fmt.Errorf("the model in %s has no %s, so it reads no text; copy the one it was trained with there",
			dir, lm.TokenizerFile)
	}
	a.reading("encoding " + o.Data)
	stream, perToken, err := o.stream(m.Tokenizer(), docs)
	a.meter().hide()
	if err != nil {
		return err
	}
	batches, err := o.batches(dir, m.Config(), stream)
	if err != nil {
		return err
	}
	e, err := train.Evaluate(ctx, m, batches, perToken)
	a.meter().hide()
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(a.out, e)
	}
	bits := "-"
	if e.BitsPerByte > 0 {
		bits = fmt.Sprintf("%.4f", e.BitsPerByte)
	}
	if e.Unknown > 0 {
		bits = "not known, as some of the text is unknown"
	}
	err = printf(a.out, "loss           %.4f nats a token\nperplexity     %.3f\nbits per byte  %s\ntokens         %s\n",
		e.Loss, e.Perplexity, bits, thousands(e.Tokens))
	if e.Unknown > 0 && err == nil {
		err = printf(a.out,
			"unknown        %.2f %% of the tokens are words that the model does not know, and reads as one and the same\n",
			100*e.Unknown)
	}
	return err
}

// stream is the tokens to measure on: of documents, or from a folder of tokens.
func (o evalFlags) stream(tok token.Tokenizer, docs []corpus.Document) (corpus.Stream, float64, error) {
	if !o.encoded() {
		return encode(tok, docs)
	}
	t, err := o.open(tok)
	if err != nil {
		return nil, 0, err
	}
	s, err := t.part(o.part)
	return s, t.perToken, err
}

// part is the documents to measure on.
func part(c *corpus.Corpus, name string, own bool) ([]corpus.Document, error) {
	parts := map[string][]corpus.Document{"train": c.Train, "valid": c.Valid, "test": c.Test}
	if name != "" {
		docs, known := parts[name]
		if !known {
			return nil, usage("there is no part %q; there are train, valid and test", name)
		}
		if len(docs) == 0 {
			return nil, fmt.Errorf("%s has no part %s", c.Name, name)
		}
		return docs, nil
	}
	order := []string{"test", "valid", "train"}
	if own {
		order = []string{"valid", "test", "train"}
	}
	for _, name := range order {
		if len(parts[name]) > 0 {
			return parts[name], nil
		}
	}
	return nil, fmt.Errorf("%s has no text", c.Name)
}

// batches are those of the run's own validation, where there was one, so that its numbers come out again.
func (o evalFlags) batches(dir string, m lm.Config, stream corpus.Stream) (corpus.Batches, error) {
	settings := train.Config{}.WithDefaults(m)
	if o.length != 0 {
		settings.Length = o.length
	}
	settings.ValidRows = lm.PredictedRows(m, settings.ValidRows, settings.Length)
	if run, err := train.Read(dir); err == nil {
		settings = run.Settings
	}
	rows, length := settings.ValidRows, settings.Length
	if o.rows != 0 {
		rows = o.rows
	}
	if o.length != 0 {
		length = o.length
	}
	if m.Recurrent() {
		return corpus.SweepCarried(stream, rows, length)
	}
	return corpus.Sweep(stream, rows, length)
}

func writeJSON(w interface{ Write([]byte) (int, error) }, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
