package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/backend"
	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/grade"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

type classifyFlags struct {
	batch.Classifying
	out, html, svg string
	json           bool
	explain        int
}

func (a *app) classifyCmd() *cobra.Command {
	var o classifyFlags
	cmd := &cobra.Command{
		Use:   `classify MODEL FILE --labels A,B`,
		Short: "Label the rows of a file by prompt, and say how right and how sure the model is",
		Long: `Label the rows of a file by prompt. Each row of FILE (.jsonl, .csv, .tsv, .parquet or lines of text) becomes a
prompt, its column prompt (or text) or what --template makes of its columns, and gets the label that the model finds
most likely after it: the sum of the log-probabilities of the label's tokens, whole labels against each other, not
divided by their length. Where the rows say what is right (--label), the accuracy, which label was said for which, the
worst mistakes and the calibration are measured on them.

Calibration is about the probabilities of the labels among each other: whether of all rows of which the model is 80 %
sure, 80 % are right. The error is that of bins of equally many rows; beside it stands the error that a perfectly
calibrated model would show on as many rows by chance.`,
		Example: `  lmkit classify runs/first labelled.csv --labels is,are
  lmkit classify smollm2 test.csv --labels good,bad --template "Review: {review}\nSentiment:" --out said.jsonl`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Model, o.Source.File = args[0], args[1]
			return a.classify(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.Labels, "labels", nil, "the labels to choose from, with commas between")
	f.StringVar(&o.Source.Template, "template", "", `the prompt made of columns: "Review: {text}\nSentiment:"`)
	f.StringVar(&o.Source.Label, "label", "", "the column that says what is right (default: label); of lines of text "+
		"the mark before it, such as =>")
	f.IntVar(&o.Worst, "worst", 5, "how many of the worst mistakes are shown")
	f.IntVar(&o.explain, "explain", 0, "explain so many of the worst mistakes: why what was said, and not what is right")
	f.Uint64Var(&o.Seed, "seed", 0, "of the draws that say what chance does")
	f.StringVar(&o.out, "out", "", "write a line of JSON for each row to this `FILE`, too: lmkit slices reads it")
	f.BoolVar(&o.json, "json", false, "write the report as JSON")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture of the calibration to this `FILE`, too")
	return cmd
}

func (a *app) classify(ctx context.Context, o classifyFlags) error {
	if len(o.Labels) < 2 {
		return usage("--labels names what to choose from: two or more, with commas between")
	}
	if o.Worst < 0 || o.explain < 0 {
		return usage("--worst and --explain are numbers of mistakes, 0 or more")
	}
	o.Worst = max(o.Worst, o.explain)
	if err := writable([]string{o.Model, o.Source.File}, output{"--out", o.out, `{"line"`},
		output{"--html", o.html, pageBegins}, output{"--svg", o.svg, pictureBegins}); err != nil {
		return err
	}
	m, err := a.openModel(ctx, o.Model, backend.Options{})
	if err != nil {
		return err
	}
	defer m.Close()
	c, err := batch.Classify(ctx, m, o.Classifying)
	a.meter().hide()
	if err != nil {
		return err
	}
	if err := a.file(o.out, func(w io.Writer) error { return writeLines(w, c.All) }); err != nil {
		return err
	}
	if len(c.Failures) > 0 {
		a.note("%s not asked about; the first: %s", count(c.Failed, "1 row was", "rows were"), c.Failures[0])
	}
	whys, err := a.explainWorst(ctx, m, c, o.explain)
	if err != nil {
		return err
	}
	if o.json {
		err = writeJSON(a.out, c)
	} else {
		err = a.classifiedText(c, whys)
	}
	if err != nil {
		return err
	}
	if o.svg != "" && c.Calibration == nil {
		return fmt.Errorf("%s is not written: no row says what is right", o.svg)
	}
	if err := a.file(o.svg, func(w io.Writer) error { return reliability(c.Calibration).SVG(w) }); err != nil {
		return err
	}
	return a.file(o.html, func(w io.Writer) error { return classifiedPage(c, whys).HTML(w) })
}

// writeLines writes values as lines of JSON.
func writeLines[T any](w io.Writer, all []T) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, x := range all {
		if err := e.Encode(x); err != nil {
			return err
		}
	}
	return nil
}

// explainWorst explains why what was said is more likely than what is right, by the words of the prompt.
func (a *app) explainWorst(ctx context.Context, m *lm.Model, c *batch.Classification, n int) ([]*explain.Attribution,
	error) {
	if c.Report == nil {
		return nil, nil
	}
	var whys []*explain.Attribution
	for _, w := range c.Report.Worst[:min(n, len(c.Report.Worst))] {
		space := " "
		if strings.TrimRight(w.Prompt, " \t\n") != w.Prompt {
			space = ""
		}
		r := lmkit.Request{Prompt: w.Prompt, Target: space + w.Said, Foil: space + w.Right, By: explain.ByWord}
		answer, err := r.Answer(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("explain line %d: %w", w.Line, err)
		}
		whys = append(whys, answer.Attributions...)
	}
	a.meter().hide()
	return whys, nil
}

// classifiedText writes the report for the terminal.
func (a *app) classifiedText(c *batch.Classification, whys []*explain.Attribution) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "items       %s\n", thousands(c.Items))
	for _, l := range c.Labels {
		fmt.Fprintf(&b, "said        %q of %s (%.1f %%); a label of %s\n", l.Label, thousands(l.Said),
			100*float64(l.Said)/float64(c.Items), tokens(l.Tokens))
	}
	if c.Report != nil {
		fmt.Fprintf(&b, "\n%s\n%s", gradeText(c.Report), calibrationText(c.Calibration))
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "\nnote: %s", n)
	}
	if len(c.Notes) > 0 {
		fmt.Fprintln(&b)
	}
	if err := printf(a.out, "%s", b.String()); err != nil {
		return err
	}
	for i, w := range whys {
		if err := printf(a.out, "\nWhy line %d got %q:\n", c.Report.Worst[i].Line, c.Report.Worst[i].Said); err != nil {
			return err
		}
		if err := a.print(render.Attribution{Attribution: w}); err != nil {
			return err
		}
	}
	return nil
}

