package render

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/internal/printable"
)

// fact is one line of what is known about an attribution, in plain words. bad: the reader must not miss it.
type fact struct {
	Name, Text string
	Bad        bool
}

// question says what was asked.
func question(a *explain.Attribution) string { return questionOf(a.Objective, a.Asked()) }

func questionOf(objective string, of explain.Asked) string {
	target := textOf(of.Target, of.Answer, of.Any)
	switch {
	case of.Foil != nil:
		return fmt.Sprintf("why %s rather than %s", target, textOf(*of.Foil, of.FoilAnswer, of.Any))
	case objective == explain.Loss:
		return "why this loss on " + target
	}
	return fmt.Sprintf("why %s", target)
}

// textOf is a token, in quotes, or the tokens of an answer, or of a set, that begins with it.
func textOf(first explain.Token, all []explain.Token, any bool) string {
	if len(all) == 0 {
		return printable.Quoted(first.Text)
	}
	var texts []string
	for _, t := range all {
		texts = append(texts, t.Text)
	}
	if !any {
		return printable.Quoted(strings.Join(texts, ""))
	}
	for i, t := range texts {
		texts[i] = printable.Quoted(t)
	}
	return "any of " + strings.Join(texts, ", ")
}

// precision says what the value is where products are not in float32, and what it is where they are.
func precision(value, full float64, unit string) string {
	return fmt.Sprintf("products with weights are in bfloat16: the value is %s, in float32 %s (%s)",
		printable.Number(value), printable.Number(full), printable.Line(unit))
}

// facts says the evidence of an attribution in a fixed order. What was not measured is said too.
func facts(a *explain.Attribution) []fact {
	fs := []fact{
		{
			Name: "asked",
			Text: fmt.Sprintf("%s (objective: %s, in %s)", question(a), printable.Line(a.Objective), printable.Line(a.Unit)),
		},
		{Name: "value", Text: value(a)},
		{Name: "baseline", Text: baseline(a.Baseline)},
		completeness(a),
		deletion(a, "necessity", a.Evidence.Necessity),
		deletion(a, "sufficiency", a.Evidence.Sufficiency),
	}
	if h := a.Evidence.Held; h != nil {
		fs = append(fs, fact{Name: "held", Text: held(a.Tokens, h)})
	}
	if v := a.Evidence.Float32; v != nil {
		fs = append(fs, fact{Name: "precision", Text: precision(a.Value, *v, a.Unit)})
	}
	if note := choiceNote(a.Asked()); note != "" {
		fs = slices.Insert(fs, 1, fact{Name: "note", Text: note})
	}
	if len(a.Spread) > 0 {
		fs = append(fs, fact{Name: "spread", Text: "± is the standard error of a score"})
	}
	fs = append(
		fs,
		fact{Name: "cost", Text: cost(a.Cost)},
		fact{Name: "origin", Text: origin(a.Seed, a.ModelHash, a.InputHash)},
	)
	return fs
}

// value says what the scores share out.
func value(a *explain.Attribution) string {
	base := fmt.Sprintf(", %s on the baseline%s", printable.Number(a.Base), overBaselines(a.Baseline))
	if a.BaseOf != "" {
		base = fmt.Sprintf("; the base, %s, is %s", printable.Line(a.BaseOf), printable.Number(a.Base))
	}
	return printable.Number(a.Value) + " on the input" + base + ": a difference of " + printable.Number(a.Value-a.Base)
}

// choiceNote says that it is not the model's first choice that is explained; "" where it is.
func choiceNote(a explain.Asked) string {
	if a.Chosen() {
		return ""
	}
	not := "not the target " + textOf(a.Target, a.Answer, a.Any)
	if a.Answer != nil && !a.Any {
		not = "not " + printable.Quoted(a.Target.Text) + ", with which the answer begins"
	}
	return fmt.Sprintf("the model's first choice is %s, %s", printable.Quoted(a.Choice.Text), not)
}

// several reports whether a baseline is more than one, over which numbers are means.
func several(baseline string) bool { return strings.Contains(baseline, ",") }

// overBaselines follows what is a mean over several baselines, and is empty otherwise.
func overBaselines(baseline string) string {
	if several(baseline) {
		return "s, on average"
	}
	return ""
}

func baseline(name string) string {
	switch name {
	case "":
		return "not stated"
	case "none":
		return "none: this method compares with nothing"
	}
	if several(name) {
		return printable.Line(name) + " stand for an absent token, one after the other; " +
			"scores and values are means over these"
	}
	return printable.Line(name) + " stands for an absent token"
}

