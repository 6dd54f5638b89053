package render

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
)

// attributionView is an attribution as the template shows it: warnings, the tokens as coloured spans, the largest
// scores as bars, and the evidence as a table.
type attributionView struct {
	Method, Question string
	Warnings         []warningView
	Tight            bool // tokens carry their own spaces
	ToLeft           bool // the input is read from right to left
	Turns            []turnView
	Low, High, Unit  string // the scale of the colours
	Noun             string
	Bars             []barView
	Rest             string // what the features are that have no bar
	Unknown          string // those that the model does not know
	Facts            []fact
}

type warningView struct{ About, Text string }

// turnView is the tokens of a turn, behind its role where the input is a conversation.
type turnView struct {
	Role     string
	Template bool
	Tokens   []tokenView
}

// heat is a colour for a number, as classes of the style sheet: Class says which one, and Strength how strong it is, or
// how long a bar. No element has a style of its own, so that pages may forbid them (Content-Security-Policy).
type heat struct{ Class, Strength string }

// strength is the class of a number from -1 to 1 by its size, in percent.
func strength(x float64) string { return fmt.Sprintf("lmkit-%.0f", 100*math.Abs(x)) }

// heatOf is the colour of a number from -1 to 1.
func heatOf(x float64) heat {
	h := heat{"lmkit-pos", strength(x)}
	if x < 0 {
		h.Class = "lmkit-neg"
	}
	return h
}

type tokenView struct {
	heat
	Text, Tip string
	Break     bool // a line ends here
}

type barView struct {
	heat
	Name, Value string
}

func (a Attribution) html() (template.HTML, error) {
	if err := a.Validate(); err != nil {
		return "", fmt.Errorf("cannot draw the attribution: %w", err)
	}
	top := canvas.Largest(a.Scores)
	format := printable.ScoreFormat(top)
	v := attributionView{
		Method:   printable.Line(a.Method.Name),
		Question: question(a.Attribution),
		Tight:    spaced(a.Attribution),
		ToLeft:   toLeft(a.Attribution),
		Low:      format(-top),
		High:     format(top),
		Unit:     printable.Line(a.Unit),
		Noun:     noun(a.Attribution),
		Facts:    facts(a.Attribution),
	}
	for _, warning := range a.Warnings {
		v.Warnings = append(v.Warnings, warningView{Text: printable.Clean(warning)})
	}
	scores, feature := tokenScores(a.Attribution)
	for _, r := range turns(a.Attribution) {
		view := turnView{Role: r.Role, Template: r.Template}
		for i := r.From; i < r.To; i++ {
			tok := a.Tokens[i]
			t := tokenView{
				heat: heat{Class: "lmkit-none"}, Text: tokenText(tok, math.MaxInt),
				Tip:   tip(a.Attribution, i, feature[i], format),
				Break: strings.Contains(tok.Text, "\n") && !r.Template,
			}
			if !math.IsNaN(scores[i]) {
				t.heat = heatOf(canvas.Ratio(scores[i], top))
			}
			view.Tokens = append(view.Tokens, t)
		}
		v.Turns = append(v.Turns, view)
	}
	order, unknown := ranked(a.Attribution)
	shown := order[:min(mostRanked, len(order))]
	for _, f := range shown {
		v.Bars = append(v.Bars, barOf(a.Attribution, f, top, format))
	}
	v.Rest = rest(a.Attribution, order[len(shown):], format)
	v.Unknown = unknownLine(a.Attribution, unknown, format)
	return execute("attribution", v)
}

func barOf(a *explain.Attribution, f int, top float64, format func(float64) string) barView {
	b := barView{Name: featureName(a, f, 60), Value: format(a.Scores[f])}
	if len(a.Spread) > 0 {
		b.Value += " ± " + strings.TrimPrefix(format(a.Spread[f]), "+")
	}
	x := canvas.Ratio(a.Scores[f], top)
	b.heat = heat{"lmkit-bar-pos", strength(x)}
	if x < 0 {
		b.Class = "lmkit-bar-neg"
	}
	return b
}
