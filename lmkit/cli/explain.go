package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/whole"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// explainFlags are what explain and compare share.
type explainFlags struct {
	lmkit.Request
	chat        chatFlags
	ids, memory string
	from        string // the file of a request to run
	print       bool   // the request, in place of running it
	json        bool
	html, svg   string
	strict      bool
	compare     bool // side by side
	flags       *pflag.FlagSet
}

func (a *app) explainCmd() *cobra.Command {
	o := &explainFlags{}
	cmd := &cobra.Command{
		Use:   `explain DIR ["PROMPT"]`,
		Short: "Explain why a model predicts what it does",
		Long: `Explain why a model predicts what it does after a prompt (- is read from stdin). Without further flags:
why its first choice rather than its second, by integrated gradients. Every explanation carries its evidence:
whether the scores add up, and what the model says without the tokens that they name. With --matrix, scores belong to
pairs: predictions and tokens, layers and heads, two features.

With --chat the prompt is what a person says to the model, and its answer is explained: the model's own chat template
makes a text of the conversation. What the template wrote stays as it is and gets no score.

` + methodList() + matrixList(),
		Example: `  lmkit explain runs/first "the keys near the box"
  lmkit explain runs/first "the keys near the box" --target are --foil is --method integrated-gradients,occlusion
  lmkit explain runs/first "anna lives in" --objective prob --by word --json --html why.html
  lmkit explain runs/first "the keys near the box" --matrix layers --svg layers.svg
  lmkit explain smollm2 --chat "What is the capital of France?" --method occlusion`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args, o) },
	}
	o.register(cmd, []string{"integrated-gradients"})
	o.registerMatrix(cmd)
	return cmd
}

func (a *app) compareCmd() *cobra.Command {
	o := &explainFlags{compare: true}
	cmd := &cobra.Command{
		Use:   `compare DIR ["PROMPT"]`,
		Short: "Explain a prediction by several methods, side by side",
		Long: `Explain a prediction by several methods, and set their scores and evidence side by side, with how far each two
agree: the rank correlation of their scores, and how many of the top tokens they share.

` + methodList(),
		Example: `  lmkit compare runs/first "the keys near the box"
  lmkit compare runs/first "the keys near the box" --method saliency,occlusion,leave-one-out --html compare.html`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args, o) },
	}
	o.register(cmd, []string{"integrated-gradients", "input-x-gradient", "occlusion"})
	return cmd
}

func methodList() string {
	var b strings.Builder
	b.WriteString("Methods (lmkit methods says more about them):")
	for _, m := range lmkit.Methods() {
		fmt.Fprintf(&b, "\n  %-21s %s", m.Name, m.About)
	}
	fmt.Fprintf(&b, "\n  %-21s %s", "auto",
		"the best of these for the length and the budget; all: every one that suits the model")
	return b.String()
}

func (o *explainFlags) register(cmd *cobra.Command, methods []string) {
	f := cmd.Flags()
	o.flags = f
	f.SortFlags = false
	f.StringVar(&o.ids, "ids", "", "the prompt as token IDs: 3,7,1")
	o.chat.register(f)
	f.StringVar(&o.chat.reply, "reply", "", "with --chat, how the answer has begun: what comes after it is explained")
	f.StringVar(&o.chat.messages, "messages", "", "the conversation in this JSON `FILE` (- is stdin), in place of a "+
		"prompt: [{\"role\": \"user\", \"content\": \"Hi\"}]")
	f.StringVar(&o.Target, "target", "",
		"the token to explain, by its text or as #ID (default: the model's first choice)")
	f.StringVar(&o.Foil, "foil", "", "contrast: rather than which token (default: the best of the others)")
	f.StringVar(&o.Objective, "objective", explain.Contrast,
		"what about the target: "+strings.Join(explain.Objectives, ", "))
	f.StringSliceVar(&o.Methods, "method", methods, "methods, with commas between; auto; all")
	f.StringVar(&o.FirstToken, "first-token", "",
		"the first token: hold (it stays, without a score) or feature (default: hold if it is the model's attention sink)")
	f.StringVar(&o.Baseline, "baseline", "",
		"what an absent token is: unk, mean, zero, space, end or #ID; several are averaged (default: unk if "+
			"training showed it; space in a model of byte pairs trained elsewhere; else mean)")
	f.StringVar(&o.By, "by", explain.ByToken, "what gets a score: token, word or sentence")
	f.IntVar(&o.Settings.Steps, "steps", 0, "points of an integral (default: as many as the tolerance needs)")
	f.IntVar(&o.Settings.Samples, "samples", 0, "random draws (default: the method's)")
	f.IntVar(&o.Settings.Budget, "budget", 0, "coalitions of features to try, or rows for auto (default: the method's)")
	f.IntSliceVar(&o.Settings.Layers, "layer", nil, "attention of these layers, from 0 (default: all)")
	f.IntSliceVar(&o.Settings.Heads, "head", nil, "attention of these heads, from 0 (default: all)")
	f.Float64Var(&o.Tolerance, "tolerance", 0.01, "by how much the scores may miss their sum, relative")
	f.Uint64Var(&o.Seed, "seed", 0, "of random draws")
	f.StringVar(&o.from, "request", "", "run the request in this JSON `FILE` (- is stdin), in place of a prompt and "+
		"flags about it")
	f.BoolVar(&o.print, "print-request", false, "write the request that the flags make as JSON, and run nothing")
	f.StringVar(&o.memory, "memory", "",
		"memory for activations, about, such as 512MB (default: an eighth of the machine's, at most 1GB)")
	f.BoolVar(&o.json, "json", false, "write JSON: an object for one method, an array for several")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture to this `FILE`, too")
	f.BoolVar(&o.strict, "strict", false,
		fmt.Sprintf("exit with %d when scores do not add up as their method promises", exitBroken))
}

