package batch

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lmkit.internal/lmkit"
	"lmkit.internal/lmkit/bias"
	"lmkit.internal/lmkit/lm"
)

// Parts that are made elsewhere, in any order and some of them twice, are those of a run in order, byte for byte; what
// went elsewhere went as JSON.
func TestExplainBy(t *testing.T) {
	m := words(t)
	var lines []string
	for i := range 2*PartRows + 30 {
		lines = append(lines, fmt.Sprintf(`{"id":"%d","text":"the %s sat on"}`, i%600*(i%7), []string{"cat", "dog"}[i%2]))
	}
	file := write(t, "items.jsonl", append(slices.Clone(mixed), lines...)...)
	whole, out := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "out")
	if _, err := runOf(t, t.Context(), m, file, whole, common); err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), Job{Source: Source{File: file}, Request: common, Model: "words", Out: out})
	if err != nil {
		t.Fatal(err)
	}
	done, err := p.ExplainBy(m, func(job Job, parts []Part) error {
		order := slices.Clone(parts)
		slices.Reverse(order)
		for i, part := range append(order, parts[1]) {
			data, err := json.Marshal(job)
			if err != nil {
				return err
			}
			var there Job
			if err := json.Unmarshal(data, &there); err != nil {
				return err
			}
			if kept, err := there.Make(t.Context(), m, part); err != nil || kept != (i == len(parts)) {
				t.Errorf("part %d, made %d.: kept %v, %v", part.Index, i+1, kept, err)
			}
		}
		other := job
		other.Request = lmkit.Request{Methods: []string{"saliency"}}
		if _, err := other.Make(t.Context(), m, parts[0]); err == nil || !strings.Contains(err.Error(), "another request") {
			t.Error(err)
		}
		return nil
	})
	if err != nil || done.Explained+done.Failed != len(mixed)+len(lines) || len(p.Parts) != 3 {
		t.Errorf("%+v, %v, %d parts", done, err, len(p.Parts))
	}
	if got, want := content(t, out), content(t, whole); got != want {
		t.Errorf("the parts differ:\n%s\nwant\n%s", got, want)
	}
	if _, err := p.ExplainBy(m, func(Job, []Part) error { t.Error("asked again"); return nil }); err != nil {
		t.Error(err)
	}
	p.Out = filepath.Join(t.TempDir(), "lost")
	if _, err := p.ExplainBy(m, func(Job, []Part) error { return nil }); err == nil ||
		!strings.Contains(err.Error(), "part-00000.jsonl is not there") {
		t.Error(err)
	}
}

