// Package cli is the lmkit command: results on stdout, everything else on stderr.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/cpu"

	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
	"lmkit.internal/lmkit/serve"
)

// What the command exits with.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitBroken      = 3 // --strict: an explanation breaks its own promise
	exitInterrupted = 130
)

// Main runs the command and returns its exit code. An error is one line on stderr. The first interrupt ends the work in
// order, a second one at once. What cannot be stopped (reading a file, compiling a program) goes on for a moment at
// most, unless the command must end in order.
func Main(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{in: in, out: out, paper: out, err: errs}
	if _, is := terminal(out); is {
		a.out = printable.Screen(out)
	}
	root := a.root()
	root.SetArgs(args)
	err := a.within(ctx, func() error { return root.ExecuteContext(progress.With(ctx, a.meter().hear)) })
	a.meter().hide()
	if err == nil {
		return 0
	}
	var failed *exitError
	switch {
	case errors.As(err, &failed):
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		failed = &exitError{exitInterrupted, errors.New("interrupted")}
	default:
		failed = &exitError{exitFailed, err}
	}
	if failed.error != nil {
		a.note("%s", failed.Error())
	}
	return failed.code
}

// app is what all commands share.
type app struct {
	in     io.Reader
	out    io.Writer // results; on a terminal nothing in them can steer it
	paper  io.Writer // the same without that check, for what is checked already and may have colours
	err    io.Writer
	engine string
	held   lm.Options   // of models that are opened
	shows  *meter       // see meter
	server serve.Client // that is asked in place of opening a model; see asks
	// orderly says that the command must not be left while it ends, since it saves what it earned or ends others' work.
	orderly atomic.Bool
}

// patience is how long an interrupted command has to end. With what the system takes to free a model's memory, the
// process ends within a second.
const patience = 500 * time.Millisecond

// within runs a command. When ctx ends, the command is left behind after a moment, unless it is orderly.
func (a *app) within(ctx context.Context, command func() error) error {
	end := make(chan error, 1)
	go func() { end <- command() }()
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
	}
	for {
		select {
		case err := <-end:
			return err
		case <-time.After(patience):
			if !a.orderly.Load() {
				return ctx.Err()
			}
		}
	}
}

// exitError is an error with an exit code of its own. Without an error inside, everything has been said.
type exitError struct {
	code int
	error
}

func (e *exitError) Unwrap() error { return e.error }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lmkit",
		Short: "Train language models and explain what they predict",
		Long: `lmkit trains Transformer and LSTM language models, and explains what they predict, with evidence.

A model is a folder. "lmkit train" writes one, and the other commands take it as their first argument;
folders of Hugging Face's language models (Llama, Qwen, Gemma, GPT-2 and others) and of PyTorch's
word language models work too, and names of models that are fetched once: lmkit pull -h says which.`,
		Example: `  lmkit demo
  lmkit train --data grammar --layers 2 --width 64 --steps 400 --out runs/first
  lmkit generate runs/first "the keys near the box"
  lmkit explain runs/first "the keys near the box"`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          cobra.ArbitraryArgs,
	}
	root.SetVersionTemplate("lmkit {{.Version}}\n")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		cure := "lmkit -h lists the commands"
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			cure = "did you mean " + strings.Join(like, " or ") + "?"
		}
		return usage("there is no command %q; %s", args[0], cure)
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return once(cmd.Flags()) }
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s; %s -h lists the flags", flagMistake(err), cmd.CommandPath())
	})
	root.PersistentFlags().StringVar(&a.engine, "engine", "",
		"what computes: auto, xla:cpu, xla:cuda or go (default: $"+backend.EnvEngine+", or else auto)")
	root.AddCommand(
		a.demoCmd(),
		a.encodeCmd(),
		a.trainCmd(),
		a.opens(a.evalCmd()),
		a.opens(a.scoreCmd()),
		a.opens(a.biasCmd()),
		a.opens(a.classifyCmd()),
		a.slicesCmd(),
		a.opens(a.generateCmd()),
		a.opens(a.explainCmd()),
		a.opens(a.compareCmd()),
		a.summarizeCmd(),
		a.inspectCmd(),
		a.opens(a.treeCmd()),
		a.methodsCmd(),
		a.opens(a.leaderboardCmd()),
		a.opens(a.serveCmd()),
		a.modelsCmd(),
		a.pullCmd(),
		a.notebookCmd(),
		a.kernelCmd(),
		a.cacheCmd(),
		a.doctorCmd(),
		a.docsCmd(),
		a.versionCmd(),
	)
	cobra.EnableCommandSorting = false
	return root
}