// request is what the flags and arguments ask, or the request in a file.
func (a *app) request(args []string, o *explainFlags) (err error) {
	if o.html != "" && samePath(o.html, o.svg) {
		return usage("--html and --svg both write %s; give each a file of its own", o.html)
	}
	if o.from != "" {
		return a.readRequest(args, o)
	}
	if o.memory != "" {
		if o.Memory, err = parseBytes(o.memory); err != nil {
			return err
		}
	}
	if o.Tolerance == 0 {
		return usage("--tolerance is 0; it must be above 0")
	}
	for i, name := range o.Methods {
		o.Methods[i] = strings.TrimSpace(name)
	}
	if o.Matrix != "" && !o.flags.Changed("method") {
		o.Methods = nil // the default is for features
	} else if len(o.Methods) == 0 {
		return usage("no method was given; there is --method all")
	}
	asked := o.Request
	asked.Prompt, asked.IDs = "-", nil // which stdin may have to be read for
	if err := mistakes(asked.Validate()); err != nil {
		return err
	}
	if o.chat.asked() {
		if o.ids != "" {
			return usage("--ids are tokens, which no chat template writes; give a text")
		}
		o.Messages, err = a.conversation(args, o.chat)
	} else {
		o.Prompt, o.IDs, err = a.prompt(args, o.ids)
	}
	if err != nil {
		return err
	}
	return mistakes(o.Validate())
}

// readRequest reads the request that --request names.
func (a *app) readRequest(args []string, o *explainFlags) error {
	var others []string
	o.flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains([]string{"request", "print-request", "json", "html", "svg", "strict", "engine", "weights"},
			f.Name) {
			others = append(others, "--"+f.Name)
		}
	})
	if len(args) > 1 {
		others = append(others, "a prompt")
	}
	if others != nil {
		return usage("%s cannot go with --request, which says all that is asked", strings.Join(others, ", "))
	}
	in := a.in
	if o.from != "-" {
		file, err := os.Open(o.from)
		if err != nil {
			return fmt.Errorf("the request %s: %w", o.from, plain(err))
		}
		defer file.Close()
		in = file
	}
	var err error
	if o.Request, err = lmkit.ReadRequest(in); err != nil {
		return usage("%s: %w", o.from, err)
	}
	return nil
}

// mistakes names the settings of a request as flags do.
func mistakes(err error) error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all = several.Unwrap()
	}
	var said []string
	for _, err := range all {
		text := err.Error()
		var m *lmkit.Mistake
		if errors.As(err, &m) && m.Setting != "" {
			flag := m.Setting
			if one, ok := map[string]string{"layers": "layer", "heads": "head"}[flag]; ok {
				flag = one
			}
			text = "--" + flag + " " + m.Problem
		}
		said = append(said, text)
	}
	return usage("%s", strings.Join(said, "; "))
}

// parseBytes reads a size such as 512MB.
func parseBytes(text string) (int64, error) {
	s := strings.ToUpper(strings.TrimSpace(text))
	factor := int64(1)
	for suffix, f := range map[string]int64{"GB": 1 << 30, "MB": 1 << 20, "KB": 1 << 10} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, factor = strings.TrimSpace(rest), f
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) || n*float64(factor) > 1<<60 {
		return 0, usage("--memory %s: give a size such as 512MB or 2GB", text)
	}
	return int64(n * float64(factor)), nil
}

