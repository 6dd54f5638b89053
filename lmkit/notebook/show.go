package notebook

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"os"
	"strings"

	"github.com/janpfeifer/gonb/gonbui"
	"github.com/janpfeifer/gonb/gonbui/protocol"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/surrogate"
	"lmkit.internal/lmkit/inspect"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// Show shows things under each other: a *explain.Attribution or *explain.Matrix, any plot.Figure (Curves, Bars, Matrix,
// Grid, Graph, Tree, Table, Waterfall, Force, Picker, a *render.Comparison), a *surrogate.Tree or *surrogate.Global, a
// *inspect.Graph (of its edges at most the largest 80), or a render.Section that holds several of them.
func Show(things ...any) error {
	var errs []error
	for _, x := range things {
		b, err := bundleOf(x)
		if err != nil {
			b = failure(err)
			errs = append(errs, err)
		}
		errs = append(errs, b.send(""))
	}
	return errors.Join(errs...)
}

// Waterfall shows how the scores of an attribution lead, term by term, from the baseline to the input.
func Waterfall(a *explain.Attribution) error {
	s, err := sumOf(a)
	if err != nil {
		return fail(err)
	}
	return Show(plot.Waterfall{Sum: s})
}

// Force shows the scores of an attribution as one bar, in which what pushes up meets what pushes down.
func Force(a *explain.Attribution) error {
	s, err := sumOf(a)
	if err != nil {
		return fail(err)
	}
	return Show(plot.Force{Sum: s})
}

func sumOf(a *explain.Attribution) (plot.Sum, error) {
	if a == nil {
		return plot.Sum{}, errors.New("there is no attribution: it is nil")
	}
	return render.SumOf(a)
}

// Compare shows attributions of the same input side by side, with their evidence and how far they agree.
func Compare(as ...*explain.Attribution) error {
	for i, a := range as {
		if a == nil {
			return fail(fmt.Errorf("attribution %d is nil", i+1))
		}
	}
	c, err := render.Compare(as...)
	if err != nil {
		return fail(err)
	}
	return Show(c)
}

// Table shows rows of cells; each has as many cells as the header.
func Table(header []string, rows ...[]any) error {
	return Show(plot.Table{Header: header, Rows: rows})
}

// Markdown shows a formatted text; formulas stand between dollars, as in $x^2$.
func Markdown(text string) error {
	return bundle{protocol.MIMETextMarkdown: text, protocol.MIMETextPlain: text}.send("")
}

// Math shows a formula written in LaTeX, without dollars, on a line of its own.
func Math(latex string) error { return Markdown("$$" + latex + "$$") }

// bundle is one output in several formats.
type bundle map[protocol.MIMEType]any

// stdout returns where text goes outside of a notebook: standard output as it is when the text comes.
var stdout = func() io.Writer { return os.Stdout }

// send shows the bundle, in place of what was shown under the same id before; "" is a place of its own.
func (b bundle) send(id string) error {
	if !gonbui.IsNotebook {
		_, err := fmt.Fprintln(stdout(), strings.TrimRight(b[protocol.MIMETextPlain].(string), "\n"))
		return err
	}
	data := &protocol.DisplayData{Data: b, DisplayID: id}
	if picture, ok := b[protocol.MIMEImagePNG].([]byte); ok {
		if c, err := png.DecodeConfig(bytes.NewReader(picture)); err == nil {
			// A PNG has two pixels for each that the page shows.
			data.Metadata = map[string]any{string(protocol.MIMEImagePNG): map[string]int{"width": c.Width / 2,
				"height": c.Height / 2}}
		}
	}
	gonbui.SendData(data)
	if gonbui.Error() == nil {
		gonbui.Sync()
	}
	if err := gonbui.Error(); err != nil {
		return fmt.Errorf("the notebook's kernel cannot be reached: %w", err)
	}
	return nil
}

// fail shows an error, and returns it.
func fail(err error) error { return errors.Join(err, failure(err).send("")) }

func failure(err error) bundle { return note("lmkit-error", "error: "+err.Error()) }

var noteHTML = template.Must(template.New("").Parse(`<pre class="{{.Class}}"{{if eq .Class "lmkit-error"}} ` +
	`style="color:#a63603;background:#fff1e0;border-left:4px solid #e6700f;padding:.5em .8em;white-space:pre-wrap"` +
	`{{end}}>{{.Text}}</pre>`))

// note is a text by itself.
func note(class, text string) bundle {
	var page strings.Builder
	if err := noteHTML.Execute(&page, struct{ Class, Text string }{class, text}); err != nil {
		return bundle{protocol.MIMETextPlain: text}
	}
	return bundle{protocol.MIMETextPlain: text, protocol.MIMETextHTML: page.String()}
}

// bundleOf draws a thing in all formats.
func bundleOf(x any) (bundle, error) {
	section, err := sectionOf(x)
	if err != nil {
		return nil, err
	}
	var page, text, picture bytes.Buffer
	if err := render.Fragment(&page, section); err != nil {
		return nil, err
	}
	for i, f := range section.Figures {
		if i > 0 {
			text.WriteString("\n")
		}
		if err := f.Text(&text, plot.Options{Width: 100}); err != nil {
			return nil, err
		}
	}
	if err := plot.Stack(&picture, section.Figures...); err != nil {
		return nil, err
	}
	return bundle{
		protocol.MIMETextHTML:  page.String(),
		protocol.MIMETextPlain: text.String(),
		protocol.MIMEImagePNG:  picture.Bytes(),
	}, nil
}

// sectionOf returns a thing as a section of a page; its figures stand for it where there is no HTML.
func sectionOf(x any) (render.Section, error) {
	switch x := x.(type) {
	case nil:
		return render.Section{}, errors.New("there is nothing to show: it is nil")
	case render.Section:
		return x, nil
	case []*explain.Attribution:
		s := render.Section{}
		for _, a := range x {
			f, err := figureOf(a)
			if err != nil {
				return s, err
			}
			s.Figures = append(s.Figures, f)
		}
		return s, nil
	}
	f, err := figureOf(x)
	return render.Section{Figures: []plot.Figure{f}}, err
}

func figureOf(x any) (plot.Figure, error) {
	switch x := x.(type) {
	case *explain.Attribution:
		if x == nil {
			return nil, errors.New("there is no attribution: it is nil")
		}
		return render.Attribution{Attribution: x}, nil
	case *explain.Matrix:
		if x == nil {
			return nil, errors.New("there is no matrix: it is nil")
		}
		return render.Matrix{Matrix: x}, nil
	case *inspect.Graph:
		if x == nil {
			return nil, errors.New("there is no circuit: it is nil")
		}
		return render.GraphOf(x, render.MostEdges), nil
	case *surrogate.Tree:
		return render.TreeOf("", x), nil
	case *surrogate.Global:
		if x == nil {
			return nil, errors.New("there is no tree: it is nil")
		}
		return render.GlobalOf(x), nil
	case *render.Comparison:
		if x == nil {
			return nil, errors.New("there is no comparison: it is nil")
		}
		return x, nil
	case plot.Figure:
		return x, nil
	}
	return nil, fmt.Errorf("no picture is known for a %T: give an attribution, or a figure of package plot or render", x)
}
