package render

import (
	"fmt"
	"io"
	"math"
	"strings"

	"lmkit.internal/lmkit/explain"
)

// Options says what a terminal can show.
type Options struct {
	Color bool // 256 colours; without it the same information is text alone
	Width int  // columns; 0 means 80, and less than 40 counts as 40
}

func (o Options) width() int {
	if o.Width == 0 {
		return 80
	}
	return max(40, o.Width)
}

// mostRanked bounds the list of ranked features; the rest is summed up in a line.
const mostRanked = 12

// Text writes an attribution for a terminal: warnings, the question, the tokens (coloured by score, or with the score in
// brackets), the features from the largest score to the smallest, and the evidence in words. It fails where
// a.Validate fails.
func Text(w io.Writer, a *explain.Attribution, o Options) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("cannot draw the attribution: %w", err)
	}
	t := &text{Options: o}
	for _, warning := range a.Warnings {
		t.block(t.paint("1;38;5;208", "WARNING"), 7, line(warning))
	}
	if len(a.Warnings) > 0 {
		t.line("")
	}
	name := shorten(line(a.Method.Name), t.width()/2)
	t.block(t.paint("1", name), columns(name), question(a))
	t.line("")
	t.tokens(a)
	t.line("")
	t.ranked(a)
	t.line("")
	for _, f := range facts(a) {
		name := padRight(f.name, 12)
		if f.bad {
			t.block(t.paint("1;38;5;208", name), 12, f.text)
		} else {
			t.block(t.paint("2", name), 12, f.text)
		}
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// text gathers lines for a terminal.
type text struct {
	Options
	b strings.Builder
}

func (t *text) line(s string) { t.b.WriteString(strings.TrimRight(s, " ") + "\n") }

// paint wraps s in a terminal's colour sequence.
func (t *text) paint(code, s string) string {
	if !t.Color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// block writes a label of n columns and a text that wraps beside it.
func (t *text) block(label string, n int, s string) {
	for i, l := range wrap(s, t.width()-n-2) {
		if i > 0 {
			label = strings.Repeat(" ", n)
		}
		t.line(label + "  " + l)
	}
}

// tokens writes the input, wrapped; a token that holds a line break ends its line.
func (t *text) tokens(a *explain.Attribution) {
	top := largest(a.Scores)
	format := scoreFormat(top)
	scores, _ := tokenScores(a)
	used, cur := 0, ""
	gap := 1
	if t.Color && spaced(a) {
		gap = 0
	}
	flush := func() {
		if cur != "" {
			t.line("  " + cur)
		}
		used, cur = 0, ""
	}
	for i, tok := range a.Tokens {
		s := shorten(visible(tok.Text), t.width()-16)
		painted := s
		if t.Color {
			painted = t.paint(background(ratio(scores[i], top)), s)
		} else if !math.IsNaN(scores[i]) {
			s += "(" + format(scores[i]) + ")"
			painted = s
		}
		if used > 0 && used+gap+columns(s) > t.width()-4 {
			flush()
		}
		if used > 0 {
			used, cur = used+gap, cur+strings.Repeat(" ", gap)
		}
		used, cur = used+columns(s), cur+painted
		if strings.Contains(tok.Text, "\n") {
			flush()
		}
	}
	flush()
	t.scale(top, format, a.Unit)
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

func (t *text) scale(top float64, format func(float64) string, unit string) {
	var bar strings.Builder
	if t.Color {
		for i := -5; i <= 5; i++ {
			bar.WriteString(t.paint(background(float64(i)/5), "  "))
		}
	} else {
		bar.WriteString("..")
	}
	t.line("")
	high := format(top)
	low := "-" + high[1:]
	t.line(fmt.Sprintf("  scale %s %s %s %s", low, bar.String(), high, shorten(line(unit), t.width()-36-2*len(high))))
}

var (
	negativeSteps = []string{"48;5;189;38;5;16", "48;5;153;38;5;16", "48;5;111;38;5;16", "48;5;69;38;5;16", "48;5;25;38;5;231"}
	positiveSteps = []string{"48;5;230;38;5;16", "48;5;223;38;5;16", "48;5;216;38;5;16", "48;5;208;38;5;16", "48;5;166;38;5;231"}
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

// ranked writes the features by size with bars: full for what speaks for the target, hatched for what speaks against.
func (t *text) ranked(a *explain.Attribution) {
	top := largest(a.Scores)
	format := scoreFormat(top)
	order := explain.Ranked(a.Scores)
	shown := order[:min(mostRanked, len(order))]
	labels, values, wide, wideValue := make([]string, len(shown)), make([]string, len(shown)), 0, 0
	for i, f := range shown {
		labels[i] = featureName(a, f, min(28, t.width()/3))
		values[i] = format(a.Scores[f])
		if len(a.Spread) > 0 {
			values[i] += " ±" + strings.TrimPrefix(format(a.Spread[f]), "+")
		}
		wide, wideValue = max(wide, columns(labels[i])), max(wideValue, columns(values[i]))
	}
	room := min(40, t.width()-wide-wideValue-6)
	for i, f := range shown {
		t.line("  " + padRight(labels[i], wide) + "  " + padLeft(values[i], wideValue) + "  " + t.bar(ratio(a.Scores[f], top), room))
	}
	if rest := order[len(shown):]; len(rest) > 0 {
		t.line(fmt.Sprintf("  and %d more, none above %s in size", len(rest), strings.TrimPrefix(format(math.Abs(a.Scores[rest[0]])), "+")))
	}
}

func (t *text) bar(x float64, room int) string {
	n := int(math.Round(math.Abs(x) * float64(room)))
	if x < 0 {
		return t.paint("38;5;69", strings.Repeat("▒", n))
	}
	return t.paint("38;5;208", strings.Repeat("█", n))
}
