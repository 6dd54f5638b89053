package render

import (
	"html/template"

	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// comparisonView is a comparison as the template shows it: a table of scores with the evidence below, and one of how
// far the methods agree. Methods are the columns of both.
type comparisonView struct {
	Warnings  []warningView
	Methods   []string
	Scores    []heatRow // a row for each feature
	Evidence  []evidenceRow
	Agreement []heatRow // a row for each method
	Notes     []string
}

// heatRow is a row of numbers, each with its colour.
type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct {
	heat
	Text string
}

func (c *Comparison) html() (template.HTML, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	v := comparisonView{Evidence: c.evidence(), Agreement: c.agreementRows(), Notes: c.notes()}
	for _, a := range c.Attributions {
		name := printable.Line(a.Method.Name)
		v.Methods = append(v.Methods, name)
		for _, warning := range a.Warnings {
			v.Warnings = append(v.Warnings, warningView{name, printable.Clean(warning)})
		}
	}
	for f := range c.Attributions[0].Features {
		row := heatRow{Name: featureName(c.Attributions[0], f, 60)}
		for _, a := range c.Attributions {
			top := canvas.Largest(a.Scores)
			text := scoreText(a, f, printable.ScoreFormat(top))
			row.Cells = append(row.Cells, heatCell{heatOf(canvas.Ratio(a.Scores[f], top)), text})
		}
		v.Scores = append(v.Scores, row)
	}
	return execute("comparison", v)
}

// agreementRows is how far each method agrees with each other; a method is not compared with itself.
func (c *Comparison) agreementRows() (rows []heatRow) {
	if len(c.Pairs) == 0 {
		return nil
	}
	for i, a := range c.Attributions {
		row := heatRow{Name: printable.Line(a.Method.Name)}
		for j := range c.Attributions {
			cell := heatCell{Text: "·"}
			if i != j {
				pair := c.pair(i, j)
				cell = heatCell{heatOf(canvas.Ratio(pair.Spearman, 1)), agreementText(pair, c.K)}
			}
			row.Cells = append(row.Cells, cell)
		}
		rows = append(rows, row)
	}
	return rows
}
