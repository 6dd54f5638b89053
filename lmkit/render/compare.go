package render

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// Comparison sets several attributions of the same input and the same features side by side.
type Comparison struct {
	Attributions []*explain.Attribution // the columns
	Pairs        []Agreement            // each pair of columns, in order
	K            int                    // how many top features Agreement.TopOverlap looks at
}

// Agreement is how far two columns agree. NaN where a number has no meaning, such as for a list that is constant.
type Agreement struct {
	A, B       int     // columns
	Spearman   float64 // of the signed scores
	TopOverlap float64 // share of the top K features, by size, that both name
}

// Compare makes the comparison. It fails unless there are at least one valid attribution, all of the same tokens and
// features.
func Compare(as ...*explain.Attribution) (*Comparison, error) {
	if len(as) == 0 {
		return nil, errors.New("nothing to compare: give at least one attribution")
	}
	for i, a := range as {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("cannot compare attribution %d: %w", i+1, err)
		}
		if !slices.EqualFunc(a.Tokens, as[0].Tokens, func(x, y explain.InputToken) bool { return x.ID == y.ID }) {
			return nil, fmt.Errorf("cannot compare attribution %d with attribution 1: they explain different inputs", i+1)
		}
		if !slices.EqualFunc(
			a.Features,
			as[0].Features,
			func(x, y explain.Feature) bool { return slices.Equal(x.Tokens, y.Tokens) && x.Text == y.Text },
		) {
			return nil, fmt.Errorf(
				"cannot compare attribution %d with attribution 1: they score different features; use the same grouping",
				i+1,
			)
		}
	}
	c := &Comparison{Attributions: as, K: min(3, len(as[0].Features))}
	for i := range as {
		for j := i + 1; j < len(as); j++ {
			p := Agreement{A: i, B: j, TopOverlap: math.NaN()}
			var err error
			if p.Spearman, err = explain.Spearman(as[i].Scores, as[j].Scores); err != nil {
				return nil, err
			}
			if c.K > 0 {
				if p.TopOverlap, err = explain.TopOverlap(as[i].Scores, as[j].Scores, c.K); err != nil {
					return nil, err
				}
			}
			c.Pairs = append(c.Pairs, p)
		}
	}
	return c, nil
}

// check refuses what Compare did not make.
func (c *Comparison) check() error {
	if _, err := Compare(c.Attributions...); err != nil {
		return fmt.Errorf("cannot draw the comparison: %w", err)
	}
	return nil
}

// evidenceRow is one line under the scores: a short text for each column.
type evidenceRow struct {
	Name  string
	Cells []fact
}

// evidence returns the evidence of all columns, short enough for a table.
func (c *Comparison) evidence() []evidenceRow {
	rows := []evidenceRow{
		{Name: "asked"},
		{Name: "first choice"},
		{Name: "unit"},
		{Name: "value"},
		{Name: "base"},
		{Name: "baseline"},
		{Name: "completeness"},
		{Name: "necessity"},
		{Name: "at random"},
		{Name: "sufficiency"},
		{Name: "rows"},
		{Name: "seconds"},
		{Name: "warnings"},
	}
	for _, a := range c.Attributions {
		complete := fact{Text: "not promised"}
		if e := a.Evidence.Completeness; e != nil {
			complete = fact{Text: "holds, " + printable.Percent(e.Relative), Bad: !e.Holds}
			if complete.Bad {
				complete.Text = "FAILS, " + printable.Percent(e.Relative)
			}
		}
		warnings := fact{Text: "none"}
		if n := len(a.Warnings); n > 0 {
			warnings = fact{Text: fmt.Sprint(n), Bad: true}
		}
		for i, cell := range []fact{
			{Text: question(a)}, firstChoice(a), {Text: printable.Line(a.Unit)},
			{Text: printable.Number(a.Value)}, {Text: printable.Number(a.Base)}, {Text: printable.Line(a.Baseline)}, complete,
			shortDeletion(a.Evidence.Necessity), atRandom(a), shortDeletion(a.Evidence.Sufficiency),
			{Text: fmt.Sprintf("%d + %d", a.Cost.ForwardRows, a.Cost.BackwardRows)},
			{Text: printable.Number(a.Cost.Seconds)}, warnings,
		} {
			rows[i].Cells = append(rows[i].Cells, cell)
		}
	}
	if c.holds() {
		row := evidenceRow{Name: "held"}
		for _, a := range c.Attributions {
			row.Cells = append(row.Cells, shortHeld(a))
		}
		rows = append(rows, row)
	}
	return rows
}

// holds says whether there are tokens that stay and have no score.
func (c *Comparison) holds() bool {
	return slices.ContainsFunc(c.Attributions, func(a *explain.Attribution) bool { return a.Evidence.Held != nil })
}

// shortHeld is how many tokens stay and have no score, and what the objective becomes without them.
func shortHeld(a *explain.Attribution) fact {
	h := a.Evidence.Held
	if h == nil {
		return fact{Text: "none"}
	}
	return fact{Text: fmt.Sprintf("%d: to %s", max(1, heldTokens(a.Tokens)), printable.Number(a.Value-h.Effect))}
}

// firstChoice is the model's own, which need not be the target.
func firstChoice(a *explain.Attribution) fact {
	switch {
	case a.Choice == nil:
		return fact{Text: "not stated"}
	case a.Asked().Chosen():
		return fact{Text: "the target"}
	}
	return fact{Text: "not the target: " + printable.Quoted(a.Choice.Text)}
}

