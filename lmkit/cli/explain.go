package cli

import (
	"bytes"
	"context"
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
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
	"lmkit.internal/lmkit/token"
)

// explainFlags are what explain and compare share.
type explainFlags struct {
	explain.Question
	settings     lmkit.Settings
	ids          string
	target, foil string
	methods      []string
	memory       string
	json         bool
	html, svg    string
	strict       bool
	compare      bool // side by side
	all          bool // methods that do not suit the question are left out
	flags        *pflag.FlagSet
}

func (a *app) explainCmd() *cobra.Command {
	o := &explainFlags{}
	cmd := &cobra.Command{
		Use:   `explain DIR ["PROMPT"]`,
		Short: "Explain why a model predicts what it does",
		Long: `Explain why a model predicts what it does after a prompt (- is read from stdin). Without further flags:
why its first choice rather than its second, by integrated gradients. Every explanation carries its evidence:
whether the scores add up, and what the model says without the tokens that they name.

` + methodList(),
		Example: `  lmkit explain runs/first "the keys near the box"
  lmkit explain runs/first "the keys near the box" --target are --foil is --method integrated-gradients,occlusion
  lmkit explain runs/first "anna lives in" --objective prob --by word --json --html why.html`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args, o) },
	}
	o.register(cmd, []string{"integrated-gradients"})
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
	fmt.Fprintf(&b, "\n  %-21s %s", "auto", "the best of these for the length and the budget; all: every one that suits the model")
	return b.String()
}

func (o *explainFlags) register(cmd *cobra.Command, methods []string) {
	f := cmd.Flags()
	o.flags = f
	f.SortFlags = false
	f.StringVar(&o.ids, "ids", "", "the prompt as token IDs: 3,7,1")
	f.StringVar(&o.target, "target", "", "the token to explain, by its text or as #ID (default: the model's first choice)")
	f.StringVar(&o.foil, "foil", "", "contrast: rather than which token (default: the best of the others)")
	f.StringVar(&o.Objective, "objective", explain.Contrast, "what about the target: "+strings.Join(explain.Objectives, ", "))
	f.StringSliceVar(&o.methods, "method", methods, "methods, with commas between; auto; all")
	f.StringVar(&o.Baseline, "baseline", "", "what an absent token is: unk, mean, zero or #ID; several are averaged (default: unk, else mean)")
	f.StringVar(&o.By, "by", explain.ByToken, "what gets a score: token, word or sentence")
	f.IntVar(&o.settings.Steps, "steps", 0, "points of an integral (default: as many as the tolerance needs)")
	f.IntVar(&o.settings.Samples, "samples", 0, "random draws (default: the method's)")
	f.IntVar(&o.settings.Budget, "budget", 0, "coalitions of features to try, or rows for auto (default: the method's)")
	f.IntSliceVar(&o.settings.Layers, "layer", nil, "attention of these layers, from 0 (default: all)")
	f.IntSliceVar(&o.settings.Heads, "head", nil, "attention of these heads, from 0 (default: all)")
	f.Float64Var(&o.Tolerance, "tolerance", 0.01, "by how much the scores may miss their sum, relative")
	f.Uint64Var(&o.Seed, "seed", 0, "of random draws")
	f.StringVar(&o.memory, "memory", "", "memory for activations, about, such as 512MB (default: an eighth of the machine's, at most 1GB)")
	f.BoolVar(&o.json, "json", false, "write JSON: an object for one method, an array for several")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture to this `FILE`, too")
	f.BoolVar(&o.strict, "strict", false, fmt.Sprintf("exit with %d when scores do not add up as their method promises", exitBroken))
}

// check says what is wrong with the flags, before anything slow.
func (o *explainFlags) check() (methods []explain.Method, err error) {
	if !slices.Contains(explain.Objectives, o.Objective) {
		return nil, usage("there is no objective %q; there are %s", o.Objective, strings.Join(explain.Objectives, ", "))
	}
	if by := []string{explain.ByToken, explain.ByWord, explain.BySentence}; !slices.Contains(by, o.By) {
		return nil, usage("there is no grouping by %q; there are %s", o.By, strings.Join(by, ", "))
	}
	if o.foil != "" && o.Objective != explain.Contrast {
		return nil, usage("--foil belongs to --objective contrast, not to %s", o.Objective)
	}
	if !(o.Tolerance > 0) {
		return nil, usage("--tolerance is %v; it must be above 0", o.Tolerance)
	}
	if o.settings.Steps < 0 || o.settings.Samples < 0 || o.settings.Budget < 0 {
		return nil, usage("--steps, --samples and --budget cannot be negative")
	}
	if o.memory != "" {
		if o.Memory, err = parseBytes(o.memory); err != nil {
			return nil, err
		}
	}
	if o.all = slices.Equal(o.methods, []string{"all"}); o.all {
		o.methods = lmkit.MethodNames()
	}
	for i, name := range o.methods {
		o.methods[i] = strings.TrimSpace(name)
		if slices.Contains(o.methods[:i], o.methods[i]) {
			return nil, usage("the method %s was given twice", o.methods[i])
		}
		method, err := lmkit.Method(o.methods[i], o.settings)
		if err != nil {
			return nil, usage("%w", err)
		}
		methods = append(methods, method)
	}
	if len(methods) == 0 {
		return nil, usage("no method was given; there is --method all")
	}
	if o.html != "" && samePath(o.html, o.svg) {
		return nil, usage("--html and --svg both write %s; give each a file of its own", o.html)
	}
	if o.svg != "" && len(methods) > 1 && !o.compare {
		return nil, usage("--svg draws one method; lmkit compare draws several side by side")
	}
	return methods, o.heeded()
}

