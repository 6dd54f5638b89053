package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/token"
	"lmkit.internal/lmkit/train"
)

func (a *app) trainCmd() *cobra.Command {
	r := &recipe{}
	cmd := &cobra.Command{
		Use:   "train --data TEXT [flags]",
		Short: "Train a model on text, into a folder",
		Long: `Train a Transformer or an LSTM on text. A line tells of each event; the folder has the best model by validation
loss, events.jsonl, loss.svg, and a checkpoint. Ctrl-C saves and stops; --resume goes on from there, to the
same numbers as if there had been no break.

--data is ` + dataHelp + `.
TASK is marker, pair, recall, agreement or shortcut: texts whose true cause is known.
The last tenth of your own text is held out for validation, unless --valid names another text.

With --answer "=>" each line is a text and, after the mark, its answer: the answer alone is learned. --data may
then be a table, too (.csv, .tsv, .jsonl, .parquet): --answer names the column of the answers, --prompt that of
the texts, and the model reads "TEXT => ANSWER". A tenth of the lines, at random, is held out.`,
		Example: `  lmkit train --data grammar --layers 2 --width 64 --steps 400 --out runs/first
  lmkit train --data grammar:2000 --arch lstm --width 64 --epochs 2 --out runs/lstm
  lmkit train --data reviews.csv --answer label --prompt review --out runs/sentiment
  lmkit train --data grammar --from runs/first --steps 100 --out runs/second
  lmkit train --resume runs/first`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.flags = cmd.Flags(); r.resume != "" {
				return a.resumeRun(cmd.Context(), r)
			}
			return a.startRun(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	small := train.Small(lm.Config{})
	f.SortFlags = false
	f.StringVar(&r.Data, "data", "", "the `TEXT` to learn from (see above)")
	f.StringVar(&r.Valid, "valid", "", "a `TEXT` of its own to validate on")
	f.StringVar(&r.Answer, "answer", "", "learn the answers alone: the `MARK` before them, or their column (see above)")
	f.StringVar(&r.Prompt, "prompt", "", "with --answer, the `COLUMN` of the texts (default: prompt, text, sentence or "+
		"question)")
	f.StringVar(&r.out, "out", "", "the folder `DIR` to write (default: runs/TEXT-ARCH)")
	f.StringVar(&r.resume, "resume", "", "the folder `DIR` of a run to go on with; --steps gives it a later end")
	f.BoolVar(&r.json, "json", false, "write an event a line as JSON, as in events.jsonl, and last how the run ended")
	f.StringVar(&r.arch, "arch", lm.Transformer, "transformer (GPT-2's shape), llama (a transformer of Llama's) or lstm")
	f.StringVar(&r.from, "from", "",
		"the `MODEL`, a folder, a GGUF file or a name, to go on from, with its shape and its tokenizer")
	f.StringVar(&r.tokenizer, "tokenizer", "",
		"char, word or bpe[:SIZE] (default: word for answers and for built-in texts but opticks, else char)")
	f.IntVar(&r.words.MinCount, "min-count", 0, "word: words that are rarer become <unk>")
	f.IntVar(&r.words.MaxSize, "max-vocab", 0, "word: so many words at most (default: no limit)")
	f.IntVar(&r.model.Layers, "layers", small.Layers, "layers")
	f.IntVar(&r.model.Width, "width", small.Width, "width of the embedding")
	f.IntVar(&r.model.Heads, "heads", small.Heads, "transformer: attention heads; the width must be a multiple")
	f.IntVar(&r.model.KVHeads, "kv-heads", 0,
		"llama: heads of keys and values, each shared by equally many heads (default: as many as heads)")
	f.IntVar(&r.model.Context, "context", small.Context, "transformer: the longest text it can read, in tokens")
	f.IntVar(&r.model.Hidden, "hidden", 0, "lstm: width of the hidden state (default: the width)")
	f.BoolVar(&r.model.Tied, "tied", false, "use the embedding as output matrix, too (default: transformer yes, lstm no)")
	f.Float64Var(&r.model.Dropout, "dropout", 0, "share of activations dropped in training")
	f.IntVar(&r.config.Steps, "steps", 0, "steps to train (default: transformer 1000)")
	f.IntVar(&r.config.Epochs, "epochs", 0, "or: passes over the text (default: lstm 1, answers 10)")
	f.IntVar(&r.config.Rows, "rows", 0, "rows of a batch (default: transformer 12, lstm 20)")
	f.IntVar(&r.config.ValidRows, "valid-rows", 0, "rows of a batch in validation (default: as --rows)")
	f.IntVar(&r.config.Length, "length", 0, "tokens of a row (default: transformer the context, 1,024 at most; lstm 35)")
	f.StringVar(&r.config.Optimizer, "optimizer", "", "adam or adamw (default: transformer adamw, lstm adam)")
	f.Float64Var(&r.config.LearningRate, "lr", 0,
		"learning rate (default: transformer 0.002, lstm 0.001, and 0.005 of answers)")
	f.Float64Var(&r.config.WeightDecay, "weight-decay", 0, "weight decay (default: transformer 0.1, lstm 0)")
	f.Float64Var(&r.config.Clip, "clip", 0,
		"largest norm of the gradient (default: transformer 1, lstm 0.25, of answers 1)")
	f.StringVar(&r.config.Schedule, "schedule", "",
		"of the learning rate: constant, step or cosine (default: transformer cosine, lstm step)")
	f.IntVar(&r.config.Warmup, "warmup", 0,
		"steps over which the learning rate rises (default: transformer 100 or a tenth of the run)")
	f.Float64Var(&r.config.Hide, "hide", 0,
		"word: share of the words hidden as <unk> in training, if the text has none (default 0.05; 0 for none)")
	f.IntVar(&r.config.LogEvery, "log-every", 0, "steps from line to line (default: a twentieth of the run)")
	f.IntVar(&r.config.EvalEvery, "eval-every", 0,
		"steps from validation to validation (default: transformer a tenth of the run, lstm an epoch)")
	f.IntVar(&r.config.SaveEvery, "save-every", 0, "steps from checkpoint to checkpoint, besides those at validations")
	f.IntVar(&r.config.Keep, "keep", 0,
		"keep so many models on the way, as lmkit inspect influence reads them (default: none)")
	f.IntVar(&r.config.Devices, "devices", 0,
		"devices to spread each batch over, which must divide its rows (default: as many GPUs as there are, or "+
			"the processor)")
	f.IntVar(&r.config.Patience, "patience", 0,
		"stop after so many validations in a row without a better one (default: never)")
	f.Uint64Var(&r.config.Seed, "seed", 0, "of the first weights, the order of the text, and dropout")
	return cmd
}

// startRun begins a new run.
func (a *app) startRun(ctx context.Context, r *recipe) error {
	if err := r.resolve(ctx, a); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	spec, err := tokenizerSpec(r.tokenizer, r.words)
	if err != nil {
		return err
	}
	text, err := r.absolute()
	if err != nil {
		return err
	}
	if r.out == "" {
		r.out = filepath.Join("runs", text.name()+"-"+r.arch)
	}
	if err := free(r.out); err != nil {
		return err
	}
	if text.Answer == "" && text.encoded() && r.flags.Changed("tokenizer") {
		return usage("--tokenizer does not go with a folder of tokens, which has its own")
	}
	old, err := r.oldTokenizer()
	if err != nil {
		return err
	}
	read, err := a.read(ctx, text, old, spec)
	if err != nil {
		return err
	}
	if r.from == "" {
		r.model.Vocab = read.tok.Size()
		r.holdAnswers(read.answers)
	}
	if r.config, err = r.settings(read); err != nil {
		return err
	}
	engine, err := a.openEngine(ctx, backend.Options{Long: long(r.model, r.config, read)})
	if err != nil {
		return err
	}
	batches, err := read.data(r.model, r.config)
	if err != nil {
		return err
	}
	m, err := r.first(engine, read.tok)
	if err != nil {
		return err
	}
	params := m.Params()
	if batches.Source, err = json.MarshalIndent(text, "", "  "); err != nil {
		m.Close()
		return err
	}
	if err := ctx.Err(); err != nil {
		m.Close()
		return err
	}
	run, err := train.Start(m, batches, r.config, r.out)
	m.Close() // the run has weights of its own
	if errors.Is(err, train.ErrFolder) {
		return fmt.Errorf("%w; choose another with --out", err)
	}
	if err != nil {
		return err
	}
	a.note("%s of %s parameters (%s); %s to learn from (%s); on %s; into %s",
		r.arch, thousands(params), shape(r.model),
		tokens(read.tokens()), tokenizerName(read.tok), engine.Kind, r.out)
	if read.answers != nil {
		a.sayAnswers(read.answers, r.model, read.tok)
	}
	return a.follow(ctx, run, r.out, r.json)
}

// longRow is how many tokens a row has, where a model could read more and nothing else is said.
const longRow = 128

// free returns an error if a folder cannot take a new run.
func free(dir string) error {
	err := train.Vacant(dir)
	var taken *train.Occupied
	switch {
	case errors.As(err, &taken) && taken.Run:
		return fmt.Errorf("%s already holds a run; go on with it by lmkit train --resume %s, "+
			"or choose another folder with --out", dir, dir)
	case errors.As(err, &taken):
		return fmt.Errorf("%s already holds %s; choose another folder with --out", dir, taken.What)
	}
	return err
}

// resumeRun goes on with a run.
func (a *app) resumeRun(ctx context.Context, r *recipe) error {
	dir := r.resume
	var others []string
	r.flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains([]string{"resume", "data", "valid", "engine", "json", "steps"}, f.Name) {
			others = append(others, "--"+f.Name)
		}
	})
	if r.config.Steps < 0 {
		return usage("--steps is %d; it is the number of steps that the run is to have in all", r.config.Steps)
	}
	if others != nil {
		return usage("%s cannot be changed in a run that goes on; leave it away", strings.Join(others, ", "))
	}
	stored, err := train.Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no run in %s to go on with; lmkit models lists the models under runs", dir)
	}
	if err != nil {
		return err
	}
	text := r.source
	if text.Data == "" {
		if text, err = kept(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s does not say what it was trained on; say it with --data", dir)
		}
	}
	if err != nil {
		return err
	}
	tok, err := lm.ReadTokenizer(dir)
	if err != nil {
		return fmt.Errorf("read run %s: %w", dir, err)
	}
	read, err := a.read(ctx, text, tok, token.Spec{})
	if err != nil {
		return err
	}
	batches, err := read.data(stored.Model, stored.Settings)
	if err != nil {
		return err
	}
	engine, err := a.openEngine(ctx, backend.Options{Long: long(stored.Model, stored.Settings, read)})
	if err != nil {
		return err
	}
	run, err := train.Resume(engine, dir, batches, r.config.Steps)
	if err != nil {
		return err
	}
	a.note("going on with %s after step %d of %d", dir, run.Step(), run.Config().Steps)
	return a.follow(ctx, run, dir, r.json)
}

