package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit/batch"
	"lmkit.internal/lmkit/grade"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

type slicesFlags struct {
	grade.Slicing
	loss, html string
	json       bool
}

func (a *app) slicesCmd() *cobra.Command {
	var o slicesFlags
	cmd := &cobra.Command{
		Use:   `slices FILE|RESULTS`,
		Short: "Find where a model is worse than elsewhere",
		Long: `Find where a model is worse than elsewhere. FILE is what lmkit classify --out wrote, or any table with a column
"loss", or "said" and "label"; RESULTS is a folder of lmkit explain --file, whose items have a label.

A slice is the rows for which one condition holds, or two: a word is in the text, the text has so many words, the label
or another column has a value. All of them are tried on one half of the rows, drawn at random. The worst are then
measured on the other half, where nothing was chosen, and tested there, corrected for how many are shown.`,
		Example: `  lmkit slices said.csv`,
		Args:    between(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.slices(cmd.Context(), args[0], o) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.loss, "loss", "", "the column that says how wrong the model was (default: said is not label, or loss)")
	f.IntVar(&o.Literals, "conditions", 2, "conditions of a slice, at most")
	f.IntVar(&o.Least, "least", 0, "rows of a slice in the half that it is found on (default: 32, or a hundredth of it)")
	f.IntVar(&o.Top, "top", 5, "how many slices are shown, at most")
	f.Uint64Var(&o.Seed, "seed", 0, "of the halves")
	f.BoolVar(&o.json, "json", false, "write JSON")
	f.StringVar(&o.html, "html", "", "write a page to this `FILE`, too")
	return cmd
}

func (a *app) slices(ctx context.Context, path string, o slicesFlags) error {
	if o.Literals < 1 || o.Top < 1 || o.Least < 0 {
		return usage("--conditions and --top are 1 or more, and --least is 0 or more")
	}
	if err := writable([]string{path}, output{"--html", o.html, pageBegins}); err != nil {
		return err
	}
	examples, without, err := batch.Examples(path, o.loss)
	if err != nil {
		return err
	}
	if without > 0 {
		a.note("%s how wrong the model was, and left out", count(without, "1 row does not say", "rows do not say"))
	}
	s, err := grade.FindSlices(ctx, examples, o.Slicing)
	a.meter().hide()
	if err != nil {
		return err
	}
	if o.json {
		err = writeJSON(a.out, s)
	} else {
		err = a.slicesText(s)
	}
	if err != nil {
		return err
	}
	return a.file(o.html, func(w io.Writer) error {
		return render.Report{Title: "Where the model is worse: " + path, Intro: slicesIntro(s), Sections: []render.Section{
			{Figures: []plot.Figure{slicesTable(s)}, Paragraphs: []string{slicesFound(s)}}}}.HTML(w)
	})
}

func (a *app) slicesText(s *grade.Slices) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", slicesIntro(s))
	for i, x := range s.Slices {
		fmt.Fprintf(&b, "\n%2d. %s\n    %s of %s, elsewhere %s; p = %.2g, corrected %.2g%s\n"+
			"    where it was found: %s of %s\n", i+1,
			strings.Join(x.Where, " and "), lossText(s, x.Held.Loss), count(x.Held.Examples, "1 row", "rows"),
			lossText(s, x.Held.Rest), x.P, x.Adjusted, map[bool]string{true: "  *"}[x.Adjusted < significant],
			lossText(s, x.Found.Loss), count(x.Found.Examples, "1 row", "rows"))
		if len(x.Lines) > 0 {
			fmt.Fprintf(&b, "    worst lines: %s\n", strings.Trim(fmt.Sprint(x.Lines), "[]"))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", slicesFound(s))
	return printf(a.out, "%s", b.String())
}

// significant is what a corrected p must be below for a slice to be called worse.
const significant = 0.05

// lossText is a mean loss in words.
func lossText(s *grade.Slices, loss float64) string {
	if s.Errors {
		return fmt.Sprintf("%.1f %% wrong", 100*loss)
	}
	return fmt.Sprintf("loss %.3g", loss)
}

// slicesIntro says what was done.
func slicesIntro(s *grade.Slices) string {
	return fmt.Sprintf("%s slices of %s conditions were tried on %s rows; the worst are measured on the other %s (%s).",
		thousands(s.Tried), thousands(s.Literals), thousands(s.Halves[0]), thousands(s.Halves[1]), lossText(s, s.Loss))
}

// slicesFound says what came of it.
func slicesFound(s *grade.Slices) string {
	worse := 0
	for _, x := range s.Slices {
		if x.Adjusted < significant {
			worse++
		}
	}
	switch {
	case len(s.Slices) == 0:
		return fmt.Sprintf("No slice of %d rows or more is worse than the whole.", s.Least)
	case worse == 0:
		return "None of these is worse on the other half by more than chance gives: nothing was found."
	case worse == 1:
		return "One of these (*) is worse on the other half by more than chance gives."
	}
	return fmt.Sprintf("%d of these (*) are worse on the other half by more than chance gives.", worse)
}

func slicesTable(s *grade.Slices) plot.Table {
	what := "loss"
	if s.Errors {
		what = "share wrong"
	}
	t := plot.Table{Header: []string{"slice", "rows", what, "elsewhere", "p", "corrected p", "", "worst lines"}}
	for _, x := range s.Slices {
		t.Rows = append(t.Rows, []any{strings.Join(x.Where, " and "), x.Held.Examples, x.Held.Loss, x.Held.Rest, x.P,
			x.Adjusted, map[bool]string{true: "*"}[x.Adjusted < significant], strings.Trim(fmt.Sprint(x.Lines), "[]")})
	}
	if len(t.Rows) == 0 {
		t.Rows = append(t.Rows, []any{"none", nil, nil, nil, nil, nil, nil, nil})
	}
	return t
}