func completeness(a *explain.Attribution) fact {
	c := a.Evidence.Completeness
	if c == nil {
		return fact{Name: "completeness", Text: "not promised: the scores of this method need not add up"}
	}
	sum := 0.0
	for _, s := range a.Scores {
		sum += s
	}
	f := fact{Name: "completeness", Bad: !c.Holds}
	verdict := "holds"
	if f.Bad {
		verdict = "DOES NOT HOLD"
	}
	promise := a.Promised()
	f.Text = fmt.Sprintf("%s: the scores sum to %s, %s is %s; error %s (%s, tolerance %s)",
		verdict, printable.Number(sum), printable.Line(promise.Of), printable.Number(promise.Total),
		printable.Number(c.Error), printable.Percent(c.Relative), printable.Percent(c.Tolerance))
	return f
}

// heldTokens is how many tokens stay as they are.
func heldTokens(tokens []explain.InputToken) (n int) {
	for _, t := range tokens {
		if t.Held {
			n++
		}
	}
	return n
}

// held says which tokens have no score, why, and what they do.
func held(tokens []explain.InputToken, h *explain.Held) string {
	n := heldTokens(tokens)
	who, its, it := "the first token, "+printable.Quoted(h.Text)+", stays and has no score", "its", "it"
	why := "as was asked"
	switch {
	case h.Why == explain.HeldOutside:
		who, it = "what is outside of the part asked about, "+printable.Count(n, "token")+", stays and has no score", "it all"
	case h.Why == explain.HeldTemplate:
		who, it = "what the model's chat template wrote, "+printable.Count(n, "token")+", stays and has no score", "it all"
		why = "no person said it"
	case h.Why == explain.HeldTokenizer:
		why = "the tokenizer puts it before every text"
		if n > 1 {
			who, its, it = fmt.Sprintf("%s stay and have no score", printable.Count(n, "token")), "their", "them"
			why = "the tokenizer puts them around every text"
		}
	case h.Sink != nil:
		why = fmt.Sprintf("it is the model's attention sink (its residual is %s times as large as others')",
			printable.Number(*h.Sink))
	}
	text := fmt.Sprintf("%s: %s; the baseline in %s place changes the objective by %s", who, why, its,
		printable.Number(-h.Effect))
	if h.Share != nil {
		text += fmt.Sprintf("; the method gives %s %s, which is part of the base", it, printable.Number(*h.Share))
	}
	return text
}

// deletion says what became of the objective and of the first choice when features were replaced.
func deletion(a *explain.Attribution, name string, d *explain.Deletion) fact {
	if d == nil && len(a.Top()) == 0 {
		return fact{Name: name, Text: "not measured: no token that the model knows has a score above 0"}
	}
	if d == nil {
		return fact{Name: name, Text: "not measured"}
	}
	start := "without the top "
	if name == "sufficiency" {
		start = "with only the top "
	}
	verb := "stays at"
	switch was, is := printable.Number(a.Value), printable.Number(d.Value); {
	case was == is:
	case d.Value < a.Value:
		verb = "falls from " + was + " to"
	default:
		verb = "rises from " + was + " to"
	}
	choice := "the first choice is " + printable.Quoted(d.Decision)
	switch {
	case d.Flips:
		choice = "the first choice becomes " + printable.Quoted(d.Decision)
	case d.Decision == a.Target.Text:
		choice = "the first choice stays " + printable.Quoted(d.Decision)
	}
	if d.Baseline != "" {
		choice += " (with the baseline " + printable.Line(d.Baseline) + ")"
	}
	random := ""
	if d.Random != nil {
		random = fmt.Sprintf("; without as many at random: %s on average", printable.Number(a.Value-*d.Random))
	}
	objective := printable.Line(a.Objective)
	return fact{Name: name, Text: fmt.Sprintf(
		"%s%s (%s) the %s %s %s (%s%s), and %s",
		start,
		printable.Count(len(d.Features), noun(a)),
		names(a, d.Features),
		objective,
		verb,
		printable.Number(d.Value),
		way(a, d),
		random,
		choice,
	)}
}