func (a *app) explain(ctx context.Context, args []string, o *explainFlags) error {
	if err := a.request(args, o); err != nil {
		return err
	}
	if o.print {
		return o.Write(a.out)
	}
	several := len(o.Methods) > 1 || slices.Equal(o.Methods, []string{lmkit.All})
	if o.svg != "" && several && !o.compare && o.Matrix == "" {
		return usage("--svg draws one method; lmkit compare draws several side by side")
	}
	if err := errors.Join(replaceable(o.html, "<!DOCTYPE html>"), replaceable(o.svg, "<svg")); err != nil {
		return err
	}
	m, err := a.openModel(ctx, args[0], backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	answer, err := o.Answer(ctx, m)
	a.meter().hide()
	if err != nil && (answer == nil || len(answer.Attributions) == 0) {
		return err
	}
	for _, note := range answer.Notes {
		a.note("%s", note)
	}
	if answer.Matrix != nil {
		return a.showMatrix(answer.Matrix, o)
	}
	if err := errors.Join(a.show(answer.Attributions, o), err); err != nil { // an interrupt leaves what has ended
		return err
	}
	if o.strict {
		return promises(answer.Attributions)
	}
	return nil
}

// show writes the explanations everywhere that was asked for.
func (a *app) show(as []*explain.Attribution, o *explainFlags) error {
	if o.json { // a reader of stdout sees no warning first
		for _, at := range as {
			for _, w := range at.Warnings {
				a.note("warning: %s: %s", at.Method.Name, w)
			}
		}
		if err := explain.Write(a.out, as...); err != nil {
			return err
		}
	} else if err := a.text(as, o); err != nil {
		return err
	}
	if err := a.file(o.html, func(w io.Writer) error { return page(w, as, o.compare) }); err != nil {
		return err
	}
	return a.file(o.svg, func(w io.Writer) error {
		if !o.compare {
			return render.SVG(w, as[0])
		}
		c, err := render.Compare(as...)
		if err != nil {
			return err
		}
		return c.SVG(w)
	})
}

func (a *app) text(as []*explain.Attribution, o *explainFlags) error {
	if o.compare {
		c, err := render.Compare(as...)
		if err != nil {
			return err
		}
		return a.print(c)
	}
	for i, at := range as {
		if i > 0 {
			if err := printf(a.out, "\n"); err != nil {
				return err
			}
		}
		if err := a.print(render.Attribution{Attribution: at}); err != nil {
			return err
		}
	}
	return nil
}

func page(w io.Writer, as []*explain.Attribution, compare bool) error {
	if !compare {
		return render.HTML(w, as...)
	}
	c, err := render.Compare(as...)
	if err != nil {
		return err
	}
	return render.Report{Title: "Comparison of explanations", Sections: []render.Section{
		{Figures: []plot.Figure{c}},
		{Heading: "Each by itself", Figures: render.Figures(as...)},
	}}.HTML(w)
}

// samePath reports whether two paths lead to the same file, there or not.
func samePath(a, b string) bool {
	x, err := os.Stat(a)
	if y, other := os.Stat(b); err == nil && other == nil {
		return os.SameFile(x, y)
	}
	a, err = filepath.Abs(a)
	if err != nil {
		return false
	}
	b, err = filepath.Abs(b)
	return err == nil && a == b
}

// replaceable returns an error, before the work begins, if a file of another sort is where one is to be written.
func replaceable(path, begins string) error {
	if path == "" {
		return nil
	}
	if err := whole.Replaceable(path, []byte(begins)); err != nil {
		return unwritable(path, err)
	}
	return nil
}

func unwritable(path string, err error) error {
	return fmt.Errorf("%s cannot be written: %w; choose another file, in a folder that can be written to",
		path, plain(err))
}

// file writes a whole file or none, and replaces no file of another sort.
func (a *app) file(path string, draw func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := draw(&b); err != nil {
		return err
	}
	if err := whole.Replace(path, b.Bytes()); err != nil {
		return unwritable(path, err)
	}
	a.note("wrote %s", path)
	return nil
}

// promises returns an error if an explanation breaks its own promise.
func promises(as []*explain.Attribution) error {
	for _, at := range as {
		if c := at.Evidence.Completeness; c != nil && !c.Holds {
			return broken(at.Method.Name, c)
		}
	}
	return nil
}

func broken(method string, c *explain.Completeness) error {
	return &exitError{exitBroken,
		fmt.Errorf("%s does not keep its promise: its scores miss their sum by %.3g %%, where %.3g %% is allowed; "+
			"its warning says what would cure it", method, 100*c.Relative, 100*c.Tolerance)}
}
