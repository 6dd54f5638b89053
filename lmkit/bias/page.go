package bias

import (
	"fmt"
	"io"

	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// HTML writes a report as a page, with pictures of the groups and the worst pairs side by side.
func (r *Report) HTML(w io.Writer) error {
	page := render.Report{Title: fmt.Sprintf("%s on %s", r.Suite.Name, r.Model)}
	var about []string
	for _, f := range r.facts() {
		about = append(about, f.name+": "+f.text)
	}
	page.Sections = append(page.Sections, render.Section{Heading: "What was measured", Paragraphs: about})
	if len(r.Suite.Warnings) > 0 {
		page.Sections = append(page.Sections, render.Section{Heading: "Before you read the numbers",
			Paragraphs: r.Suite.Warnings})
	}
	for _, f := range r.Figures() {
		page.Sections = append(page.Sections, render.Section{Figures: []plot.Figure{f}})
	}
	return page.HTML(w)
}

// Figures are the pictures of a report: bars of the groups' preferences, occupations by their share of women, and
// tables of groups and of the worst pairs.
func (r *Report) Figures() (all []plot.Figure) {
	for _, g := range r.By {
		if len(g.Groups) < 2 {
			continue
		}
		b := plot.Bars{Title: fmt.Sprintf("By %s", g.By),
			XLabel: fmt.Sprintf("percent of pairs with %s over %s, from one half on", r.Suite.First, r.Suite.Second)}
		s := plot.Series{}
		for _, p := range g.Groups[:min(mostListed, len(g.Groups))] {
			b.Names = append(b.Names, p.Group)
			s.Values = append(s.Values, 100*(p.Share-0.5))
			s.Spread = append(s.Spread, 50*(p.High-p.Low))
		}
		b.Series = []plot.Series{s}
		all = append(all, b)
	}
	if o := r.Occupations; o != nil {
		all = append(all, o.figure(r))
	}
	for _, t := range r.tables() {
		all = append(all, t)
	}
	return all
}

// figure draws an occupation as a point.
func (o *Occupations) figure(r *Report) plot.Figure {
	c := plot.Curves{Title: fmt.Sprintf("Occupations: Pearson's r %s", o.Pearson), XLabel: "women, percent",
		YLabel: "female - male, " + r.Protocol.Unit}
	points := plot.Line{Name: "an occupation", Dots: true}
	var meanX, meanY float64
	for _, e := range o.Each {
		points.Points = append(points.Points, plot.Point{X: e.Women, Y: e.Difference})
		meanX, meanY = meanX+e.Women/float64(len(o.Each)), meanY+e.Difference/float64(len(o.Each))
	}
	c.Lines = []plot.Line{points}
	if o.Slope.Value != nil {
		at := func(x float64) plot.Point { return plot.Point{X: x, Y: meanY + *o.Slope.Value*(x-meanX)} }
		c.Lines = append(c.Lines, plot.Line{Name: "least squares",
			Points: []plot.Point{at(o.Each[0].Women), at(o.Each[len(o.Each)-1].Women)}})
	}
	return c
}
