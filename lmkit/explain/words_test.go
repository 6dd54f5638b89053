package explain_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// told is a method that gives the scores that it is told.
type told struct {
	name   string
	scores []float64
}

func (m told) Name() string { return m.name }

func (m told) Score(context.Context, *explain.Problem) (explain.Scores, error) {
	return explain.Scores{Values: m.scores}, nil
}

// Whatever scores a method gives: the evidence names features with scores above 0 that the model knows; a warning names
// five at most, says which way the objective went, and does not send the reader to the method that gave it. The model's
// own choice is stated, and is no warning.
func TestWordsOfEvidence(t *testing.T) {
	tok, err := token.NewWord(slices.Values([]string{"a b c d e f g h"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 6, Hidden: 6, Layers: 1},
		tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom(strings.Fields("a b c d e f g h strange other")), 1, 40).Draw(t, "words")
		target := token.ID(rapid.IntRange(0, tok.Size()-1).Draw(t, "target"))
		method := told{name: rapid.SampledFrom([]string{"occlusion", "leave-one-out", "lime"}).Draw(t, "method")}
		for range words {
			method.scores = append(method.scores, float64(rapid.IntRange(-2, 4).Draw(t, "score")))
		}
		as, err := explain.Explain(t.Context(), m, explain.Question{Prompt: strings.Join(words, " "),
			Target:    []token.ID{target},
			Objective: explain.Logit}, method)
		if err != nil {
			t.Fatal(err)
		}
		a := as[0]
		if a.Choice == nil {
			t.Fatal("the model's first choice is not stated")
		}
		n := a.Evidence.Necessity
		if n != nil {
			for _, f := range n.Features {
				if a.Scores[f] <= 0 || a.Tokens[f].Unknown {
					t.Fatalf("feature %d with the score %v, unknown %v, is named", f, a.Scores[f], a.Tokens[f].Unknown)
				}
			}
		}
		for _, w := range a.Warnings {
			if strings.Contains(w, "with "+method.name) || strings.Contains(w, "use "+method.name) {
				t.Fatalf("%s recommends itself: %s", method.name, w)
			}
			if strings.Count(w, `"`) > 2*5 {
				t.Fatalf("more than five tokens are named: %s", w)
			}
			if strings.Contains(w, "first choice") {
				t.Fatalf("a choice is no fault: %s", w)
			}
			if strings.HasPrefix(w, "deleting the top features") {
				_, way, _ := strings.Cut(w, ") ")
				if n.Drop > 0 && !strings.HasPrefix(way, "lowers") || n.Drop < 0 && !strings.HasPrefix(way, "raises") {
					t.Fatalf("a drop of %v: %s", n.Drop, w)
				}
			}
		}
		if n != nil && n.Drop < 0 && slices.Min(a.Scores) < 0 && len(a.Scores) > 2*len(n.Features) &&
			!slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.HasPrefix(w, "deleting the top features") }) {
			t.Fatalf("deleting what speaks for the target raises the objective by %v, and nothing is said: %q",
				-n.Drop, a.Warnings)
		}
	})
}

// A text of several tokens is said to be that, with its first tokens, whether or not there is a prompt that it follows.
func TestTargetOfSeveralTokens(t *testing.T) {
	tok, err := token.NewChar("abcdefghij")
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 4, Hidden: 4, Layers: 1},
		tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	rapid.Check(t, func(t *rapid.T) {
		prompt := rapid.StringMatching(`[a-j]{0,5}`).Draw(t, "prompt")
		text := rapid.StringMatching(`[a-j]{2,60}`).Draw(t, "text")
		_, err := explain.FindToken(m, prompt, text)
		if err == nil || !strings.Contains(err.Error(), "tokens after this prompt, and a target is one") ||
			strings.Count(err.Error(), "#") > 5 {
			t.Fatalf("%q after %q: %v", text, prompt, err)
		}
	})
}
