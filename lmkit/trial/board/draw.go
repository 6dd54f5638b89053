package board

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"lmkit.internal/lmkit/explain/faithful"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

var titles = map[string]string{lm.Transformer: "Transformer", lm.LSTM: "LSTM"}

// Text writes the leaderboard for a terminal: a table an architecture, methods best first.
func (r *Result) Text(w io.Writer) error {
	for _, arch := range r.Config.Archs {
		models := r.of(arch)
		if len(models) == 0 {
			continue
		}
		fmt.Fprint(w, r.heading(arch))
		if err := r.table(w, models); err != nil {
			return err
		}
		r.failures(w, models)
		if half, of, task := widest(models); of != "" {
			fmt.Fprintf(w, "intervals: %.0f %% by bootstrap, at the widest ±%.2f (%s on %s%s); the JSON "+
				"has them all\n", 100*models[0].Table.Level, half, of, task, r.either(", verified items", ""))
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprint(w, r.legend())
	return err
}

// either is a text about planted texts, or one about facts.
func (r *Result) either(planted, facts string) string {
	if r.Facts != nil {
		return facts
	}
	return planted
}

func (r *Result) heading(arch string) string {
	if r.Facts != nil {
		return fmt.Sprintf("%s (%s): how much of the true cause each method ranks first (precision at k, by signed "+
			"score)\nfound: mean over the relations, with its interval; then each relation; then more means over the "+
			"relations\n\n", r.Facts.Model, titles[arch])
	}
	return fmt.Sprintf("%s: how much of the planted cause each method ranks first (precision at k, by signed score)\n"+
		"found: mean over the tasks; then each task, on verified items, and in brackets on all; then more "+
		"means over the tasks\n\n", titles[arch])
}

// table writes a line a method, and lines about the texts under them.
func (r *Result) table(w io.Writer, models []Model) error {
	tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t") }
	head := []string{"method", "found"}
	for _, m := range models {
		head = append(head, m.Task)
	}
	head = append(head, "by size", "rank", "mass", "compr.", "suff.", "rows", "ms")
	if r.Facts != nil {
		head = append(head, "adds up")
	}
	row(head...)
	for _, name := range rank(models) {
		row(r.line(models, name)...)
	}
	under := func(what string, of func(Model) string) {
		cells := []string{what, ""}
		for _, m := range models {
			cells = append(cells, of(m))
		}
		row(append(cells, make([]string, len(head)-len(cells))...)...)
	}
	share := func(of func(*faithful.Table) faithful.Interval) func(Model) string {
		return func(m Model) string { return fmt.Sprintf("%.0f %%", 100*of(m.Table).Mean) }
	}
	if r.Facts == nil {
		under("verified", share(func(t *faithful.Table) faithful.Interval { return t.Verified }))
		under("answered right", share(func(t *faithful.Table) faithful.Interval { return t.Right }))
		under("steps trained", func(m Model) string { return fmt.Sprint(m.Steps) })
		return tw.Flush()
	}
	relation := func(m Model) Relation { return r.Facts.Relations[m.Task] }
	under("facts kept", func(m Model) string { return fmt.Sprintf("%d of %d", relation(m).Kept, relation(m).Given) })
	under("first choice", func(m Model) string { return fmt.Sprintf("%d of %d", relation(m).First, relation(m).Kept) })
	under("explained", func(m Model) string { return fmt.Sprint(m.Table.Items) })
	under("cause needed", share(func(t *faithful.Table) faithful.Interval { return t.Necessary }))
	under("cause enough", share(func(t *faithful.Table) faithful.Interval { return t.Sufficient }))
	return tw.Flush()
}

// legend says what the words of the table mean, and what was left out.
func (r *Result) legend() string {
	means := " rank: mean rank of the causes; mass: share of the positive scores that lies on them; compr. and suff.: " +
		"what the label's probability loses without, and with only, the top words; rows: through the model, for one " +
		"explanation with its evidence; ms: without compilation."
	if r.Facts == nil {
		return wrap(fmt.Sprintf("An item is verified when hiding its cause costs the model at least half of its margin, and "+
			"keeping the cause alone keeps its answer. %d items a model, seed %d.", r.Config.Items, r.Config.Seed) + means)
	}
	var b strings.Builder
	if r.Facts.Stopped {
		fmt.Fprintf(&b, "STOPPED after %d facts: these numbers are of them alone.\n", r.Facts.Scored)
	}
	b.WriteString(wrap("A fact is kept when the model prefers the answer to the other one, and the other one once the " +
		"word that decides is replaced: that word is the cause. " + r.Facts.summary() +
		fmt.Sprintf(" Seed %d.", r.Config.Seed) + means +
		" adds up: share of the facts on which the scores add up as the method promises. cause needed, cause enough: share " +
		"of the facts on which the baseline in place of the cause costs at least half of the margin, and on which the " +
		"cause alone keeps the answer."))
	for _, l := range r.Facts.Left[:min(len(r.Facts.Left), mostLeft)] {
		fmt.Fprintf(&b, "left out: line %d, %q: %s\n", l.Line, l.Text, l.Why)
	}
	if more := len(r.Facts.Left) - mostLeft; more > 0 {
		fmt.Fprintf(&b, "left out: %d more, which the JSON names\n", more)
	}
	return b.String()
}

// wrap breaks a text into lines.
func wrap(text string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case n > 0 && n+1+len(word) > 110:
			b.WriteByte('\n')
			n = 0
		case n > 0:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String() + "\n"
}

// mostLeft is how many facts that are left out a text names.
const mostLeft = 10

// summary says how many facts the board rests on.
func (f *Facts) summary() string {
	given := 0
	for _, r := range f.Relations {
		given += r.Given
	}
	return fmt.Sprintf("%d of %d facts of %s kept, %d explained; the baseline is %s.", f.Kept, given, f.Source, f.Scored,
		f.Baseline)
}

// widest is the half width of the widest interval of a precision on verified items, and whose it is.
func widest(models []Model) (half float64, method, task string) {
	for _, m := range models {
		for _, row := range m.Table.Rows {
			if row.Verified == nil {
				continue
			}
			if p := row.Verified.Signed.Precision; method == "" || (p.High-p.Low)/2 > half {
				half, method, task = (p.High-p.Low)/2, row.Method.Name, m.Task
			}
		}
	}
	return half, method, task
}

// line is a method's row: its precision on each model, then means.
func (r *Result) line(models []Model, name string) []string {
	overall := "-"
	if f, ok := found(models)[name]; ok {
		overall = fmt.Sprintf("%.2f", f)
		if r.Facts != nil {
			overall += fmt.Sprintf(" ±%.2f", half(models, name))
		}
	}
	cells := []string{name, overall}
	var size, rank, mass, compr, suff, rows, ms, adds mean
	for _, m := range models {
		row := find(m, name)
		switch {
		case row == nil || row.Error != "":
			cells = append(cells, "-")
			continue
		case row.Verified == nil:
			cells = append(cells, fmt.Sprintf("- (%.2f)", row.All.Signed.Precision.Mean))
		default:
			v := row.Verified
			cell := fmt.Sprintf("%.2f", v.Signed.Precision.Mean)
			if r.Facts == nil {
				cell += fmt.Sprintf(" (%.2f)", row.All.Signed.Precision.Mean)
			}
			cells = append(cells, cell)
			size.add(v.Size.Precision.Mean)
			rank.add(v.Signed.MeanRank.Mean)
			mass.add(v.Signed.Mass.Mean)
			compr.add(v.Comprehensiveness.Mean)
			suff.add(v.Sufficiency.Mean)
		}
		rows.add(row.Rows)
		ms.add(1000 * row.Seconds)
		if row.AddsUp != nil {
			adds.add(row.AddsUp.Mean)
		}
	}
	cells = append(cells, size.text("%.2f"), rank.text("%.1f"), mass.text("%.2f"), compr.text("%.2f"), suff.text("%.2f"),
		rows.text("%.0f"))
	if r.Facts == nil {
		return append(cells, ms.text("%.1f"))
	}
	return append(cells, ms.text("%.0f"), adds.text("%.2f"))
}

// half is half of the width of the interval of a method's mean over some models, of which each has another text: the
// squares of the half widths add up.
func half(models []Model, name string) float64 {
	sum := 0.0
	for _, m := range models {
		if row := find(m, name); row != nil && row.Verified != nil {
			p := row.Verified.Signed.Precision
			sum += (p.High - p.Low) * (p.High - p.Low) / 4
		}
	}
	return math.Sqrt(sum) / float64(len(models))
}

// mean of the numbers added to it.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(x float64) {
	if !math.IsNaN(x) {
		m.sum += x
		m.n++
	}
}

func (m *mean) text(format string) string {
	if m.n == 0 {
		return "-"
	}
	return fmt.Sprintf(format, m.sum/float64(m.n))
}

// failures says why methods have no score.
func (r *Result) failures(w io.Writer, models []Model) {
	said := map[string]bool{}
	for _, m := range models {
		for _, row := range m.Table.Rows {
			if row.Error != "" && !said[row.Method.Name] {
				said[row.Method.Name] = true
				fmt.Fprintf(w, "%s: %s\n", row.Method.Name, strings.TrimPrefix(row.Error, row.Method.Name+": "))
			}
		}
	}
}

// HTML writes the leaderboard as a page: for each architecture a picture of methods by tasks, and notes about these.
func (r *Result) HTML(w io.Writer) error {
	page := render.Report{Title: "Which explanation methods find the true cause?",
		Intro: fmt.Sprintf("Small models learned tasks whose true cause is known. Each method explained %d unseen texts "+
			"of each model. The darker, the more of the true cause it ranks first. Only items count whose cause is verified "+
			"on the trained model.", r.Config.Items)}
	if r.Facts != nil {
		page.Intro = fmt.Sprintf("The model %s answers each fact right, and gives the other answer once one word is "+
			"replaced: this word is the true cause. The darker, the more of it a method ranks first. %s Seed %d.", r.Facts.Model,
			r.Facts.summary(), r.Config.Seed)
	}
	for _, arch := range r.Config.Archs {
		models := r.of(arch)
		if len(models) == 0 {
			continue
		}
		m := plot.Matrix{Title: titles[arch] + ": precision at k on verified items", Rows: rank(models), Max: 1}
		for _, name := range m.Rows {
			var row []float64
			for _, x := range models {
				p := precision(x, name)
				if p < 0 {
					p = math.NaN()
				}
				row = append(row, p)
			}
			m.Data = append(m.Data, row)
		}
		var notes []string
		for _, x := range models {
			m.Cols = append(m.Cols, x.Task)
			notes = append(notes, r.note(x))
		}
		page.Sections = append(page.Sections, render.Section{Heading: titles[arch], Paragraphs: notes,
			Figures: []plot.Figure{m}})
	}
	return page.HTML(w)
}

// note says in a sentence what is under a column.
func (r *Result) note(m Model) string {
	if r.Facts == nil {
		return fmt.Sprintf("%s: trained for %d steps, %.0f %% answered right, %.0f %% verified.", m.Task, m.Steps,
			100*m.Table.Right.Mean, 100*m.Table.Verified.Mean)
	}
	f := r.Facts.Relations[m.Task]
	return fmt.Sprintf("%s: %d of %d facts kept, %d of them as the model's first choice of all tokens; %d explained.",
		m.Task, f.Kept, f.Given, f.First, m.Table.Items)
}
