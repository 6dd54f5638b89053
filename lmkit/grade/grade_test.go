package grade

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/corpus"
	"lmkit.internal/lmkit/generate"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// What is counted of labels adds up, whatever was said.
func TestClassesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := []string{" a", " b", " c"}[:rapid.IntRange(2, 3).Draw(t, "labels")]
		n := rapid.IntRange(1, 60).Draw(t, "examples")
		pairs, said, right := make([]corpus.Pair, n), make([]string, n), 0
		for i := range pairs {
			pairs[i].Answer, said[i] = rapid.SampledFrom(labels).Draw(t, "right"), rapid.SampledFrom(labels).Draw(t, "said")
			if pairs[i].Answer == said[i] {
				right++
			}
		}
		r := &Report{}
		r.classes(pairs, said, labels)
		sum, diagonal, mean := 0, 0, 0.0
		for k, c := range r.Classes {
			row := 0
			for _, x := range c.Said {
				row += x
			}
			if row != c.Right || c.Label != strings.TrimSpace(labels[k]) {
				t.Fatalf("%+v", c)
			}
			sum, diagonal, mean = sum+row, diagonal+c.Said[k], mean+c.F1/float64(len(labels))
			// F1 = 2 TP / (2 TP + FP + FN), which needs no precision and no recall.
			fp := 0
			for j, other := range r.Classes {
				if j != k {
					fp += other.Said[k]
				}
			}
			want := 0.0
			if d := 2*c.Said[k] + fp + c.Right - c.Said[k]; d > 0 {
				want = 2 * float64(c.Said[k]) / float64(d)
			}
			if math.Abs(c.F1-want) > 1e-12 {
				t.Fatalf("F1 %v, want %v: %+v", c.F1, want, r.Classes)
			}
		}
		if sum != n || diagonal != right || math.Abs(*r.MacroF1-mean) > 1e-12 {
			t.Fatalf("%d of %d examples, %d of %d right: %+v", sum, n, diagonal, right, r)
		}
	})
}

// Answers are labels where they are few and come again.
func TestLabels(t *testing.T) {
	pairs := func(answers ...string) (ps []corpus.Pair) {
		for _, a := range answers {
			ps = append(ps, corpus.Pair{Answer: a})
		}
		return ps
	}
	if got := Labels(pairs(" b", " a", " b", " a", " b", " b")); !slices.Equal(got, []string{" b", " a"}) {
		t.Errorf("%q", got)
	}
	for _, none := range [][]corpus.Pair{nil, pairs(" a", " a", " a"), pairs(" a", " b", " c", " a")} {
		if got := Labels(none); got != nil {
			t.Errorf("%q of %v", got, none)
		}
	}
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprint(i%30))
	}
	if got := Labels(pairs(many...)); got != nil {
		t.Errorf("%d labels", len(got))
	}
}

// A model's answer is the label with the highest log-probability, with its end where one label begins another, and the
// margins are the differences; a written answer is what the model generates.
func TestAnswersOfAModel(t *testing.T) {
	tok, err := token.NewWord(slices.Values([]string{"a b c d e => <eos>"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	end, _ := tok.Lookup("<eos>")
	c := lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 8, Hidden: 8, Layers: 1}
	plain, err := lm.New(backendtest.PureGo(t), c, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	ws, err := plain.Weights()
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.FromTraining(plain.Engine(), c, tok, ws, nil, []token.ID{end})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx := context.Background()
	var pairs []corpus.Pair
	for i, text := range []string{"a b", "c d e", "e", "b b a", "d", "a c", "zebra"} {
		pairs = append(pairs, corpus.Pair{Prompt: text + " =>", Answer: []string{" a", " b"}[i%2], Line: i + 1})
	}
	for _, labels := range [][]string{{" a", " b"}, {" a", " a b", " b"}} {
		r, err := Answers(ctx, m, pairs, Config{Labels: labels, Worst: 100})
		if err != nil {
			t.Fatal(err)
		}
		wrong := map[int]Mistake{}
		for _, w := range r.Worst {
			wrong[w.Line] = w
		}
		for _, p := range pairs {
			best, top, own := "", math.Inf(-1), 0.0
			for _, l := range labels {
				s, _, err := m.Score(ctx, []lm.Passage{{Text: l, After: p.Prompt, Ended: len(labels) == 3}})
				if err != nil || s[0].Error != "" {
					t.Fatal(err, s)
				}
				if s[0].LogProb > top {
					best, top = l, s[0].LogProb
				}
				if l == p.Answer {
					own = s[0].LogProb
				}
			}
			w, is := wrong[p.Line]
			if is != (best != p.Answer) || is && (w.Said != strings.TrimSpace(best) || math.Abs(w.Margin-(top-own)) > 1e-5) {
				t.Errorf("labels %q, line %d: %+v, want %q by %v", labels, p.Line, w, best, top-own)
			}
		}
		if got := 1 - float64(len(wrong))/float64(len(pairs)); math.Abs(r.Accuracy.Share-got) > 1e-12 {
			t.Errorf("accuracy %v, want %v", r.Accuracy.Share, got)
		}
	}
	r, err := Answers(ctx, m, pairs[:3], Config{})
	if err != nil || r.Texts == nil || r.Classes != nil || r.Accuracy.N != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Answers(ctx, m, nil, Config{}); err == nil {
		t.Error("no examples")
	}
	// What is asked in other words is answered as those are, and written.
	ask := func(text string) ([]token.ID, error) {
		e, err := tok.Encode("e d " + text)
		return e.IDs, err
	}
	r, err = Answers(ctx, m, pairs, Config{Ask: ask, Tokens: 4, Worst: 100})
	if err != nil || r.Texts == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, w := range r.Worst {
		want, err := generate.Text(ctx, m, "e d "+w.Prompt, generate.Config{Tokens: 4})
		if err != nil || w.Said != strings.TrimSpace(want) {
			t.Errorf("line %d: said %q, want %q, %v", w.Line, w.Said, want, err)
		}
	}
	if _, err := Answers(ctx, m, pairs, Config{Ask: ask, Labels: []string{" a", " b"}}); err == nil {
		t.Error("labels were chosen from what is asked in other words")
	}
}
