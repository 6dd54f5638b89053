package serve

import (
	"fmt"
	"slices"
	"strconv"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
	"lmkit.internal/lmkit/render"
)

// attentionMatrix is the matrix that can be looked at head by head.
const attentionMatrix = "attention"

// heads are the layer and the head whose attention is asked for; nil: all.
func (s whySettings) heads() (layers, heads []int, err error) {
	for _, x := range []struct {
		name, given string
		to          *[]int
	}{{"layer", s.Layer, &layers}, {"head", s.Head, &heads}} {
		if x.given == "" {
			continue
		}
		n, err := strconv.Atoi(x.given)
		if err != nil {
			return nil, nil, fmt.Errorf("there is no %s %s", x.name, printable.Quoted(x.given))
		}
		*x.to = []int{n}
	}
	return layers, heads, nil
}

// choiceView is something that one can choose by going to its address.
type choiceView struct {
	ID   string // of the element, so that a keyboard stays where it is
	Text string
	URL  string
	On   bool // it is the one that is chosen
}

// among lists what one of the settings can be, a number below n or all, each with its address.
func (s whySettings) among(url, name string, n int) (all []choiceView) {
	to := s.fields()[name]
	was := *to
	for i := -1; i < n; i++ {
		text := "all"
		if *to = ""; i >= 0 {
			text = strconv.Itoa(i)
			*to = text
		}
		all = append(all, choiceView{ID: name + text, Text: text, URL: url + s.query(), On: was == *to})
	}
	return all
}

// sectionOf is an answer as a page shows it.
func sectionOf(a *lmkit.Answer) render.Section {
	s := render.Section{Paragraphs: a.Notes, Figures: figures(a)}
	if a.Matrix != nil && a.Matrix.Method.Name == attentionMatrix {
		s.Paragraphs = append(slices.Clone(s.Paragraphs), notCause)
	}
	return s
}

// notCause is what must be known of attention.
const notCause = "Attention says where heads look, and not what the prediction depends on: a head may look at a " +
	"token and make nothing of it, and many look at the first token when they have nothing to look for. Occlusion, " +
	"value-zeroing, and patches of heads change something, and measure what becomes of the prediction."

// headsOf draws the pattern of each head of a layer.
func headsOf(m *explain.Matrix) plot.Grid {
	g := plot.Grid{Title: "head by head: rows read columns"}
	for _, h := range m.More {
		g.Matrices = append(g.Matrices, plot.Matrix{Title: h.Name, Rows: m.Rows, Cols: m.Columns, Data: h.Values})
	}
	return g
}
