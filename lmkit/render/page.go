package render

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
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

// HTML writes the page. It fails where a part of it cannot be drawn.
func (r Report) HTML(w io.Writer) error {
	sections, err := new(page).sections(r.Sections)
	if err != nil {
		return err
	}
	return templates.ExecuteTemplate(w, "page", struct {
		Title, Intro string
		Style        template.CSS
		Sections     []template.HTML
	}{printable.Line(r.Title), printable.Clean(r.Intro), style, sections})
}

// Fragment writes sections as a piece of HTML to be put into another page, such as the cell of a notebook. Its style
// touches nothing outside of it.
func Fragment(w io.Writer, sections ...Section) error {
	drawn, err := new(page).sections(sections)
	if err != nil {
		return err
	}
	return templates.ExecuteTemplate(w, "fragment", struct {
		Style    template.CSS
		Sections []template.HTML
	}{style, drawn})
}

// Body writes sections as a piece of HTML for an element of the class lmkit, in a page that links [StyleSheet] itself:
// it holds no style of its own, and no script.
func Body(w io.Writer, sections ...Section) error {
	drawn, err := new(page).sections(sections)
	if err != nil {
		return err
	}
	return templates.ExecuteTemplate(w, "body", drawn)
}

// StyleSheet returns the style sheet of all that this package writes as HTML: report.css, and a class for each
// percentage of strength.
func StyleSheet() string {
	var b strings.Builder
	b.WriteString(styleSheet)
	for i := range 101 {
		fmt.Fprintf(&b, ".lmkit-%d{--s:%[1]d%%}", i)
	}
	b.WriteString("\n")
	return b.String()
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

var (
	//go:embed report.css
	styleSheet string
	style      = template.CSS(StyleSheet())

	//go:embed page.html
	pageHTML  string
	templates = template.Must(template.New("").Funcs(template.FuncMap{"phrases": phrases}).Parse(pageHTML))
)

// phrase is a part of a sentence; quoted ones are tokens, and stood between backticks.
type phrase struct {
	Text   string
	Quoted bool
}

// phrases splits a sentence at its backticks. Where one is left over it is a character like any other.
func phrases(sentence string) (all []phrase) {
	parts := strings.Split(sentence, "`")
	if len(parts)%2 == 0 {
		return []phrase{{Text: sentence}}
	}
	for i, part := range parts {
		all = append(all, phrase{part, i%2 == 1})
	}
	return all
}

// page makes the parts of one page. Only they are trusted HTML: all text goes through the templates, which escape it.
type page struct {
	groups int // of radio buttons, named so far
}

func (p *page) sections(sections []Section) (all []template.HTML, err error) {
	for i, s := range sections {
		drawn, err := p.section(s)
		if err != nil {
			return nil, fmt.Errorf("section %d (%s): %w", i+1, printable.Line(s.Heading), err)
		}
		all = append(all, drawn)
	}
	return all, nil
}

func (p *page) section(s Section) (template.HTML, error) {
	v := struct {
		Heading    string
		Paragraphs []string
		Figures    []template.HTML
	}{Heading: printable.Clean(s.Heading)}
	for _, text := range s.Paragraphs {
		v.Paragraphs = append(v.Paragraphs, printable.Clean(text))
	}
	for _, f := range s.Figures {
		drawn, err := p.figure(f)
		if err != nil {
			return "", err
		}
		v.Figures = append(v.Figures, drawn)
	}
	return execute("section", v)
}

// figure is a figure as HTML where it reads better so, and as SVG otherwise.
func (p *page) figure(f plot.Figure) (template.HTML, error) {
	switch f := f.(type) {
	case *Comparison:
		return f.html()
	case Attribution:
		return f.html()
	case Matrix:
		if err := f.Validate(); err == nil && f.aligns() {
			chart, err := p.figure(f.chart())
			if err != nil {
				return "", err
			}
			return f.html(chart)
		}
	case plot.Table:
		return tableHTML(f)
	case plot.Picker:
		fields, err := p.picker(f)
		if err != nil {
			return "", err
		}
		return execute("form", fields)
	}
	var svg strings.Builder
	if err := f.SVG(&svg); err != nil {
		return "", err
	}
	return execute("figure", template.HTML(strings.Replace(svg.String(), canvas.Fluid, "", 1)))
}

// picker is the tabs of a picker, each with what it shows. A picker in a tab shares the form of the outer one.
func (p *page) picker(k plot.Picker) (template.HTML, error) {
	if err := k.Validate(); err != nil {
		return "", err
	}
	type tab struct {
		Name   string
		Figure template.HTML
	}
	v := struct {
		Title, Group string
		Tabs         []tab
	}{Title: printable.Clean(k.Title), Group: fmt.Sprintf("lmkit-%d", p.groups)}
	p.groups++
	for _, t := range k.Tabs {
		draw := p.figure
		if inner, ok := t.Figure.(plot.Picker); ok {
			draw = func(plot.Figure) (template.HTML, error) { return p.picker(inner) }
		}
		drawn, err := draw(t.Figure)
		if err != nil {
			return "", err
		}
		v.Tabs = append(v.Tabs, tab{printable.Clean(t.Name), drawn})
	}
	return execute("picker", v)
}

func tableHTML(t plot.Table) (template.HTML, error) {
	if err := t.Validate(); err != nil {
		return "", fmt.Errorf("cannot draw the table %q: %w", t.Title, err)
	}
	type cell struct {
		Text   string
		Number bool
	}
	v := struct {
		Title  string
		Header []cell
		Rows   [][]cell
	}{Title: printable.Clean(t.Title)}
	rows, _, numbers := t.Cells()
	for j, h := range t.Header {
		v.Header = append(v.Header, cell{printable.Clean(h), numbers[j]})
	}
	for _, row := range rows {
		cells := make([]cell, len(row))
		for j, s := range row {
			cells[j] = cell{s, numbers[j]}
		}
		v.Rows = append(v.Rows, cells)
	}
	return execute("table", v)
}

// execute is a template filled in.
func execute(name string, v any) (template.HTML, error) {
	var b bytes.Buffer
	err := templates.ExecuteTemplate(&b, name, v)
	return template.HTML(b.String()), err
}
