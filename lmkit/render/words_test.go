package render

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/plot"
)

// drawn is an attribution with numbers of any kind: unknown tokens, one baseline or several, evidence that was measured
// or not, a target that is the model's first choice or another.
func drawn(t *rapid.T) *explain.Attribution {
	words := []string{"alpha", "bravo", "carol", "delta", "echos", "foxes", "golfs", "hotel"}
	a := sample(rapid.IntRange(1, len(words)).Draw(t, "tokens"), words...)
	for i := range a.Tokens {
		a.Tokens[i].Unknown = rapid.Bool().Draw(t, "unknown")
		a.Scores[i] = float64(rapid.IntRange(-3, 5).Draw(t, "score"))
	}
	a.Baseline = rapid.SampledFrom([]string{"unk", "mean", "unk,mean"}).Draw(t, "baseline")
	if rapid.Bool().Draw(t, "choice is stated") {
		a.Choice = &explain.Token{ID: rapid.IntRange(6, 8).Draw(t, "choice"), Text: " chosen"}
	}
	top := a.Top()
	a.Evidence = explain.Evidence{}
	if len(top) > 0 && rapid.Bool().Draw(t, "measured") {
		drop := float64(rapid.IntRange(-4, 4).Draw(t, "drop"))
		d := &explain.Deletion{Features: top, Value: a.Value - drop, Drop: drop, Decision: " is"}
		if rapid.Bool().Draw(t, "share") {
			d.Share = of(drop / 2)
		}
		if several(a.Baseline) {
			d.Baseline = "unk"
		}
		a.Evidence.Necessity, a.Evidence.Sufficiency = d, d
	}
	return a
}

// said is what pictures, pages and text of an attribution say, by the name of the form.
func said(t *rapid.T, a *explain.Attribution) map[string]string {
	var text, html, svg, beside bytes.Buffer
	c, err := Compare(a, a)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{Text(&text, a, plot.Options{Width: 400}), HTML(&html, a), SVG(&svg, a),
		c.Text(&beside, plot.Options{Width: 400})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"text": text.String(), "html": html.String(), "svg": svg.String(), "compare": beside.String()}
}

// What a deletion does is said in the direction in which the objective moved; what was not measured is not said in
// numbers; where another token than the target is the model's first choice, every form says so.
func TestWordsFitTheNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawn(t)
		other := a.Choice != nil && a.Choice.ID != a.Target.ID
		for form, s := range said(t, a) {
			if strings.Contains(s, "not the target") != other {
				t.Fatalf("%s: the first choice is %v, the target %v:\n%s", form, a.Choice, a.Target, s)
			}
		}
		for _, f := range facts(a) {
			if f.Name != "necessity" {
				continue
			}
			d := a.Evidence.Necessity
			if (d == nil) != strings.HasPrefix(f.Text, "not measured") {
				t.Fatalf("%+v: %s", d, f.Text)
			}
			if d == nil {
				continue
			}
			if strings.Contains(f.Text, " falls from ") != (d.Drop > 0) ||
				strings.Contains(f.Text, " rises from ") != (d.Drop < 0) {
				t.Fatalf("a drop of %v: %s", d.Drop, f.Text)
			}
			if d.Share == nil && strings.Contains(f.Text, "%") {
				t.Fatalf("no share: %s", f.Text)
			}
		}
	})
}

// Features that the evidence names have scores above 0 and are known to the model, and are at most a fifth of all.
func TestTopFeaturesSpeakForTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawn(t)
		top := a.Top()
		if len(top) > (len(a.Scores)+4)/5 {
			t.Fatalf("%d of %d features are top", len(top), len(a.Scores))
		}
		for f, s := range a.Scores {
			in := slices.Contains(top, f)
			if in && (s <= 0 || isUnknown(a, f)) {
				t.Fatalf("a top feature has the score %v, unknown %v", s, isUnknown(a, f))
			}
			for _, g := range top {
				if !in && s > a.Scores[g] && !isUnknown(a, f) {
					t.Fatalf("the score %v is left out, %v is top", s, a.Scores[g])
				}
			}
		}
	})
}

// With several baselines it is said which numbers are means over them, and with which one the first choice changed.
func TestSeveralBaselinesAreSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawn(t)
		for form, s := range said(t, a) {
			want := "average"
			if form == "compare" {
				want = "are means"
			}
			many := several(a.Baseline)
			if many && !strings.Contains(s, want) || !many && strings.Contains(s, "means over") {
				t.Fatalf("%s: baseline %s:\n%s", form, a.Baseline, s)
			}
			lines := form == "text" || form == "html" // others break them anywhere
			if many && a.Evidence.Necessity != nil && lines && !strings.Contains(s, "with the baseline unk") {
				t.Fatalf("%s: the first choice has no baseline:\n%s", form, s)
			}
		}
	})
}

// A base that is not the objective on the baseline is said to be what it is, and "baseline" is a word for the other one
// alone, which a deletion is compared with.
func TestTheBaseIsNotTheBaseline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawn(t)
		a.BaseOf = "what no feature is credited with"
		for form, text := range said(t, a) {
			text = strings.Join(strings.Fields(text), " ")
			if strings.Contains(text, "on the baseline") {
				t.Fatalf("%s: the base is called the baseline: %s", form, text)
			}
			if (form == "text" || form == "html") && !strings.Contains(text, "the base, "+a.BaseOf+", is ") {
				t.Fatalf("%s: nothing says what the base is: %s", form, text)
			}
		}
	})
}