// follow trains, and tells of it.
func (a *app) follow(ctx context.Context, run *train.Run, dir string, asJSON bool) (err error) {
	a.orderly.Store(true) // it saves
	defer a.orderly.Store(false)
	defer func() { err = errors.Join(err, run.Close()) }()
	if run.Done() {
		a.note("the run in %s has come to its end, at step %d", dir, run.Step())
		return a.ended(run, dir, train.Ended, asJSON)
	}
	heard := make(chan struct{})
	defer context.AfterFunc(ctx, func() { // a step of a large model takes seconds, and so does saving it
		a.note("the run ends with the step that it is at, and is saved; a second Ctrl-C ends it now")
		close(heard)
	})()
	b := a.meter()
	defer b.hide()
	steps := int64(run.Config().Steps)
	at := func(step int) {
		b.hear(progress.Event{What: "training", Done: int64(step), Total: steps, Unit: progress.Steps})
	}
	at(run.Step())
	heading := !asJSON
	for e, err := range run.Events(ctx) {
		b.hide()
		var stopped *train.Interrupted
		if errors.As(err, &stopped) {
			<-heard
			err = fmt.Errorf("training stopped at step %d and was saved; go on with: lmkit train --resume %s",
				stopped.Step, dir)
			return errors.Join(a.ended(run, dir, train.Stopped, asJSON), &exitError{exitInterrupted, err})
		}
		if err != nil {
			return err
		}
		if heading {
			heading = false
			if err := printf(a.out, "%s\n", train.Heading); err != nil {
				return err
			}
		}
		line := []byte(e.Row() + "\n")
		if asJSON {
			if line, err = e.Line(); err != nil {
				return err
			}
		}
		if _, err := a.out.Write(line); err != nil {
			return err
		}
		at(e.Step)
	}
	b.hide()
	a.note("done: the model is in %s, its loss curve in %s", dir, filepath.Join(dir, train.CurveFile))
	return a.ended(run, dir, train.Ended, asJSON)
}

// ended writes the last line of --json.
func (a *app) ended(run *train.Run, dir, how string, asJSON bool) error {
	if !asJSON {
		return nil
	}
	end := train.End{End: how, Step: run.Step(), Steps: run.Config().Steps, Dir: dir,
		Curve: filepath.Join(dir, train.CurveFile)}
	return json.NewEncoder(a.out).Encode(end)
}

// worthFlags is from how many operations on a run takes about three quarters of a minute on two cores: it then wins
// more by flags that make its steps faster than by programs that need no compiling.
const worthFlags = 4e12

// long reports whether a run is long enough for these flags.
func long(m lm.Config, c train.Config, t text) bool {
	c = c.WithDefaults(m)
	tokens := c.Steps * c.Rows * c.Length
	if c.Steps == 0 {
		tokens = max(1, c.Epochs) * t.tokens()
	}
	return 6*float64(paramCount(m))*float64(tokens) > worthFlags
}