// calibrationText says how sure the model is beside how right.
func calibrationText(c *grade.Calibration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "calibration error  %.3f (%.3f to %.3f); a perfectly calibrated model would show %.3f, at most %.3f\n",
		c.ECE, c.Low, c.High, c.Null, c.NullHigh)
	fmt.Fprintf(&b, "Brier score        %.3f; NLL %.3f nats; the labels have %.3g %% of all probability\n", c.Brier, c.NLL,
		100*c.Mass)
	if t := c.Temperature; t != nil {
		what := "too sure"
		if t.T < 1 {
			what = "not sure enough"
		}
		fmt.Fprintf(&b, "temperature        %.2f, fitted on half of the rows: the model is %s; on the other half the error "+
			"goes from %.3f to %.3f, NLL from %.3f to %.3f\n", t.T, what, t.ECEBefore, t.ECEAfter, t.NLLBefore, t.NLLAfter)
	}
	b.WriteString("\n  sure  right  (95 %)            rows\n")
	for _, x := range c.Bins {
		fmt.Fprintf(&b, "%4.0f %%  %3.0f %%  (%.0f to %.0f %%)%s%s\n", 100*x.Confidence, 100*x.Accuracy.Share,
			100*x.Accuracy.Low, 100*x.Accuracy.High, strings.Repeat(" ", max(1, 16-len(fmt.Sprintf("(%.0f to %.0f %%)",
				100*x.Accuracy.Low, 100*x.Accuracy.High)))), thousands(x.Accuracy.N))
	}
	return b.String()
}

// reliability is the picture of calibration: how often a label is right, over how sure the model is of it.
func reliability(c *grade.Calibration) plot.Curves {
	low := 1.0
	said := plot.Line{Name: "the model", Dots: true}
	for _, x := range c.Bins {
		said.Points = append(said.Points, plot.Point{X: x.Confidence, Y: x.Accuracy.Share})
		said.Sizes = append(said.Sizes, float64(x.Accuracy.N))
		low = min(low, x.Confidence, x.Accuracy.Share)
	}
	low = math.Floor(10*low) / 10
	return plot.Curves{Title: "Calibration", XLabel: "how sure", YLabel: "how often right", Lines: []plot.Line{
		{Name: "perfect", Points: []plot.Point{{X: low, Y: low}, {X: 1, Y: 1}}}, said}}
}

// classifiedPage is the report as a page.
func classifiedPage(c *batch.Classification, whys []*explain.Attribution) render.Report {
	r := render.Report{Title: fmt.Sprintf("%s on %s", c.Model, c.Source.File),
		Intro: fmt.Sprintf("%s labelled, each with the label that the model finds most likely after its prompt.",
			count(c.Items, "1 row was", "rows were"))}
	labels := plot.Table{Header: []string{"label", "tokens", "said of"}}
	for _, l := range c.Labels {
		labels.Rows = append(labels.Rows, []any{l.Label, l.Tokens, l.Said})
	}
	r.Sections = append(r.Sections, render.Section{Heading: "Labels", Paragraphs: c.Notes, Figures: []plot.Figure{labels}})
	if c.Report == nil {
		return r
	}
	r.Sections = append(r.Sections, rightSection(c.Report), render.Section{Heading: "How sure",
		Paragraphs: strings.Split(strings.TrimSpace(strings.Split(calibrationText(c.Calibration), "\n\n")[0]), "\n"),
		Figures:    []plot.Figure{reliability(c.Calibration)}})
	worst := plot.Table{Header: []string{"line", "right", "said", "by nats", "prompt"}}
	for _, w := range c.Report.Worst {
		worst.Rows = append(worst.Rows, []any{w.Line, w.Right, w.Said, w.Margin, w.Prompt})
	}
	if len(worst.Rows) > 0 {
		r.Sections = append(r.Sections, render.Section{Heading: "The worst mistakes", Figures: []plot.Figure{worst}})
	}
	for i, why := range whys {
		w := c.Report.Worst[i]
		r.Sections = append(r.Sections, render.Section{Heading: fmt.Sprintf("Why line %d got %q", w.Line, w.Said),
			Figures: render.Figures(why)})
	}
	return r
}

// rightSection says how right the labels are.
func rightSection(g *grade.Report) render.Section {
	table := plot.Table{Header: []string{"right", "rows", "precision", "recall", "F1"}}
	for _, x := range g.Classes {
		table.Header = append(table.Header, "said "+x.Label)
	}
	for _, x := range g.Classes {
		row := []any{x.Label, x.Right, x.Precision, x.Recall, x.F1}
		for _, n := range x.Said {
			row = append(row, n)
		}
		table.Rows = append(table.Rows, row)
	}
	return render.Section{Heading: "How right", Figures: []plot.Figure{table}, Paragraphs: []string{
		fmt.Sprintf("Accuracy %.1f %% (%.1f to %.1f) of %s; always %q would reach %.1f %%.", 100*g.Accuracy.Share,
			100*g.Accuracy.Low, 100*g.Accuracy.High, count(g.Examples, "1 row", "rows"), g.Majority.Answer,
			100*g.Majority.Share)}}
}