// flagMistake says in words what is wrong with a flag.
func flagMistake(err error) string {
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		f := wrong.GetFlag()
		if must, known := flagValues[f.Value.Type()]; known {
			return fmt.Sprintf("--%s is %q; it must be %s", f.Name, wrong.GetValue(), must)
		}
	}
	return oneLine(err.Error())
}

// flagValues are what the values of flags must be, by their types.
var flagValues = map[string]string{
	"int": "a whole number of at most 18 digits", "uint64": "a whole number, 0 or more, of at most 19 digits",
	"int64": "a whole number of at most 18 digits", "float64": "a number up to 1.8e308", "bool": "true or false",
	"intSlice": "whole numbers with commas between", "float64Slice": "numbers with commas between",
	"duration": "a time, such as 30s or 10m",
	"stringSlice": `texts with commas between; one that has a comma or a quote in it stands in double quotes, ` +
		`and its own quotes are doubled`,
}

// once fails where a flag that takes a list is given the same thing twice: it would count twice, or be done twice.
func once(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		list, is := f.Value.(pflag.SliceValue)
		if !is || err != nil {
			return
		}
		seen := map[string]bool{}
		for _, v := range list.GetSlice() {
			if v = strings.TrimSpace(v); seen[v] {
				err = usage("--%s has %q twice; leave one out", f.Name, v)
			}
			seen[v] = true
		}
	})
	return err
}

// between is a check of the number of arguments that tells how the command is used.
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		what := "too many arguments"
		if len(args) < least {
			what = "something is missing"
		} else if len(args) <= most {
			return nil
		}
		return usage("%s; the usage is: %s", what, cmd.UseLine())
	}
}

// openEngine opens the engine that was asked for, and says so when it is not the one hoped for.
func (a *app) openEngine(ctx context.Context, o backend.Options) (*backend.Engine, error) {
	m := a.meter()
	o.Name, o.Progress = a.engine, m.hear
	e, err := backend.Open(ctx, o)
	m.hide()
	if err != nil {
		return nil, err
	}
	if e.Note != "" {
		a.note("%s", e.Note)
	}
	return e, nil
}

// openModel opens a model, which is a folder, a file or a name, on the engine that was asked for.
func (a *app) openModel(ctx context.Context, name string, o backend.Options) (*lm.Model, error) {
	if err := a.held.Validate(); err != nil {
		return nil, usage("--weights: %s", err)
	}
	dir, err := a.find(ctx, name)
	if err != nil {
		return nil, err
	}
	// Before the engine, which may have to be downloaded.
	if info, err := os.Stat(dir); err != nil || info.IsDir() {
		if _, err := lm.ReadConfig(dir); err != nil {
			return nil, fmt.Errorf("open model %s: %w; give a folder, a GGUF file, smollm2 or hf:OWNER/NAME (lmkit models "+
				"lists those at hand)", dir, err)
		}
	}
	e, err := a.openEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	m := a.meter()
	m.hear(progress.Event{What: "opening " + name, Unit: "parameters"})
	model, err := a.held.Open(progress.With(ctx, func(e progress.Event) {
		e.What = "opening " + name
		m.hear(e)
	}), e, dir)
	m.hide()
	if err == nil && a.held.Weights == lm.AsFile {
		a.note("the weights are held as the file has them: %s", model.Held())
	}
	if err == nil && a.held.Precision == lm.BFloat16 && e.Kind == backend.XLACPU && !cpu.X86.HasAMXBF16 {
		a.note("this processor does not multiply matrices of bfloat16 (AMX): --precision bf16 is slower here than float32")
	}
	if err == nil && 20*model.Padding() > model.Config().Vocab {
		a.note("the model's file has %d rows of embeddings, but its tokenizer only %d tokens: the other rows are left out; "+
			"is it this model's tokenizer?", model.Config().Vocab+model.Padding(), model.Config().Vocab)
	}
	return model, err
}

// opens adds the flags of a command that opens a model.
func (a *app) opens(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.held.Precision, "precision", lm.Float32,
		"what products with weights are computed in: float32, or bf16, which is faster where the processor has AMX")
	cmd.Flags().StringVar(&a.held.Weights, "weights", lm.Float32,
		"how weights are held in memory: float32, or file: as the file has them, which takes less memory and more time")
	return cmd
}

// note says something on stderr that is no result.
func (a *app) note(format string, args ...any) {
	a.meter().hide()
	a.tell(format, args...)
}

// tell is note for who has seen to it that no progress is shown.
func (a *app) tell(format string, args ...any) {
	fmt.Fprintln(a.err, "lmkit: "+printable.Short(oneLine(fmt.Sprintf(format, args...)), mostOfLine))
}

const mostOfLine = 600 // bytes of a line on stderr

// oneLine is a text on one line, without anything that could steer a terminal.
func oneLine(s string) string {
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	return printable.Clean(strings.Join(lines, "; "))
}
