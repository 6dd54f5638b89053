package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

func matrixList() string {
	var b strings.Builder
	b.WriteString("\n\nMatrices (--matrix):")
	for _, m := range lmkit.Matrices() {
		fmt.Fprintf(&b, "\n  %-21s %s", m.Name, m.About)
	}
	return b.String()
}

func (o *explainFlags) registerMatrix(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Matrix, "matrix", "", "score pairs: predictions, layers, heads, interactions, attention, ... "+
		"(see above)")
	f.StringVar(&o.Settings.Tap, "tap", "", "with --matrix activation: which one, such as block.0.attn.z or lstm.0.cell")
	f.IntVar(&o.Settings.Cut, "cut", 0, "with --matrix carried-state: after how many tokens an LSTM's state is looked at")
}

// showMatrix writes scores of pairs everywhere that was asked for.
func (a *app) showMatrix(m *explain.Matrix, o *explainFlags) (err error) {
	figure := render.Matrix{Matrix: m}
	if o.json {
		for _, w := range m.Warnings {
			a.note("warning: %s: %s", m.Method.Name, w)
		}
		err = explain.WriteMatrix(a.out, m)
	} else {
		err = a.print(figure)
	}
	if err != nil {
		return err
	}
	page := render.Report{Title: "Matrix of scores", Sections: []render.Section{{Figures: []plot.Figure{figure}}}}
	if err := a.file(o.html, page.HTML); err != nil {
		return err
	}
	if err := a.file(o.svg, figure.SVG); err != nil {
		return err
	}
	if c := m.Evidence.Completeness; o.strict && c != nil && !c.Holds {
		return broken(m.Method.Name, c)
	}
	return nil
}
