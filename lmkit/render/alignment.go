package render

import (
	"fmt"
	"html/template"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// eachRow says what speaks for the rows of a matrix whose rows are explanations by themselves, the doubtful ones first.
func eachRow(m *explain.Matrix) []fact {
	var drop, random float64
	var doubtful []string
	measured := 0
	for k, r := range m.Evidence.Rows {
		if r.Top < 0 {
			continue
		}
		measured++
		drop, random = drop+r.Drop, random+r.Random
		if r.Drop <= r.Random {
			doubtful = append(doubtful, printable.Quoted(m.Rows[k]))
		}
	}
	if measured == 0 {
		return []fact{{Name: "rows", Text: "not measured: no row has a score above 0"}}
	}
	n := float64(measured)
	f := fact{Name: "rows", Text: fmt.Sprintf("without its top %s a row falls by %s on average (without another one, "+
		"by %s)",
		printable.Line(m.Axes[1]), printable.Number(drop/n), printable.Number(random/n))}
	if len(doubtful) > 0 {
		f.Bad = 2*len(doubtful) > measured
		more := ""
		if len(doubtful) > mostNames {
			more = fmt.Sprintf(" and %d more", len(doubtful)-mostNames)
			doubtful = doubtful[:mostNames]
		}
		f.Text += "; no more than without another one: " + strings.Join(doubtful, ", ") + more
	}
	return []fact{f, {Name: "each", Text: eachValue(m)}}
}

// mostValues is how many rows' values are listed.
const mostValues = 24

// eachValue lists what each row explains.
func eachValue(m *explain.Matrix) string {
	var list []string
	for k, v := range m.RowValues[:min(mostValues, len(m.RowValues))] {
		list = append(list, printable.Quoted(m.Rows[k])+" "+printable.Number(v))
	}
	if more := len(m.RowValues) - mostValues; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// alignmentView is the matrix of an answer as text: the input, and the answer's tokens, each of which shows, while it
// is pointed at, the input and the answer before it with what they did for it.
type alignmentView struct {
	Method, Question, Unit string
	Warnings               []warningView
	Source                 []tokenView // without colours
	Targets                []targetView
	Chart                  template.HTML
	Facts                  []fact
}

type targetView struct {
	Text, Value string
	Source      []tokenView // as far as it comes before the token
}

// mostAligned bounds the spans of a page: tokens of the answer times what comes before them.
const mostAligned = 40_000

// aligns reports whether a matrix is one of an answer that can be shown as text.
func (m Matrix) aligns() bool {
	return m.Axes[0] == "answer" && len(m.Rows)*len(m.Columns) <= mostAligned && len(m.RowValues) == len(m.Rows)
}

func (m Matrix) html(chart template.HTML) (template.HTML, error) {
	v := alignmentView{
		Method: printable.Line(m.Method.Name), Question: questionOf(m.Objective, m.Asked()), Unit: printable.Line(m.Unit),
		Chart: chart, Facts: matrixFacts(m.Matrix),
	}
	for _, warning := range m.Warnings {
		v.Warnings = append(v.Warnings, warningView{Text: printable.Clean(warning)})
	}
	var all []float64
	for _, row := range m.Values {
		all = append(all, row...)
	}
	format := printable.ScoreFormat(canvas.Largest(all))
	input := len(m.Columns) - len(m.Rows) + 1
	for _, text := range m.Columns[:input] {
		v.Source = append(v.Source, tokenView{heat: heat{Class: "lmkit-none"}, Text: shown(text)})
	}
	for _, text := range m.Columns[input:] { // it makes room for them, where they are shown
		v.Source = append(v.Source, tokenView{heat: heat{Class: "lmkit-room"}, Text: shown(text)})
	}
	for k, text := range m.Rows {
		t := targetView{Text: shown(text), Value: printable.Number(m.RowValues[k])}
		top := canvas.Largest(m.Values[k])
		for j, score := range m.Values[k][:input+k] {
			word := tokenView{heat: heatOf(canvas.Ratio(score, top)), Text: shown(m.Columns[j]),
				Tip: format(score) + " " + v.Unit}
			if j >= input {
				word.Class += " lmkit-said"
			}
			t.Source = append(t.Source, word)
		}
		v.Targets = append(v.Targets, t)
	}
	return execute("alignment", v)
}

// shown is a label as it can be read on a page.
func shown(text string) string { return printable.Visible(text) }