// way says how far a deletion leads to the baseline, where all features are deleted: as a share of the difference
// between input and baseline, but in words where it leads past the baseline or away from it.
func way(a *explain.Attribution, d *explain.Deletion) string {
	base := a.Base
	if d.Share != nil && *d.Share != 0 {
		base = a.Value - d.Drop / *d.Share
	}
	goal, near := "the baseline's "+printable.Number(base), ""
	if several(a.Baseline) {
		goal = "the baselines' mean of " + printable.Number(base)
	}
	if d.Share == nil {
		return goal + " is where the input is"
	}
	if math.Abs(*d.Share) > 3 {
		near = ", which is so near that a percentage would say little"
	}
	switch {
	case *d.Share > 1.5:
		return "past " + goal + near
	case *d.Share < 0:
		return "away from " + goal + near
	}
	return printable.Percent(*d.Share) + " of the way to " + goal
}

// noun is what a feature of this attribution is.
func noun(a *explain.Attribution) string {
	for _, f := range a.Features {
		if len(f.Tokens) != 1 {
			return "feature"
		}
	}
	return "token"
}

const mostNames = 5

func names(a *explain.Attribution, features []int) string {
	if len(features) == 0 {
		return "none"
	}
	var list []string
	for _, f := range features[:min(mostNames, len(features))] {
		if f >= 0 && f < len(a.Features) {
			mark := ""
			if isUnknown(a, f) { // in files of older versions
				mark = unknownMark
			}
			list = append(list, printable.Quoted(a.Features[f].Text)+place(a, f)+mark)
		}
	}
	if more := len(features) - mostNames; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// place is the position of a feature whose text stands more than once in the input, in brackets; otherwise nothing.
func place(a *explain.Attribution, f int) string {
	if len(a.Features[f].Tokens) == 0 {
		return ""
	}
	for other, g := range a.Features {
		if other != f && g.Text == a.Features[f].Text {
			return fmt.Sprintf(" [%d]", a.Features[f].Tokens[0])
		}
	}
	return ""
}

// featureName is a feature's text and place, cut to max columns.
func featureName(a *explain.Attribution, f, max int) string {
	at := place(a, f) + roleOf(a, f)
	if isUnknown(a, f) {
		at += unknownMark
	}
	return printable.Shorten(printable.Visible(a.Features[f].Text), max-len(at)) + at
}

func cost(c explain.Cost) string {
	s := fmt.Sprintf("%s forward, %d backward", printable.Count(c.ForwardRows, "row"), c.BackwardRows)
	if c.EstimatedRows > 0 {
		s += fmt.Sprintf(" (%d estimated)", c.EstimatedRows)
	}
	s += fmt.Sprintf(" in %s s", printable.Number(c.Seconds))
	if c.CompileSeconds > 0 {
		s += fmt.Sprintf("; compilation took %s s more", printable.Number(c.CompileSeconds))
	}
	return s
}

func origin(seed uint64, model, input string) string {
	s := fmt.Sprintf("seed %d", seed)
	if model != "" {
		s += ", model " + printable.Shorten(printable.Line(model), 13)
	}
	if input != "" {
		s += ", input " + printable.Shorten(printable.Line(input), 13)
	}
	return s
}

// rest says what the features are that a list by size leaves out, in that order; "" where it leaves out none.
func rest(a *explain.Attribution, left []int, format func(float64) string) string {
	if len(left) == 0 {
		return ""
	}
	top := strings.TrimPrefix(format(math.Abs(a.Scores[left[0]])), "+")
	return fmt.Sprintf("and %d more, none above %s in size", len(left), top)
}

// toLeft says whether the input is read from right to left.
func toLeft(a *explain.Attribution) bool {
	var text strings.Builder
	for _, t := range a.Tokens {
		text.WriteString(t.Text)
	}
	return printable.RightToLeft(text.String())
}

// tokenScores gives each token the score of its feature, the larger in size where features overlap, and NaN where no
// feature that has a score holds it. feature is the index of that feature, or -1.
func tokenScores(a *explain.Attribution) (scores []float64, feature []int) {
	scores, feature = make([]float64, len(a.Tokens)), make([]int, len(a.Tokens))
	for i := range scores {
		scores[i], feature[i] = math.NaN(), -1
	}
	for f, s := range a.Scores {
		if unscored(a, f) {
			s = math.NaN()
		}
		for _, t := range a.Features[f].Tokens {
			if feature[t] < 0 || math.IsNaN(scores[t]) || math.Abs(s) > math.Abs(scores[t]) {
				scores[t], feature[t] = s, f
			}
		}
	}
	return scores, feature
}
