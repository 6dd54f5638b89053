package render

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/canvas"
	"lmkit.internal/lmkit/internal/printable"
	"lmkit.internal/lmkit/plot"
)

// mostRanked bounds the list of ranked features; the rest is summed up in a line.
const mostRanked = 12

// Text writes an attribution for a terminal: the question, warnings, the tokens, coloured by score, the features from
// the largest score to the smallest, and the evidence in words. Without colours the list has all features, so that each
// score stands there once. It fails where a.Validate fails.
func Text(w io.Writer, a *explain.Attribution, o plot.Options) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("cannot draw the attribution: %w", err)
	}
	t := printable.NewLines(o.Color, o.Width)
	name := printable.Shorten(printable.Line(a.Method.Name), t.Width/2)
	t.Block(t.Paint("1", name), printable.Columns(name), question(a))
	t.Line("")
	writeWarnings(t, a.Warnings)
	writeTokens(t, a)
	t.Line("")
	writeRanked(t, a)
	t.Line("")
	writeFacts(t, facts(a))
	return t.Flush(w)
}

// writeWarnings writes each warning as a block of its own, and an empty line after them.
func writeWarnings(t *printable.Lines, warnings []string) {
	for _, warning := range warnings {
		t.Block(t.Paint("1;38;5;208", "WARNING"), 7, printable.Line(warning))
	}
	if len(warnings) > 0 {
		t.Line("")
	}
}

func writeFacts(t *printable.Lines, facts []fact) {
	for _, f := range facts {
		name := printable.PadRight(f.Name, 12)
		if f.Bad {
			t.Block(t.Paint("1;38;5;208", name), 12, f.Text)
		} else {
			t.Block(t.Paint("2", name), 12, f.Text)
		}
	}
}

// writeTokens writes the input, wrapped; a token that holds a line break ends its line. In a conversation each turn
// stands on lines of its own, behind its role.
func writeTokens(t *printable.Lines, a *explain.Attribution) {
	top := canvas.Largest(a.Scores)
	all := turns(a)
	indent := 2
	if wide := roleColumns(all); wide > 0 {
		indent += wide + 2
	}
	for _, r := range all {
		writeTurn(t, a, r, indent, top)
	}
	if t.Color {
		writeScale(t, top, printable.ScoreFormat(top), a.Unit)
	}
}

// writeTurn writes the tokens of a turn behind an indent, in which its role stands.
func writeTurn(t *printable.Lines, a *explain.Attribution, r turn, indent int, top float64) {
	scores, _ := tokenScores(a)
	used, cur := 0, ""
	gap := 1
	if spaced(a) {
		gap = 0
	}
	begin := strings.Repeat(" ", indent)
	if r.Role != "" {
		begin = t.Paint("2", printable.PadRight("  "+r.Role, indent))
	}
	flush := func() {
		if cur != "" {
			t.Line(begin + cur)
			begin = strings.Repeat(" ", indent)
		}
		used, cur = 0, ""
	}
	for i := r.From; i < r.To; i++ {
		tok := a.Tokens[i]
		s := tokenText(tok, t.Width-14-indent)
		painted := s
		switch {
		case t.Color && r.Template:
			painted = t.Paint("2", s)
		case t.Color:
			painted = t.Paint(background(canvas.Ratio(scores[i], top)), s)
		}
		if used > 0 && used+gap+printable.Columns(s) > t.Width-2-indent {
			flush()
		}
		if used > 0 {
			used, cur = used+gap, cur+strings.Repeat(" ", gap)
		}
		used, cur = used+printable.Columns(s), cur+painted
		if strings.Contains(tok.Text, "\n") && !r.Template {
			flush()
		}
	}
	flush()
}

// spaced: the tokens carry their own spaces, so that they can stand side by side.
func spaced(a *explain.Attribution) bool {
	for _, tok := range a.Tokens {
		if strings.ContainsAny(tok.Text, " \n") {
			return true
		}
	}
	return false
}

func writeScale(t *printable.Lines, top float64, format func(float64) string, unit string) {
	var bar strings.Builder
	for i := -5; i <= 5; i++ {
		bar.WriteString(t.Paint(background(float64(i)/5), "  "))
	}
	t.Line("")
	high := format(top)
	low := "-" + high[1:]
	unit = printable.Shorten(printable.Line(unit), t.Width-36-2*len(high))
	t.Line(fmt.Sprintf("  scale %s %s %s %s", low, bar.String(), high, unit))
}

var (
	negativeSteps = []string{
		"48;5;189;38;5;16",
		"48;5;153;38;5;16",
		"48;5;111;38;5;16",
		"48;5;69;38;5;16",
		"48;5;25;38;5;231",
	}
	positiveSteps = []string{
		"48;5;230;38;5;16",
		"48;5;223;38;5;16",
		"48;5;216;38;5;16",
		"48;5;208;38;5;16",
		"48;5;166;38;5;231",
	}
)

// background is the colour of a score from -1 to 1 in five steps either way; nearly nothing keeps the terminal's own.
func background(x float64) string {
	step := int(math.Ceil(math.Abs(x)*5-0.5)) - 1
	switch {
	case math.IsNaN(x) || step < 0:
		return "0"
	case x < 0:
		return negativeSteps[min(step, 4)]
	}
	return positiveSteps[min(step, 4)]
}

// writeRanked writes the features by size with bars: full for what speaks for the target, hatched for what speaks
// against.
func writeRanked(t *printable.Lines, a *explain.Attribution) {
	top := canvas.Largest(a.Scores)
	format := printable.ScoreFormat(top)
	order, unknown := ranked(a)
	shown := order
	if t.Color { // the others' scores are colours of the text
		shown = order[:min(mostRanked, len(order))]
	}
	labels, values, wide, wideValue := make([]string, len(shown)), make([]string, len(shown)), 0, 0
	for i, f := range shown {
		labels[i] = featureName(a, f, min(28, t.Width/3))
		values[i] = format(a.Scores[f])
		if len(a.Spread) > 0 {
			values[i] += " ±" + strings.TrimPrefix(format(a.Spread[f]), "+")
		}
		wide, wideValue = max(wide, printable.Columns(labels[i])), max(wideValue, printable.Columns(values[i]))
	}
	room := min(40, t.Width-wide-wideValue-6)
	for i, f := range shown {
		bar := t.Bar(canvas.Ratio(a.Scores[f], top), room)
		t.Line("  " + printable.PadRight(labels[i], wide) + "  " + printable.PadLeft(values[i], wideValue) + "  " + bar)
	}
	if left := rest(a, order[len(shown):], format); left != "" {
		t.Line("  " + left)
	}
	if left := unknownLine(a, unknown, format); left != "" {
		t.Block("", 0, left)
	}
}