func shortDeletion(d *explain.Deletion) fact {
	if d == nil {
		return fact{Text: "not measured"}
	}
	s := fmt.Sprintf("%d: to %s", len(d.Features), printable.Number(d.Value))
	if d.Flips {
		s += ", flips to " + printable.Quoted(d.Decision)
		if d.Baseline != "" {
			s += " with " + printable.Line(d.Baseline)
		}
	}
	return fact{Text: s}
}

// atRandom is what the objective becomes without as many features chosen at random.
func atRandom(a *explain.Attribution) fact {
	if d := a.Evidence.Necessity; d != nil && d.Random != nil {
		return fact{Text: fmt.Sprintf("%d: to %s", len(d.Features), printable.Number(a.Value-*d.Random))}
	}
	return fact{Text: "not measured"}
}

// notes explain the short forms of the table.
func (c *Comparison) notes() []string {
	notes := []string{
		"Scores are as measured, each column in its own unit; colours are scaled to the largest score of their column.",
		"Necessity: what the objective becomes without the method's top features (their number: the value). " +
			"At random: without as many chosen at random, on average. Sufficiency: with only these. Rows: forward + backward.",
		fmt.Sprintf(
			"Agreement: Spearman's rank correlation of the signed scores; then how many of the top %d features, "+
				"by size, two methods share. A method without signs can agree with a signed one in size only.",
			c.K,
		),
	}
	if c.holds() {
		notes = append(notes, "Held: the tokens that stay and have no score, such as a chat template's or an attention "+
			"sink, and what the objective becomes without them.")
	}
	if slices.ContainsFunc(c.Attributions, func(a *explain.Attribution) bool { return several(a.Baseline) }) {
		notes = append(notes, "Of several baselines, scores and values are means; a flip is one with the first.")
	}
	return notes
}

func agreementText(p Agreement, k int) string {
	if math.IsNaN(p.Spearman) && math.IsNaN(p.TopOverlap) {
		return "-"
	}
	rho := "-"
	if !math.IsNaN(p.Spearman) {
		rho = fmt.Sprintf("%+.2f", p.Spearman)
	}
	return fmt.Sprintf("%s, %d of %d", rho, int(math.Round(p.TopOverlap*float64(k))), k)
}

// methods names the two methods whose agreement it is.
func (c *Comparison) methods(p Agreement) string {
	return printable.Line(c.Attributions[p.A].Method.Name) + " / " + printable.Line(c.Attributions[p.B].Method.Name)
}

// pair returns the agreement of two columns in either order.
func (c *Comparison) pair(i, j int) Agreement {
	for _, p := range c.Pairs {
		if p.A == min(i, j) && p.B == max(i, j) {
			return p
		}
	}
	return Agreement{i, j, math.NaN(), math.NaN()}
}

// Text writes the comparison for a terminal. Methods that do not fit side by side follow in further tables.
func (c *Comparison) Text(w io.Writer, o plot.Options) error {
	if err := c.check(); err != nil {
		return err
	}
	t := printable.NewLines(o.Color, o.Width)
	for _, a := range c.Attributions {
		for _, warning := range a.Warnings {
			t.Block(t.Paint("1;38;5;208", "WARNING"), 7, printable.Line(a.Method.Name)+": "+printable.Line(warning))
		}
	}
	first, most := 12, max(12, min(24, t.Width/3))
	for f := range c.Attributions[0].Features {
		first = max(first, printable.Columns(featureName(c.Attributions[0], f, most)))
	}
	const wide = 20
	perTable := max(1, (t.Width-first)/(wide+2))
	for start := 0; start < len(c.Attributions); start += perTable {
		t.Line("")
		writeTable(t, c, start, min(start+perTable, len(c.Attributions)), first, wide)
	}
	if len(c.Pairs) > 0 {
		t.Line("")
		t.Line(t.Paint("1", "agreement"))
		for _, p := range c.Pairs {
			t.Block("  "+printable.PadRight(agreementText(p, c.K), 14), 16, c.methods(p))
		}
	}
	t.Line("")
	for _, n := range c.notes() {
		t.Block("", 0, n)
	}
	return t.Flush(w)
}

func writeTable(t *printable.Lines, c *Comparison, start, end, first, wide int) {
	head := printable.PadRight("", first)
	for _, a := range c.Attributions[start:end] {
		head += "  " + t.Paint("1", printable.PadLeft(printable.Shorten(printable.Line(a.Method.Name), wide), wide))
	}
	t.Line(head)
	for f := range c.Attributions[0].Features {
		row := printable.PadRight(featureName(c.Attributions[0], f, first), first)
		for _, a := range c.Attributions[start:end] {
			top := canvas.Largest(a.Scores)
			s := scoreText(a, f, printable.ScoreFormat(top))
			cell := s
			if t.Color {
				cell = t.Paint(background(canvas.Ratio(a.Scores[f], top)), " "+s+" ")
				s = " " + s + " "
			}
			row += "  " + strings.Repeat(" ", max(0, wide-printable.Columns(s))) + cell
		}
		t.Line(row)
	}
	t.Line(t.Paint("2", strings.Repeat("─", first+(end-start)*(wide+2))))
	for _, e := range c.evidence() {
		cells := make([][]string, end-start)
		height := 1
		for k := range cells {
			cells[k] = printable.Wrap(e.Cells[start+k].Text, wide)
			height = max(height, len(cells[k]))
		}
		for l := range height {
			name := ""
			if l == 0 {
				name = e.Name
			}
			row := t.Paint("2", printable.PadRight(name, first))
			for k := range cells {
				s := ""
				if l < len(cells[k]) {
					s = cells[k][l]
				}
				s = printable.PadLeft(s, wide)
				if e.Cells[start+k].Bad {
					s = t.Paint("1;38;5;208", s)
				}
				row += "  " + s
			}
			t.Line(row)
		}
	}
}
