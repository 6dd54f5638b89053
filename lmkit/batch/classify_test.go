package batch

import (
	"math"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/progress"
)

// What is said of each row is the label that Score finds most likely after its prompt; rows that cannot be asked about
// are failures, whatever is wrong with them; a prompt that is longer than the model can read is read in parts; counts
// add up.
func TestClassify(t *testing.T) {
	m := words(t)
	file := write(t, "x.csv", "text,label,source", "the cat sat,good,a", "a dog ran,bad,b", "a cat,fair,c", ",good,d",
		"the cat sat on the mat the cat sat on the mat the cat,good,e", "the dog,,f")
	heard := 0
	ctx := progress.With(t.Context(), func(progress.Event) { heard++ })
	c, err := Classify(ctx, m, Classifying{Source: Source{File: file, Template: "{text} on the"}, Model: "words",
		Labels: []string{"good", " bad "}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Items+c.Failed != 6 || c.Items != 4 || c.Report.Examples != 3 || c.Calibration.Examples != 3 || heard == 0 {
		t.Errorf("%+v", c)
	}
	said := 0
	for _, x := range c.All {
		scores, _, err := m.Score(t.Context(), []lm.Passage{{Text: " good", After: x.Prompt},
			{Text: " bad", After: x.Prompt}})
		if err != nil {
			t.Fatal(err)
		}
		good := scores[0].LogProb > scores[1].LogProb
		if (x.Said == "good") != good || x.P < 0.5 || (x.Loss == nil) != (x.Label == "") || x.Meta["text"] == nil ||
			math.Abs(x.Scores[0].LogProb-scores[0].LogProb) > 1e-5 {
			t.Errorf("%+v, scores %v and %v", x, scores[0].LogProb, scores[1].LogProb)
		}
		if right := x.Said == x.Label; x.Loss != nil && right != (*x.Loss < math.Ln2) {
			t.Errorf("%+v has the loss %v", x, *x.Loss)
		}
	}
	for _, l := range c.Labels {
		if said += l.Said; l.Tokens != 1 {
			t.Errorf("%+v", l)
		}
	}
	if said != c.Items {
		t.Errorf("%d labels for %d items", said, c.Items)
	}
	var lines []int
	for _, f := range c.Failures {
		lines = append(lines, f.Line)
	}
	if !slices.Equal(lines, []int{4, 5}) {
		t.Errorf("failures %v", c.Failures)
	}
}

// Lines of text have their label behind a mark; the prompt ends with it.
func TestClassifyLines(t *testing.T) {
	m := words(t)
	file := write(t, "x.txt", "the cat on good", "a dog on bad", "no mark here")
	labels := []string{"good", "bad"}
	c, err := Classify(t.Context(), m, Classifying{Source: Source{File: file, Label: "on"}, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.All) != 3 || c.All[0].Prompt != "the cat on" || c.All[0].Label != "good" || c.All[2].Label != "" ||
		c.Report.Examples != 2 {
		t.Errorf("%+v", c)
	}
	file = write(t, "x.csv", "text", "the cat", "a dog")
	if c, err = Classify(t.Context(), m, Classifying{Source: Source{File: file}, Labels: labels}); err != nil ||
		c.Report != nil || len(c.Notes) == 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Labels that share their beginnings are compared whole, and the report says so.
func TestAwkwardLabels(t *testing.T) {
	m := words(t)
	file := write(t, "x.csv", "text,label", "the cat,good cat", "a dog,good dog")
	c, err := Classify(t.Context(), m, Classifying{Source: Source{File: file},
		Labels: []string{"good cat", "good dog", "good"}})
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(c.Notes, "; ")
	for _, want := range []string{`"good cat" and "good dog" begin with the same token`, "differ in their number of ",
		"begins another"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%s: lacks %q", notes, want)
		}
	}
	for _, labels := range [][]string{nil, {"a"}, {"a", "a "}, {"a", ""}, {"good", "zyzzyva"}, {"zyzzyva", "quux"}} {
		if _, err := Classify(t.Context(), m, Classifying{Source: Source{File: file}, Labels: labels}); err == nil {
			t.Errorf("%q are taken", labels)
		}
	}
	others := []string{"x", "y"}
	if _, err := Classify(t.Context(), m, Classifying{Source: Source{File: file}, Labels: others}); err == nil ||
		!strings.Contains(err.Error(), "none of those to choose from") {
		t.Error(err)
	}
}
