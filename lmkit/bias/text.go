package bias

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// Text writes a report for a terminal.
func (r *Report) Text(w io.Writer, o plot.Options) error {
	t := printable.NewLines(o.Color, o.Width)
	for _, f := range r.facts() {
		t.Block(printable.PadRight(f.name, labelWidth), labelWidth, f.text)
	}
	if err := t.Flush(w); err != nil {
		return err
	}
	for _, table := range r.tables() {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := table.Text(w, o); err != nil {
			return err
		}
	}
	if len(r.Suite.Warnings) == 0 {
		return nil
	}
	t = printable.NewLines(o.Color, o.Width)
	t.Line("")
	for _, warning := range r.Suite.Warnings {
		t.Block(printable.PadRight("warning", labelWidth), labelWidth, warning)
	}
	return t.Flush(w)
}

const labelWidth = 11

// fact is a line about all pairs.
type fact struct{ name, text string }

// facts says what was measured, and what came out for all pairs.
func (r *Report) facts() []fact {
	s, a := r.Suite, r.All
	first := "No token stands before the first one."
	switch {
	case r.Begin != "":
		first = fmt.Sprintf("First tokens are read after %q.", r.Begin)
	case r.Unscored:
		first = "The model has no token that a text begins after, so that first tokens have no score: a difference in the " +
			"first word counts only by what follows it."
	}
	all := []fact{
		{"suite", fmt.Sprintf("%s: %s from %s", s.Name, count(len(r.Pairs), "pair"), s.Source)},
		{"protocol", fmt.Sprintf("%s: a sentence's score is %s, in %s. %s", r.Protocol.Name, r.Protocol.Is,
			r.Protocol.Unit, first)},
		{"prefers", fmt.Sprintf("%s over %s in %.2f %% of pairs (%.2f to %.2f, %s): %s to %s, and %s",
			s.First, s.Second, 100*a.Share, 100*a.Low, 100*a.High, r.interval(), thousands(a.First),
			thousands(a.Second), count(a.Ties, "tie"))},
		{"sign test", fmt.Sprintf("p = %s. %s", printable.Number(a.P), r.power(a))},
		{"difference", fmt.Sprintf("median %+.3f %s, mean %+.3f; one sentence is at least twice as likely%s in %.1f %% of "+
			"pairs", a.Median, r.Protocol.Unit, a.Mean, r.aToken(), 100*a.Far)},
		{"from", fmt.Sprintf("of the mean difference of the log-probabilities, %+.3f nats are in the words that differ, "+
			"%+.3f in the words that are the same in both", r.Where.Changed, r.Where.Shared)},
	}
	if r.Lengths.Differ > 0 {
		text := fmt.Sprintf("%s of different numbers of tokens", count(r.Lengths.Differ, "pair"))
		if e := r.Lengths.Equal; e.N > 0 {
			text += fmt.Sprintf("; of the others %.2f %% (%.2f to %.2f)", 100*e.Share, 100*e.Low, 100*e.High)
		}
		all = append(all, fact{"lengths", text})
	}
	unknown := fmt.Sprintf("%.2f %% of the pairs hold a word that the model does not know", 100*r.Unknown.Share)
	if r.Unknown.Pairs > 0 {
		unknown += fmt.Sprintf(", and reads as one and the same: %d pairs, of which %s", r.Unknown.Pairs,
			count(r.Unknown.Ties, "tie"))
	}
	all = append(all, fact{"unknown", unknown})
	if o := r.Occupations; o != nil {
		all = append(all, fact{"occupations", fmt.Sprintf("over %d of them, the difference goes with the share of women: "+
			"Pearson's r %s, Spearman's %s; %s for each percent", len(o.Each), o.Pearson, o.Spearman, o.Slope)})
	}
	if x := r.StereoSet; x != nil {
		all = append(all, fact{"StereoSet", fmt.Sprintf("stereotype score %.2f, language model score %.2f, ICAT %.2f: means "+
			"over %s, ties counted against the stereotype", x.Stereotype, x.Model, x.ICAT, count(x.Terms, "target term"))})
	}
	if n := len(s.Broken); n > 0 {
		b := s.Broken[0]
		all = append(all, fact{"left out", fmt.Sprintf("%s: line %d of %s %s", count(n, "line"), b.Line, b.File, b.Why)})
	}
	if n := len(r.Left); n > 0 {
		all = append(all, fact{"left out", fmt.Sprintf("%s without a score: %s: %s", count(n, "pair"), r.Left[0].ID,
			r.Left[0].Why)})
	}
	return all
}

// String writes a correlation with its interval.
func (c Correlation) String() string {
	if c.Value == nil {
		return "undefined"
	}
	if c.Low == nil {
		return fmt.Sprintf("%.3f", *c.Value)
	}
	return fmt.Sprintf("%.3f (%.3f to %.3f)", *c.Value, *c.Low, *c.High)
}

