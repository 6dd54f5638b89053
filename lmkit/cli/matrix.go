package cli

import (
	"errors"
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

// outputs is where results go, and in which form.
type outputs struct {
	json           bool
	html, svg, png string
	strict         bool
}

// showMatrix writes scores of pairs everywhere that was asked for.
func (a *app) showMatrix(m *explain.Matrix, o outputs) (err error) {
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
	err = errors.Join(a.file(o.html, page.HTML), a.file(o.svg, figure.SVG), a.file(o.png, figure.PNG))
	if broken := m.Evidence.Broken(); err == nil && o.strict && len(broken) > 0 {
		return &exitError{exitBroken, fmt.Errorf("%s: what must be so is not: %s; its warnings say more",
			m.Method.Name, strings.Join(broken, "; "))}
	}
	return err
}