// Labels are those of Classify, and scores those of the model, to the last bit of a part; broken rows are failures, and
// a stopped run goes on.
func TestLabelsAndScores(t *testing.T) {
	m := words(t)
	var lines []string
	for i := range PartRows + 20 {
		lines = append(lines, fmt.Sprintf(`{"id":"%d","text":"the %s sat%s","label":%q,"after":"a cat "}`, i,
			[]string{"cat", "dog", "rug"}[i%3], []string{"", " "}[i%2], []string{"on", "mat"}[i%2]))
	}
	lines = append(lines, `{"text":"the cat","label":"dog"}`, `{oops`, `{"ids":[1,2]}`)
	file := write(t, "items.jsonl", lines...)
	run := func(j Job) string {
		j.Source, j.Model, j.Out = Source{File: file}, "words", filepath.Join(t.TempDir(), "out")
		p, err := Open(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := p.Explain(t.Context(), m)
		if err != nil || whole.Explained+whole.Failed != len(lines) {
			t.Fatal(whole, err)
		}
		want := content(t, j.Out)
		p.Out = filepath.Join(t.TempDir(), "out")
		if _, err := p.ExplainBy(m, madeElsewhere(t, m)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, p.Out); got != want {
			t.Errorf("made elsewhere:\n%.1000s\nwant\n%.1000s", got, want)
		}
		return j.Out
	}
	labels := []string{"on", "mat"}
	dir := run(Job{Labels: labels})
	lines1, lines2 := "", ""
	for got, err := range linesOfParts[json.RawMessage](dir) {
		lines1 += fmt.Sprintln(string(got), err)
	}
	for got, err := range linesOfParts[json.RawMessage](run(Job{Labels: labels, Parquet: true})) {
		lines2 += fmt.Sprintln(string(got), err)
	}
	if lines1 != lines2 || lines1 == "" {
		t.Errorf("as Parquet:\n%.1000s\nwant\n%.1000s", lines2, lines1)
	}
	c, err := Classify(t.Context(), m, Classifying{Source: Source{File: file}, Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	for got, err := range linesOfParts[Classified](dir) {
		want := c.All[got.Line-1]
		if err != nil || got.ID != want.ID || got.Label != want.Label {
			t.Fatal(got, want, err)
		}
		if got.Line%2 == 1 && (got.Said != want.Said || math.Abs(*got.Loss-*want.Loss) > 1e-5) { // no space at the end
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	s, err := Summarise(dir, Summarising{})
	if err != nil || s.Right == nil || s.Labelled != PartRows+20 || len(s.Worst) != 5 || s.Worst[0].By < s.Worst[4].By {
		t.Errorf("%+v, %v", s, err)
	}
	if all, without, err := Examples(dir, ""); err != nil || len(all) != s.Labelled || without != 0 {
		t.Errorf("%d examples, %d without, %v", len(all), without, err)
	}
	dir = run(Job{Score: true})
	sum, n := 0.0, 0
	for got, err := range linesOfParts[Scored](dir) {
		if err != nil {
			t.Fatal(err)
		}
		if got.Line == 2 {
			want, _, err := m.Score(t.Context(), []lm.Passage{{Text: "the dog sat ", After: "a cat "}})
			if err != nil || math.Abs(got.LogProb-want[0].LogProb) > 1e-5 || got.Text != "the dog sat " {
				t.Errorf("%+v, want %+v, %v", got, want[0], err)
			}
		}
		sum, n = sum+got.LogProb, n+len(got.Tokens)
	}
	s, err = Summarise(dir, Summarising{})
	if want := math.Exp(-sum / float64(n)); err != nil || s.Tokens != n || math.Abs(s.Perplexity-want) > 1e-9*want {
		t.Errorf("%+v, %v, want %v of %d", s, err, want, n)
	}
	if _, err := Open(t.Context(), Job{Source: Source{File: file}, Labels: labels, Score: true}); err == nil {
		t.Error("labels and scores are taken")
	}
	if _, err := Open(t.Context(), Job{Source: Source{File: file}, Labels: labels[:1]}); err == nil {
		t.Error("one label is taken")
	}
}

// The report of a suite that was scored in parts, in any order, is that of the suite measured at once, to the byte; a
// pair without a score is a failure in both.
func TestSuiteInParts(t *testing.T) {
	m := words(t)
	s := &bias.Suite{Name: "drawn", Source: "a.csv", First: "one", Second: "other", Protocol: bias.Total,
		Groupings: []string{"kind"}, Clusters: "writer"}
	known := strings.Fields("the a cat dog sat ran on mat rug good bad zebra")
	rng := rand.New(rand.NewPCG(7, 0))
	for i := range 2*PartRows + 30 {
		text := func() string {
			var some []string
			for range 1 + rng.IntN(9) {
				some = append(some, known[rng.IntN(len(known))])
			}
			return strings.Join(some, " ")
		}
		x := bias.Pair{ID: fmt.Sprint(i), First: text(), Second: text(), Groups: []string{fmt.Sprint(i % 3)},
			Cluster: fmt.Sprint(i % 11)}
		if i%4 == 0 {
			x.Unrelated = text()
		}
		s.Pairs = append(s.Pairs, x)
	}
	for _, p := range bias.Protocols {
		c := bias.Config{Protocol: p.Name, Worst: 5, Draws: 100, Model: "words"}
		want, err := bias.Measure(t.Context(), m, s, c)
		if err != nil {
			t.Fatal(err)
		}
		whole, parts := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "parts")
		plan, err := Open(t.Context(), Job{Suite: s, Protocol: p.Name, Model: "words", Out: whole})
		if err != nil {
			t.Fatal(err)
		}
		done, err := plan.Explain(t.Context(), m)
		if err != nil || done.Rows != len(s.Pairs) || done.Failed != len(want.Left) || done.Explained != len(want.Pairs) {
			t.Fatalf("%+v, %v", done, err)
		}
		if p.Name == bias.Conditional && done.Failed == 0 {
			t.Error("all pairs have a tail in common")
		}
		elsewhere := *s
		elsewhere.Source = "b/a.csv"
		plan, err = Open(t.Context(), Job{Suite: &elsewhere, Protocol: p.Name, Model: "words", Out: parts})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plan.ExplainBy(m, madeElsewhere(t, m)); err != nil {
			t.Fatal(err)
		}
		if got, want := content(t, parts), content(t, whole); got != strings.ReplaceAll(want, `"a.csv"`, `"b/a.csv"`) {
			t.Errorf("made elsewhere:\n%.1000s\nwant\n%.1000s", got, want)
		}
		got, err := Bias(whole, bias.Config{Worst: 5, Draws: 100})
		if err != nil {
			t.Fatal(err)
		}
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(want)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s: %v, %v\n%.2000s\nwant\n%.2000s", p.Name, errA, errB, a, b)
		}
	}
}

// madeElsewhere makes parts the last one first, of what went there as JSON.
func madeElsewhere(t *testing.T, m *lm.Model) func(Job, []Part) error {
	return func(job Job, parts []Part) error {
		for _, part := range slices.Backward(parts) {
			data, err := json.Marshal([]any{job, part})
			if err != nil {
				return err
			}
			var j Job
			var x Part
			if err := json.Unmarshal(data, &[]any{&j, &x}); err != nil {
				return err
			}
			if _, err := j.Make(t.Context(), m, x); err != nil {
				return err
			}
		}
		return nil
	}
}

// A folder of a suite goes on with the same pairs from wherever they were read, and with nothing else.
func TestSuiteGoesOn(t *testing.T) {
	m := words(t)
	suite := func(source, second string) *bias.Suite {
		return &bias.Suite{Name: "own", Source: source, Protocol: bias.Total, Pairs: []bias.Pair{
			{ID: "1", First: "the cat", Second: "the dog"}, {ID: "2", First: "a cat", Second: second}}}
	}
	out := filepath.Join(t.TempDir(), "out")
	run := func(j Job) error {
		j.Model, j.Out = "words", out
		p, err := Open(t.Context(), j)
		if err == nil {
			_, err = p.Explain(t.Context(), m)
		}
		return err
	}
	if err := run(Job{Suite: suite("a.csv", "a dog")}); err != nil {
		t.Fatal(err)
	}
	if err := run(Job{Suite: suite("../b/a.csv", "a dog"), Protocol: bias.Total}); err != nil {
		t.Error(err)
	}
	other := suite("a.csv", "a dog")
	other.Aim = bias.Wrong
	for want, j := range map[string]Job{
		"another content of the file": {Suite: suite("a.csv", "a mat")},
		"another protocol":            {Suite: suite("a.csv", "a dog"), Protocol: bias.Bits},
		"another suite":               {Suite: other},
		"no protocol \"sum\"":         {Suite: other, Protocol: "sum"},
		"has its own sentences":       {Suite: other, Score: true},
		"has no pairs":                {Suite: &bias.Suite{Protocol: bias.Total}},
	} {
		if err := run(j); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Bias(t.TempDir(), bias.Config{}); err == nil {
		t.Error("a folder of nothing has a report")
	}
	if _, _, err := Examples(out, ""); err == nil || !strings.Contains(err.Error(), "neither right nor wrong") {
		t.Error(err)
	}
}
