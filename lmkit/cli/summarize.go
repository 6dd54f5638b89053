package cli

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

type summarizeFlags struct {
	batch.Summarising
	html, svg string
	json      bool
}

func (a *app) summarizeCmd() *cobra.Command {
	var o summarizeFlags
	cmd := &cobra.Command{
		Use:   `summarize RESULTS`,
		Short: "Say which words matter over a folder of explanations",
		Long: `Say which words matter over a folder of explanations, which lmkit explain --file wrote: the mean score of each
word, wherever it stands, with the standard error of the mean and the spread of the scores. Shown are the words whose
mean is farther from 0 than two errors, in the order of |mean| - 2 errors. Where the items have a label, the same is
said of the items of each label, and how often the model is right: whether it prefers the label, where the label is one
side of the contrast, or else whether the label begins with its first choice. The worst mistakes come with their
explanations.

With --inside a column of the items holds the part of each text that is known to hold the cause, such as the passage in
which the answer to a question stands: how much of the scores above 0 lies inside is said, beside what scores that know
nothing would have there.

Of a folder with the pairs of a suite, which lmkit bias --out or lmkit-beam --suite wrote, it makes the report that
lmkit bias makes.`,
		Example: `  lmkit summarize results --html summary.html
  lmkit summarize results --inside passage`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.summarize(args[0], o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&o.Top, "top", 12, "words for the target, and words against it, at most")
	f.IntVar(&o.Least, "least", 3, "items that a word must be in")
	f.IntVar(&o.Worst, "worst", 5, "how many of the worst mistakes are shown")
	f.StringVar(&o.Inside, "inside", "", "the `COLUMN` that holds the part of each text in which the cause is known to be")
	f.BoolVar(&o.json, "json", false, "write JSON")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	f.StringVar(&o.svg, "svg", "", "write a picture to this `FILE`, too: the words of the first method, or with --inside "+
		"how much lies inside, of each method")
	return cmd
}

func (a *app) summarize(dir string, o summarizeFlags) error {
	if o.Top < 1 || o.Least < 1 || o.Worst < 1 {
		return usage("--top, --least and --worst are 1 or more")
	}
	err := writable(nil, output{"--html", o.html, pageBegins}, output{"--svg", o.svg, pictureBegins})
	if err != nil {
		return err
	}
	m, err := batch.ReadManifest(dir)
	if err != nil {
		return err
	}
	if m.Suite != nil {
		return a.summarizeSuite(dir, m, o)
	}
	s, err := batch.Summarise(dir, o.Summarising)
	if err != nil {
		return err
	}
	if o.Inside != "" && !slices.ContainsFunc(s.Methods, func(x batch.MethodSummary) bool { return x.Inside != nil }) {
		return fmt.Errorf("--inside %s: no item has a text in that column which is a part of its prompt, and not all of it",
			o.Inside)
	}
	a.noteUndone(dir, m, s.Results)
	if o.json {
		err = writeJSON(a.out, s)
	} else {
		err = printf(a.out, "%s", summaryText(s))
	}
	if err != nil {
		return err
	}
	if err := a.file(o.html, func(w io.Writer) error { return summaryPage(s).HTML(w) }); err != nil || o.svg == "" {
		return err
	}
	picture := summaryPicture(s)
	if picture == nil {
		return fmt.Errorf("%s is not written: there is no word to draw", o.svg)
	}
	return a.file(o.svg, picture.SVG)
}

// summarizeSuite reports the pairs of a suite.
func (a *app) summarizeSuite(dir string, m batch.Manifest, o summarizeFlags) error {
	if o.Inside+o.svg != "" {
		return usage("--inside and --svg are about explanations; %s holds the pairs of a suite", dir)
	}
	r, err := batch.Bias(dir, bias.Config{Worst: o.Worst})
	if err != nil {
		return err
	}
	a.noteUndone(dir, m, len(r.Pairs))
	return a.showBias(r, o.json, o.html)
}

// noteUndone says that a folder is not all there yet.
func (a *app) noteUndone(dir string, m batch.Manifest, results int) {
	if !m.Done {
		a.note("%s is not done: only the parts that are, %s, are summed up; the command that made it goes on", dir,
			count(results, "1 result", "results"))
	}
}

// summaryText is a summary for the terminal.
func summaryText(s *batch.Summary) string {
	var b bytes.Buffer
	m := s.Manifest
	fmt.Fprintf(&b, "results  %s of %s of %s, by %s", thousands(s.Results), count(m.Rows, "1 row", "rows"),
		oneLine(m.Source.File), oneLine(m.Model))
	if m.Failed > 0 {
		fmt.Fprintf(&b, "; %s no explanation", count(m.Failed, "1 has", "have"))
	}
	fmt.Fprintln(&b)
	if s.Right != nil {
		fmt.Fprintf(&b, "right    %s\n", rightText(s))
	}
	if s.Tokens > 0 {
		fmt.Fprintf(&b, "scored   %s\n", scoredText(s))
	}
	for _, x := range s.Methods {
		fmt.Fprintf(&b, "\n%s\n", methodText(x))
		if x.Inside != nil {
			fmt.Fprintf(&b, "%s\n", insideText(*x.Inside))
		}
		effectsText(&b, "", x.All)
		for _, l := range x.Labels {
			effectsText(&b, fmt.Sprintf("where the label is %q (%s), ", l.Label, count(l.Items, "1 item", "items")), l.Words)
		}
	}
	if len(s.Worst) > 0 {
		fmt.Fprintf(&b, "\nThe worst mistakes:\n")
	}
	for _, w := range s.Worst {
		fmt.Fprintf(&b, "  %s\n", mistakeText(w))
		if len(w.Why) > 0 {
			fmt.Fprintf(&b, "    because of %s\n", because(w))
		}
	}
	return b.String()
}

func scoredText(s *batch.Summary) string {
	return fmt.Sprintf("perplexity %.3f a token, of %s", s.Perplexity, tokens(s.Tokens))
}

func rightText(s *batch.Summary) string {
	return fmt.Sprintf("%.1f %% (%.1f to %.1f) of %s with a label", 100*s.Right.Share, 100*s.Right.Low,
		100*s.Right.High, count(s.Labelled, "1 item", "items"))
}

// methodText says what the scores of a method are about.
func methodText(x batch.MethodSummary) string {
	about := "for the target of each item"
	switch {
	case x.Target != "" && x.Foil != "":
		about = fmt.Sprintf("why %q rather than %q", x.Target, x.Foil)
	case x.Target != "":
		about = fmt.Sprintf("why %q", x.Target)
	}
	text := fmt.Sprintf("%s of %s: %s, in %s", x.Method, count(x.Items, "1 item", "items"), about, x.Unit)
	if x.Promised > 0 {
		text += fmt.Sprintf("; the scores of %s of %s add up as promised", thousands(x.Kept), thousands(x.Promised))
	}
	return text
}

// insideText says how much of the scores lies where the cause is known to be.
func insideText(x batch.Inside) string {
	text := fmt.Sprintf("inside the part that is named lie %.1f %% (%.1f to %.1f) of the scores above 0, and the largest "+
		"of %.1f %% (%.1f to %.1f) of %s; at random %.1f %%", 100*x.Share.Mean, 100*x.Share.Low, 100*x.Share.High,
		100*x.Top.Share, 100*x.Top.Low, 100*x.Top.High, count(x.Items, "1 item", "items"), 100*x.Random)
	if x.Lost > 0 {
		text += fmt.Sprintf("; %s left out, whose text does not hold it, or nothing else",
			count(x.Lost, "1 item is", "items are"))
	}
	return text
}

// effectsText writes the words that matter.
func effectsText(b *bytes.Buffer, where string, e batch.WordEffects) {
	if len(e.For)+len(e.Against) == 0 {
		fmt.Fprintf(b, "\n  %sno mean of %s is farther from 0 than two errors\n", where, count(e.Words, "1 word", "words"))
		return
	}
	for _, side := range []struct {
		what  string
		words []batch.WordEffect
	}{{"for it", e.For}, {"against it", e.Against}} {
		if len(side.words) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n  %s%s:\n  %20s     mean   error  spread   times   items\n", where, side.what, "")
		for _, w := range side.words {
			word := printable.Shorten(printable.Visible(w.Word), 20)
			fmt.Fprintf(b, "  %s%s %+8.3g %7.2g %7.2g %7s %7s\n", word,
				strings.Repeat(" ", max(0, 20-printable.Columns(word))), w.Mean, w.Error, w.Spread, thousands(w.Count),
				thousands(w.Items))
		}
	}
}

func mistakeText(w batch.Mistake) string {
	text := fmt.Sprintf("line %d: %q in place of %q", w.Line, w.Choice, w.Label)
	if w.By > 0 {
		text += fmt.Sprintf(" by %.2f", w.By)
	}
	return text + ": " + oneLine(w.Prompt)
}

// because names the features that speak most for what the model says: for the target, or where it says the foil,
// against it.
func because(w batch.Mistake) string {
	a := w.Why[0]
	sign := 1.0
	if a.Foil != nil && a.Value < 0 {
		sign = -1
	}
	order := make([]int, len(a.Scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		if sign*a.Scores[i] > sign*a.Scores[j] {
			return -1
		}
		return 1
	})
	var parts []string
	for _, i := range order[:min(5, len(order))] {
		if x := a.Scores[i]; sign*x > 0 && math.Abs(x) > 1e-9 {
			parts = append(parts, fmt.Sprintf("%q %.2g", strings.TrimSpace(a.Features[i].Text), math.Abs(x)))
		}
	}
	if len(parts) == 0 {
		return "nothing in it"
	}
	return strings.Join(parts, ", ")
}

// summaryPage is a summary as a page.
func summaryPage(s *batch.Summary) render.Report {
	m := s.Manifest
	r := render.Report{Title: fmt.Sprintf("Which words matter: %s on %s", m.Model, m.Source.File),
		Intro: fmt.Sprintf("%s of %s with a result; %d without. Model %s.", thousands(s.Results),
			count(m.Rows, "1 row", "rows"), m.Failed, m.ModelHash)}
	if s.Right != nil {
		r.Sections = append(r.Sections, render.Section{Heading: "How right", Paragraphs: []string{
			"The model is right about " + rightText(s) + "."}})
	}
	if inside := insideFigure(s); inside != nil {
		r.Sections = append(r.Sections, render.Section{Heading: "Inside the part that is named",
			Figures: []plot.Figure{*inside}})
	}
	for _, x := range s.Methods {
		about := []string{methodText(x)}
		if x.Inside != nil {
			about = append(about, insideText(*x.Inside))
		}
		r.Sections = append(r.Sections, render.Section{Heading: x.Method, Paragraphs: about,
			Figures: effectFigures("All items", x.Unit, x.All)})
		for _, l := range x.Labels {
			r.Sections = append(r.Sections, render.Section{Figures: effectFigures(
				fmt.Sprintf("Items whose label is %q", l.Label), x.Unit, l.Words)})
		}
	}
	for _, w := range s.Worst {
		if len(w.Why) == 0 {
			r.Sections = append(r.Sections, render.Section{Paragraphs: []string{mistakeText(w)}})
			continue
		}
		r.Sections = append(r.Sections, render.Section{Heading: fmt.Sprintf("Line %d: %q in place of %q", w.Line, w.Choice,
			w.Label), Figures: render.Figures(w.Why...)})
	}
	return r
}

// summaryPicture is how much lies inside, where that is known, and else the words of the first method; nil: there are
// none.
func summaryPicture(s *batch.Summary) plot.Figure {
	if inside := insideFigure(s); inside != nil {
		return inside
	}
	if len(s.Methods) == 0 {
		return nil
	}
	x := s.Methods[0]
	if figures := effectFigures(methodText(x), x.Unit, x.All); figures != nil {
		return figures[0]
	}
	return nil
}

// insideFigure draws how much of each method's scores lies inside, beside what chance would have there.
func insideFigure(s *batch.Summary) *plot.Bars {
	bars := plot.Bars{Title: "Of the scores above 0, inside the part that holds the cause", XLabel: "%",
		Series: []plot.Series{{Name: "the scores"}, {Name: "at random"}}}
	for _, x := range s.Methods {
		if x.Inside == nil {
			continue
		}
		share := x.Inside.Share
		bars.Names = append(bars.Names, x.Method)
		bars.Series[0].Values = append(bars.Series[0].Values, 100*share.Mean)
		bars.Series[0].Spread = append(bars.Series[0].Spread, 100*max(share.High-share.Mean, share.Mean-share.Low))
		bars.Series[1].Values = append(bars.Series[1].Values, 100*x.Inside.Random)
	}
	if bars.Names == nil {
		return nil
	}
	return &bars
}

// effectFigures are the words that matter as bars, those against the target to the left, and as a table.
func effectFigures(title, unit string, e batch.WordEffects) []plot.Figure {
	bars := plot.Bars{Title: title, XLabel: "mean score (" + unit + ")", Series: []plot.Series{{Name: "mean"}}}
	table := plot.Table{Header: []string{"word", "mean", "error", "spread", "times", "items"}}
	for _, w := range slices.Concat(e.For, e.Against) {
		bars.Names = append(bars.Names, w.Word)
		bars.Series[0].Values = append(bars.Series[0].Values, w.Mean)
		bars.Series[0].Spread = append(bars.Series[0].Spread, w.Error)
		table.Rows = append(table.Rows, []any{w.Word, w.Mean, w.Error, w.Spread, w.Count, w.Items})
	}
	if len(bars.Names) == 0 {
		return nil
	}
	return []plot.Figure{bars, table}
}
