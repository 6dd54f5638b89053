package render

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// Report is a page: one self-contained HTML file without scripts.
type Report struct {
	Title, Intro string
	Sections     []Section
}

// Section is a heading and what stands under it, in this order; every part may be empty.
type Section struct {
	Heading    string
	Paragraphs []string // plain text
	Figures    []plot.Figure
}

//go:embed report.css
var css string

// HTML writes the page. It fails where a part of it cannot be drawn.
func (r Report) HTML(w io.Writer) error {
	p := &page{}
	for i, s := range r.Sections {
		if err := p.section(s); err != nil {
			return fmt.Errorf("section %d (%s): %w", i+1, printable.Line(s.Heading), err)
		}
	}
	intro := ""
	if r.Intro != "" {
		intro = "<p class=\"lmkit-intro\">" + escape(r.Intro) + "</p>\n"
	}
	_, err := fmt.Fprintf(w, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>%s</title>
<style>
%s%s</style>
</head>
<body>
<main class="lmkit">
<h1>%s</h1>
%s%s</main>
</body>
</html>
`, html.EscapeString(printable.Line(r.Title)), pageCSS, css, html.EscapeString(printable.Line(r.Title)), intro, p.b.String())
	return err
}

const pageCSS = `:root { color-scheme: light dark; }
body { margin: 0; background: light-dark(#ffffff, #16181d); }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
`

// Fragment writes sections as a piece of HTML to be put into another page, such as the cell of a notebook. Its style
// touches nothing outside of it.
func Fragment(w io.Writer, sections ...Section) error {
	p := &page{}
	for i, s := range sections {
		if err := p.section(s); err != nil {
			return fmt.Errorf("section %d (%s): %w", i+1, printable.Line(s.Heading), err)
		}
	}
	_, err := fmt.Fprintf(w, "<div class=\"lmkit lmkit-cell\">\n<style>\n%s</style>\n%s</div>\n", css, p.b.String())
	return err
}

// HTML writes a page with one or more attributions, one under the other.
func HTML(w io.Writer, as ...*explain.Attribution) error {
	r := Report{Title: "Explanation"}
	if len(as) > 0 && as[0] != nil {
		r.Title = "Explanation: " + question(as[0])
	}
	r.Sections = []Section{{Figures: Figures(as...)}}
	return r.HTML(w)
}

func escape(s string) string { return html.EscapeString(printable.Clean(s)) }

// sentence is a text in which quoted tokens do not break over lines.
func sentence(s string) string {
	parts := strings.Split(html.EscapeString(s), "`")
	if len(parts)%2 == 0 {
		return strings.Join(parts, "`")
	}
	var b strings.Builder
	for i, part := range parts {
		if i%2 == 1 {
			part = "<code>`" + part + "`</code>"
		}
		b.WriteString(part)
	}
	return b.String()
}

// page gathers HTML.
type page struct {
	b      strings.Builder
	radios int // names of radio groups given so far
}

func (p *page) add(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *page) section(s Section) error {
	p.add("<section>")
	if s.Heading != "" {
		p.add("<h2>%s</h2>", escape(s.Heading))
	}
	for _, text := range s.Paragraphs {
		p.add("<p>%s</p>", escape(text))
	}
	for _, f := range s.Figures {
		if err := p.any(f); err != nil {
			return err
		}
	}
	p.add("</section>")
	return nil
}

// any writes a figure: as HTML what reads better so, as SVG the rest.
func (p *page) any(f plot.Figure) error {
	switch f := f.(type) {
	case *Comparison:
		return p.comparison(f)
	case plot.Table:
		return p.table(f)
	case Attribution:
		return p.attribution(f.Attribution)
	case plot.Picker:
		// The form keeps the choices of this picker apart from any other on the page; as a dialog it sends nothing.
		p.add("<form method=\"dialog\">")
		if err := p.picker(f); err != nil {
			return err
		}
		p.add("</form>")
		return nil
	}
	return p.figure(f.SVG)
}

func (p *page) figure(draw func(io.Writer) error) error {
	p.b.WriteString("<figure>")
	if err := draw(&p.b); err != nil {
		return err
	}
	p.add("</figure>")
	return nil
}

// tab writes what a tab shows. A picker in a tab shares the form of the outer one.
func (p *page) tab(t plot.Tab) error {
	if k, ok := t.Figure.(plot.Picker); ok {
		return p.picker(k)
	}
	return p.any(t.Figure)
}

func (p *page) picker(k plot.Picker) error {
	if err := k.Validate(); err != nil {
		return err
	}
	name := fmt.Sprintf("lmkit-%d", p.radios)
	p.radios++
	p.add("<fieldset class=\"lmkit-picker\">\n<legend>%s</legend>", escape(k.Title))
	for i, t := range k.Tabs {
		checked := ""
		if i == 0 {
			checked = " checked=\"\""
		}
		// The attribute leaves the arrow keys to the tabs, where JupyterLab would take them for its own shortcuts.
		p.add("<label><input type=\"radio\" data-lm-suppress-shortcuts=\"true\" name=\"%s\"%s/><span>%s</span></label>", name, checked, escape(t.Name))
		p.add("<div class=\"lmkit-panel\">")
		if err := p.tab(t); err != nil {
			return err
		}
		p.add("</div>")
	}
	p.add("</fieldset>")
	return nil
}

// attribution writes warnings, the tokens as coloured spans, the largest scores as bars, and the evidence as a table.
func (p *page) attribution(a *explain.Attribution) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("cannot draw the attribution: %w", err)
	}
	p.add("<article>\n<h3>%s <span class=\"lmkit-question\">%s</span></h3>", escape(printable.Line(a.Method.Name)), sentence(question(a)))
	for _, warning := range a.Warnings {
		p.add("<p class=\"lmkit-warning\" role=\"note\"><strong>Warning:</strong> %s</p>", escape(warning))
	}
	p.tokens(a)
	p.bars(a)
	p.add("<table class=\"lmkit-facts\"><tbody>")
	for _, f := range facts(a) {
		class := ""
		if f.bad {
			class = ` class="lmkit-bad"`
		}
		p.add("<tr%s><th scope=\"row\">%s</th><td>%s</td></tr>", class, f.name, sentence(f.text))
	}
	p.add("</tbody></table>\n</article>")
	return nil
}

// strength gives a cell its colour: the style sheet mixes it, for light and for dark pages.
func strength(x float64) string {
	class := "lmkit-pos"
	if x < 0 {
		class = "lmkit-neg"
	}
	return fmt.Sprintf(`class="%s" style="--s:%s%%"`, class, canvas.Num(100*math.Abs(x)))
}

func (p *page) tokens(a *explain.Attribution) {
	top := canvas.Largest(a.Scores)
	format := printable.ScoreFormat(top)
	scores, feature := tokenScores(a)
	kind := "lmkit-tokens"
	if spaced(a) {
		kind += " lmkit-tight"
	}
	p.b.WriteString("<p class=\"" + kind + "\">")
	for i, tok := range a.Tokens {
		style := `class="lmkit-none"`
		if !math.IsNaN(scores[i]) {
			style = strength(canvas.Ratio(scores[i], top))
		}
		fmt.Fprintf(&p.b, "<span %s title=\"%s\">%s</span>", style, html.EscapeString(tip(a, i, feature[i], format)), html.EscapeString(printable.Visible(tok.Text)))
		if strings.Contains(tok.Text, "\n") {
			p.b.WriteString("<br/>")
		}
		p.b.WriteString("<wbr/>")
	}
	p.add("</p>")
	p.add("<p class=\"lmkit-scale\"><span>%s</span><i></i><span>%s %s</span></p>", format(-top), format(top), escape(printable.Line(a.Unit)))
}

func (p *page) bars(a *explain.Attribution) {
	top := canvas.Largest(a.Scores)
	format := printable.ScoreFormat(top)
	order := explain.Ranked(a.Scores)
	shown := order[:min(mostRanked, len(order))]
	p.add("<table class=\"lmkit-bars\"><thead><tr><th scope=\"col\">%s</th><th scope=\"col\">score</th><th scope=\"col\">size</th></tr></thead><tbody>", noun(a))
	for _, f := range shown {
		value := format(a.Scores[f])
		if len(a.Spread) > 0 {
			value += " ± " + strings.TrimPrefix(format(a.Spread[f]), "+")
		}
		x := canvas.Ratio(a.Scores[f], top)
		class := "lmkit-bar-pos"
		if x < 0 {
			class = "lmkit-bar-neg"
		}
		p.add("<tr><th scope=\"row\">%s</th><td>%s</td><td><i class=\"%s\" style=\"width:%s%%\"></i></td></tr>",
			html.EscapeString(featureName(a, f, 60)), value, class, canvas.Num(100*math.Abs(x)))
	}
	p.add("</tbody></table>")
	if rest := order[len(shown):]; len(rest) > 0 {
		p.add("<p class=\"lmkit-note\">and %d more, none above %s in size</p>", len(rest), strings.TrimPrefix(format(math.Abs(a.Scores[rest[0]])), "+"))
	}
}

func (p *page) comparison(c *Comparison) error {
	if err := c.check(); err != nil {
		return err
	}
	for _, a := range c.Attributions {
		for _, warning := range a.Warnings {
			p.add("<p class=\"lmkit-warning\" role=\"note\"><strong>Warning, %s:</strong> %s</p>", escape(printable.Line(a.Method.Name)), escape(warning))
		}
	}
	head := "<th></th>"
	for _, a := range c.Attributions {
		head += "<th scope=\"col\">" + escape(printable.Line(a.Method.Name)) + "</th>"
	}
	p.add("<div class=\"lmkit-scroll\"><table class=\"lmkit-compare\">\n<thead><tr>%s</tr></thead>\n<tbody>", head)
	for f := range c.Attributions[0].Features {
		p.b.WriteString("<tr><th scope=\"row\">" + html.EscapeString(featureName(c.Attributions[0], f, 60)) + "</th>")
		for _, a := range c.Attributions {
			top := canvas.Largest(a.Scores)
			fmt.Fprintf(&p.b, "<td %s>%s</td>", strength(canvas.Ratio(a.Scores[f], top)), printable.ScoreFormat(top)(a.Scores[f]))
		}
		p.add("</tr>")
	}
	p.add("</tbody>\n<tbody class=\"lmkit-evidence\">")
	for _, e := range c.evidence() {
		p.b.WriteString("<tr><th scope=\"row\">" + e.name + "</th>")
		for _, cell := range e.cells {
			class := ""
			if cell.bad {
				class = ` class="lmkit-bad"`
			}
			fmt.Fprintf(&p.b, "<td%s>%s</td>", class, sentence(cell.text))
		}
		p.add("</tr>")
	}
	p.add("</tbody></table></div>")
	if len(c.Pairs) > 0 {
		p.add("<h4>Agreement</h4>\n<div class=\"lmkit-scroll\"><table class=\"lmkit-compare\">\n<thead><tr>%s</tr></thead>\n<tbody>", head)
		for i, a := range c.Attributions {
			p.b.WriteString("<tr><th scope=\"row\">" + escape(printable.Line(a.Method.Name)) + "</th>")
			for j := range c.Attributions {
				if i == j {
					p.b.WriteString("<td>·</td>")
					continue
				}
				pair := c.pair(i, j)
				fmt.Fprintf(&p.b, "<td %s>%s</td>", strength(canvas.Ratio(pair.Spearman, 1)), agreementText(pair, c.K))
			}
			p.add("</tr>")
		}
		p.add("</tbody></table></div>")
	}
	for _, n := range c.notes() {
		p.add("<p class=\"lmkit-note\">%s</p>", html.EscapeString(n))
	}
	return nil
}

func (p *page) table(t plot.Table) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	rows, _, numbers := t.Cells()
	class := func(j int) string {
		if numbers[j] {
			return ` class="lmkit-number"`
		}
		return ""
	}
	if t.Title != "" {
		p.add("<h3>%s</h3>", escape(t.Title))
	}
	p.b.WriteString("<div class=\"lmkit-scroll\"><table class=\"lmkit-table\">\n<thead><tr>")
	for j, h := range t.Header {
		fmt.Fprintf(&p.b, "<th scope=\"col\"%s>%s</th>", class(j), escape(h))
	}
	p.add("</tr></thead>\n<tbody>")
	for _, r := range rows {
		p.b.WriteString("<tr>")
		for j, s := range r {
			fmt.Fprintf(&p.b, "<td%s>%s</td>", class(j), html.EscapeString(s))
		}
		p.add("</tr>")
	}
	p.add("</tbody></table></div>")
	return nil
}