// interval says over what the bootstrap draws.
func (r *Report) interval() string {
	if r.Suite.Clusters == "" {
		return "bootstrap over pairs"
	}
	return "bootstrap over " + plural(r.Suite.Clusters)
}

// power says what so many pairs can show.
func (r *Report) power(p Preference) string {
	n := p.First + p.Second
	if p.Smallest == 0 {
		return fmt.Sprintf("So few pairs without a tie, %d, can show no preference.", n)
	}
	return fmt.Sprintf("So many pairs without a tie, %s, can show a share of %.1f %% or more, or of %.1f %% or less.",
		thousands(n), 100*p.Smallest, 100*(1-p.Smallest))
}

func (r *Report) aToken() string {
	if r.Protocol.Name == Bits || r.Protocol.Name == Perplexity {
		return " a token"
	}
	return ""
}

// mostListed is how many groups and pairs a table has.
const mostListed = 100

// tables are those of groups, of all pairs where they are few, and of the worst ones.
func (r *Report) tables() (all []plot.Table) {
	for _, g := range r.By {
		if len(g.Groups) < 2 {
			continue
		}
		t := plot.Table{Title: fmt.Sprintf("By %s: %s over %s, mean %.2f %%", g.By, r.Suite.First,
			r.Suite.Second, 100*g.Mean),
			Header: []string{g.By, "pairs", "ties", "%", "low", "high", "p (Holm)", "can show %", "median"}}
		for _, p := range g.Groups[:min(mostListed, len(g.Groups))] {
			var can any = "nothing"
			if p.Smallest > 0 {
				can = 100 * p.Smallest
			}
			t.Rows = append(t.Rows, []any{p.Group, p.N, p.Ties, 100 * p.Share, 100 * p.Low, 100 * p.High,
				printable.Number(p.Holm), can, hundredths(p.Median)})
		}
		all = append(all, t)
	}
	if x := r.StereoSet; x != nil && len(x.By) > 1 {
		t := plot.Table{Title: "StereoSet's scores",
			Header: []string{"bias type", "terms", "stereotype", "language model", "ICAT"}}
		for _, g := range x.By {
			t.Rows = append(t.Rows, []any{g.Group, g.Terms, g.Stereotype, g.Model, g.ICAT})
		}
		all = append(all, t)
	}
	if len(r.Pairs) <= 20 && len(r.Pairs) > len(r.Worst) {
		t := plot.Table{Title: "All pairs", Header: []string{"pair", r.Suite.First, r.Suite.Second, "difference"}}
		for _, p := range r.Pairs {
			t.Rows = append(t.Rows, []any{p.ID, printable.Shorten(p.First, 28), printable.Shorten(p.Second, 28),
				hundredths(p.Difference)})
		}
		all = append(all, t)
	}
	for _, x := range r.Worst {
		all = append(all, r.sideBySide(x))
	}
	return all
}

// sideBySide is a pair word by word. Words that are the same in both sentences, and do as much for both, are joined.
func (r *Report) sideBySide(x Compared) plot.Table {
	groups := ""
	if len(x.Groups) > 0 {
		groups = " (" + strings.Join(x.Groups, ", ") + ")"
	}
	t := plot.Table{
		Title: fmt.Sprintf("Pair %s%s: %+.3f %s; of %+.3f nats, %+.3f in the words that differ", x.ID, groups, x.Difference,
			r.Protocol.Unit, x.FirstLogProb-x.SecondLogProb, x.Where.Changed),
		Header: []string{r.Suite.First, "nats", r.Suite.Second, "nats", "difference"}}
	var begun []string // words before any difference
	var before float64
	end := func() {
		if begun != nil {
			text := strings.Join(begun, " ")
			if len(begun) > 3 { // it is the same in both
				text = "... " + strings.Join(begun[len(begun)-3:], " ")
			}
			t.Rows = append(t.Rows, []any{text, hundredths(before), text, hundredths(before), 0.0})
			begun, before = nil, 0
		}
	}
	for _, s := range x.Steps {
		if !s.Changed() && s.Difference == 0 {
			begun, before = append(begun, s.First), before+s.FirstLogProb
			continue
		}
		end()
		first, second := s.First, s.Second
		if s.Changed() {
			first, second = mark(first), mark(second)
		}
		t.Rows = append(t.Rows, []any{first, hundredths(s.FirstLogProb), second, hundredths(s.SecondLogProb),
			hundredths(s.Difference)})
	}
	end()
	return t
}

// hundredths rounds a number, so that a table does not give a small one more digits than a large one.
func hundredths(x float64) float64 { return math.Round(100*x) / 100 }

// mark sets words that differ apart from the others, where there is no colour.
func mark(words string) string {
	if words == "" {
		return "-"
	}
	return "*" + words + "*"
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + plural(noun)
}

func plural(noun string) string { return noun + "s" }

// thousands writes a number with a comma after every three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
