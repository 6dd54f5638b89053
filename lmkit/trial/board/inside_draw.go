package board

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// Text writes a table a task for a terminal, the best way first.
func (r *Inside) Text(w io.Writer) error {
	for _, m := range r.Models {
		fmt.Fprintf(w, "%s: which ways find the parts that the prediction goes by\n%s\n\n", m.Task, m.about())
		tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
		row := func(cells ...string) { fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t") }
		head := []string{"way", "found", "rank", "left, mean"}
		var shown []int
		for i, n := range m.Out {
			if slices.Contains([]int{1, 2, 3, 5, 10, 20}, n) {
				head, shown = append(head, fmt.Sprintf("without %d", n)), append(shown, i)
			}
		}
		row(head...)
		for _, way := range m.Ways {
			cells := []string{way.Name, interval(way.Found.Count, way.Found.Mean, way.Found.Low, way.Found.High),
				interval(way.Rank.Count, way.Rank.Mean, way.Rank.Low, way.Rank.High),
				interval(way.Area.Count, way.Area.Mean, way.Area.Low, way.Area.High)}
			for _, i := range shown {
				cells = append(cells, fmt.Sprintf("%.2f", way.Left[i]))
			}
			row(cells...)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if _, err := fmt.Fprint(w, wrap(r.legend())); err != nil {
		return err
	}
	for _, l := range r.Left[:min(len(r.Left), mostLeft)] {
		if _, err := fmt.Fprintf(w, "left out: line %d, %q: %s\n", l.Line, l.Text, l.Why); err != nil {
			return err
		}
	}
	return nil
}

// interval is a mean with half the width of its interval.
func interval(n int, mean, low, high float64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ±%.2f", mean, (high-low)/2)
}

// about says what the parts are, and which of them matter.
func (m InsideModel) about() string {
	order := make([]int, len(m.Parts))
	for i := range order {
		order[i] = i
	}
	sizes := size(m.Truth)
	slices.SortStableFunc(order, func(a, b int) int {
		if sizes[a] > sizes[b] {
			return -1
		}
		return 1
	})
	var first []string
	for _, i := range order[:min(5, len(order))] {
		first = append(first, fmt.Sprintf("%s %.2f", m.Parts[i], m.Truth[i]))
	}
	text := fmt.Sprintf("%d texts, %d parts; what is lost without them, of the difference: %s", m.Items, len(m.Parts),
		strings.Join(first, ", "))
	if m.Steps > 0 {
		text += fmt.Sprintf("; trained for %d steps, loss %.3f", m.Steps, m.Loss)
	}
	return text
}

// legend says what the columns are.
func (r *Inside) legend() string {
	out := "their mean over the texts"
	if r.Config.Model != "" {
		out = "what they have in the text with the other word"
	}
	return fmt.Sprintf("The truth: every head and every feed-forward layer is taken out, one at a time, by %s. found: of "+
		"pairs of a part without which a tenth of the difference or more is lost and one without which it is not, the "+
		"share that the way has in this order (chance 0.5); rank: Spearman's correlation of the sizes; left, mean: the "+
		"share of the difference that is left when its first parts are taken out together, the mean over all numbers of "+
		"parts (less is better); without 1 and so on: at these numbers. ±: half a 95 %% interval by bootstrap over the "+
		"texts. Seed %d.", out, r.Config.Seed)
}

// HTML writes the board as a page: for each task the curves, and the ways by what they found.
func (r *Inside) HTML(w io.Writer) error {
	page := render.Report{Title: "Which ways find the parts that a prediction goes by?", Intro: r.legend()}
	for _, m := range r.Models {
		curves := plot.Curves{Title: "what is left of the difference without the first parts of each way",
			XLabel: "parts taken out", YLabel: "share left"}
		found := plot.Matrix{Title: "how well the parts are found", Cols: []string{"found", "rank"}, Max: 1}
		for _, way := range m.Ways {
			line := plot.Line{Name: way.Name}
			for i, v := range way.Left {
				line.Points = append(line.Points, plot.Point{X: float64(m.Out[i]), Y: v})
			}
			curves.Lines = append(curves.Lines, line)
			row := []float64{way.Found.Mean, way.Rank.Mean}
			if way.Found.Count == 0 {
				row[0] = math.NaN()
			}
			found.Rows, found.Data = append(found.Rows, way.Name), append(found.Data, row)
		}
		page.Sections = append(page.Sections, render.Section{Heading: m.Task, Paragraphs: []string{m.about()},
			Figures: []plot.Figure{curves, found}})
	}
	return page.HTML(w)
}
