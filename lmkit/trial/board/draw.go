package board

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

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
		fmt.Fprintf(w, "%s: how much of the planted cause each method ranks first (precision at k, by signed score)\n",
			titles[arch])
		fmt.Fprintf(w, "found: mean over the tasks; then each task, on verified items, and in brackets on all; then more "+
			"means over the tasks\n\n")
		tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
		row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t") }
		head := []string{"method", "found"}
		for _, m := range models {
			head = append(head, m.Task)
		}
		row(append(head, "by size", "rank", "mass", "compr.", "suff.", "rows", "ms")...)
		for _, name := range rank(models) {
			row(line(models, name)...)
		}
		verified := []string{"verified", ""}
		right := []string{"answered right", ""}
		steps := []string{"steps trained", ""}
		for _, m := range models {
			verified = append(verified, fmt.Sprintf("%.0f %%", 100*m.Table.Verified.Mean))
			right = append(right, fmt.Sprintf("%.0f %%", 100*m.Table.Right.Mean))
			steps = append(steps, fmt.Sprint(m.Steps))
		}
		for _, c := range [][]string{verified, right, steps} {
			row(append(c, "", "", "", "", "", "", "")...)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		r.failures(w, models)
		if half, of, task := widest(models); of != "" {
			fmt.Fprintf(w, "intervals: %.0f %% by bootstrap, at the widest ±%.2f (%s on %s, verified items); the JSON "+
				"has them all\n", 100*models[0].Table.Level, half, of, task)
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "An item is verified when hiding its cause costs the model at least half of its margin, "+
		"and keeping the cause\nalone keeps its answer. %d items a model, seed %d. rank: mean rank of the causes; mass: "+
		"share of the positive\nscores that lies on them; compr. and suff.: what the label's probability loses without, "+
		"and with only, the top\nwords; rows: through the model, for one explanation with its evidence; ms: without "+
		"compilation.\n", r.Config.Items, r.Config.Seed)
	return err
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
func line(models []Model, name string) []string {
	overall := "-"
	if f, ok := found(models)[name]; ok {
		overall = fmt.Sprintf("%.2f", f)
	}
	cells := []string{name, overall}
	var size, rank, mass, compr, suff, rows, ms mean
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
			cells = append(cells, fmt.Sprintf("%.2f (%.2f)", v.Signed.Precision.Mean, row.All.Signed.Precision.Mean))
			size.add(v.Size.Precision.Mean)
			rank.add(v.Signed.MeanRank.Mean)
			mass.add(v.Signed.Mass.Mean)
			compr.add(v.Comprehensiveness.Mean)
			suff.add(v.Sufficiency.Mean)
		}
		rows.add(row.Rows)
		ms.add(1000 * row.Seconds)
	}
	return append(cells, size.text("%.2f"), rank.text("%.1f"), mass.text("%.2f"), compr.text("%.2f"), suff.text("%.2f"),
		rows.text("%.0f"), ms.text("%.1f"))
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

// HTML writes the leaderboard as a page: for each architecture a picture of methods by tasks, and the table.
func (r *Result) HTML(w io.Writer) error {
	page := render.Report{Title: "Which explanation methods find the true cause?",
		Intro: fmt.Sprintf("Small models learned tasks whose true cause is known. Each method explained %d unseen texts "+
			"of each model. The darker, the more of the true cause it ranks first. Only items count whose cause is verified "+
			"on the trained model.", r.Config.Items)}
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
			notes = append(notes, fmt.Sprintf("%s: trained for %d steps, %.0f %% answered right, %.0f %% verified.", x.Task,
				x.Steps, 100*x.Table.Right.Mean, 100*x.Table.Verified.Mean))
		}
		page.Sections = append(page.Sections, render.Section{Heading: titles[arch], Paragraphs: notes,
			Figures: []plot.Figure{m}})
	}
	return page.HTML(w)
}