// heeded returns an error if a setting was given that none of the methods has.
func (o *explainFlags) heeded() error {
	for _, setting := range []string{"steps", "samples", "budget", "layer", "head"} {
		if !o.flags.Changed(setting) || setting == "budget" && slices.Contains(o.methods, "auto") {
			continue
		}
		var who []string
		for _, m := range lmkit.Methods() {
			if slices.Contains(m.Settings, setting) {
				who = append(who, m.Name)
			}
		}
		if !slices.ContainsFunc(o.methods, func(name string) bool { return slices.Contains(who, name) }) {
			return usage("--%s means nothing to %s; it belongs to %s", setting, strings.Join(o.methods, ", "), strings.Join(who, ", "))
		}
	}
	return nil
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
	methods, err := o.check()
	if err != nil {
		return err
	}
	if o.Prompt, o.IDs, err = a.prompt(args, o.ids); err != nil {
		return err
	}
	m, err := a.openModel(ctx, args[0], backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	if o.Target, err = find(m, o.target); err != nil {
		return err
	}
	if o.Foil, err = find(m, o.foil); err != nil {
		return err
	}
	as, err := a.answers(ctx, m, methods, o)
	if err != nil {
		return err
	}
	if err := a.show(as, o); err != nil {
		return err
	}
	if o.strict {
		return promises(as)
	}
	return nil
}

// answers asks the methods. Of all methods, those that do not suit the model, or the question, are left out, and named.
func (a *app) answers(ctx context.Context, m *lm.Model, methods []explain.Method, o *explainFlags) ([]*explain.Attribution, error) {
	p, err := explain.Prepare(ctx, m, o.Question)
	if err != nil { // what suits no method at all
		return nil, err
	}
	if o.all {
		methods = a.suited(methods, m.Config().Arch)
	}
	var found []*explain.Scored
	for _, method := range methods {
		f, err := p.Score(ctx, method)
		switch {
		case err != nil && o.all && ctx.Err() == nil:
			a.note("left out %s", without(err, method.Name()))
			continue
		case err != nil:
			return nil, err
		}
		if c, ok := f.Settings.(lmkit.Choice); ok {
			a.note("auto chose %s: %s", c.Chosen, c.Why)
		}
		found = append(found, f)
	}
	return p.Attributions(ctx, found...)
}

// suited is those of the methods that explain an architecture. It names the others.
func (a *app) suited(methods []explain.Method, arch string) (fit []explain.Method) {
	infos := lmkit.Methods()
	var others []string
	for _, method := range methods { // all of them: each is in the list
		i := slices.IndexFunc(infos, func(x lmkit.MethodInfo) bool { return x.Name == method.Name() })
		if x := infos[i]; x.Arch != "" && x.Arch != arch {
			others = append(others, x.Name)
			continue
		}
		fit = append(fit, method)
	}
	a.note("left out, as they do not explain the architecture %s: %s", arch, strings.Join(others, ", "))
	return fit
}

// without begins an error with the method's name, once.
func without(err error, method string) string {
	if strings.HasPrefix(err.Error(), method) {
		return err.Error()
	}
	return method + ": " + err.Error()
}

func find(m *lm.Model, text string) (*token.ID, error) {
	if text == "" {
		return nil, nil
	}
	id, err := explain.FindToken(m, text)
	if err != nil {
		return nil, err
	}
	return &id, nil
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
		return c.Text(a.out, a.look())
	}
	for i, at := range as {
		if i > 0 {
			if err := printf(a.out, "\n"); err != nil {
				return err
			}
		}
		if err := render.Text(a.out, at, a.look()); err != nil {
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
		return fmt.Errorf("%s cannot be written: %w; choose another file, in a folder that can be written to", path, plain(err))
	}
	a.note("wrote %s", path)
	return nil
}

// promises returns an error if an explanation breaks its own promise.
func promises(as []*explain.Attribution) error {
	for _, at := range as {
		if c := at.Evidence.Completeness; c != nil && !c.Holds {
			return &exitError{exitBroken, fmt.Errorf("%s does not keep its promise: its scores miss their sum by %.3g %%, where %.3g %% is allowed; its warning says what would cure it",
				at.Method.Name, 100*c.Relative, 100*c.Tolerance)}
		}
	}
	return nil
}
