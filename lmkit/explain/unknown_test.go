package explain_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lmkit.internal/lmkit/backend/backendtest"
	"lmkit.internal/lmkit/explain"
	"lmkit.internal/lmkit/explain/gradient"
	"lmkit.internal/lmkit/explain/perturb"
	"lmkit.internal/lmkit/lm"
	"lmkit.internal/lmkit/token"
)

// Words that the model does not know are marked, and a warning names them; a prompt of known words gets none. Against
// the baseline unk their scores are 0, which the warning says.
func TestUnknownWordsAreSaid(t *testing.T) {
	known := []string{"the", "keys", "near", "box", "are"}
	tok, err := token.NewWord(slices.Values([]string{strings.Join(known, " ")}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := lm.New(backendtest.PureGo(t), lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 6, Hidden: 6, Layers: 1},
		tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	strange := []string{"zyzzyva", "quux", "Łódź", "猫", "a1", "b2", "c3"}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom(append(slices.Clone(known), strange...)), 1, 9).Draw(t, "words")
		baseline := rapid.SampledFrom([]string{"", "unk", "mean"}).Draw(t, "baseline")
		as, err := explain.Explain(t.Context(), m, explain.Question{Prompt: strings.Join(words, " "), Baseline: baseline},
			perturb.Occlusion{})
		if err != nil {
			t.Fatal(err)
		}
		a := as[0]
		x, err := explain.ExplainMatrix(t.Context(), m, explain.Question{Prompt: strings.Join(words, " "),
			Baseline: baseline}, gradient.Predictions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range a.Warnings {
			if strings.HasPrefix(w, "the model does not know ") && !slices.Contains(x.Warnings, w) {
				t.Fatalf("of pairs only this is said: %q", x.Warnings)
			}
		}
		var unknown []string
		for i, w := range words {
			is := slices.Contains(strange, w)
			if a.Tokens[i].Unknown != is || a.Tokens[i].Text != w {
				t.Fatalf("token %d: %+v of %q", i, a.Tokens[i], w)
			}
			if is && !slices.Contains(unknown, w) {
				unknown = append(unknown, w)
			}
			if is && a.Baseline == "unk" && a.Scores[i] != 0 {
				t.Fatalf("the unknown word %q has the score %v", w, a.Scores[i])
			}
		}
		i := slices.IndexFunc(a.Warnings, func(w string) bool { return strings.HasPrefix(w, "the model does not know ") })
		if (i >= 0) != (len(unknown) > 0) {
			t.Fatalf("%q: warnings %q", words, a.Warnings)
		}
		for k, w := range unknown {
			if named := strings.Contains(a.Warnings[i], `"`+w+`"`); named != (k < 5) {
				t.Fatalf("%q is named in %q: %v", w, a.Warnings[i], named)
			}
		}
		if i >= 0 && strings.Contains(a.Warnings[i], "0 by construction") != (a.Baseline == "unk") {
			t.Fatalf("baseline %s: %s", a.Baseline, a.Warnings[i])
		}
	})
}

// The unknown token is the default baseline where training showed it to the model, and is warned of where not.
func TestUnknownTokenThatTrainingNeverShowed(t *testing.T) {
	tok, err := token.NewWord(slices.Values([]string{"a b c"}), token.WordConfig{})
	if err != nil {
		t.Fatal(err)
	}
	c := lm.Config{Arch: lm.LSTM, Vocab: tok.Size(), Width: 4, Hidden: 4, Layers: 1}
	fresh, err := lm.New(backendtest.PureGo(t), c, tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	ws, err := fresh.Weights()
	if err != nil {
		t.Fatal(err)
	}
	for training, met := range map[string]bool{
		"": true, `{}`: true, `{"settings": {}}`: false, `{"settings": {"hide": 0.05}}`: true,
		`{"met_unknown": true, "settings": {}}`:              true,
		`{"met_unknown": false, "settings": {"hide": 0.05}}`: false, `not JSON`: true,
	} {
		m, err := lm.FromTraining(fresh.Engine(), c, tok, ws, []byte(training), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		as, err := explain.Explain(t.Context(), m, explain.Question{Prompt: "a b"}, perturb.Occlusion{})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "unk", false: "mean"}[met]; as[0].Baseline != want {
			t.Errorf("%s: the baseline is %s, want %s", training, as[0].Baseline, want)
		}
		as, err = explain.Explain(t.Context(), m, explain.Question{Prompt: "a b", Baseline: "unk"}, perturb.Occlusion{})
		if err != nil {
			t.Fatal(err)
		}
		warned := slices.ContainsFunc(as[0].Warnings,
			func(w string) bool { return strings.HasPrefix(w, "training never showed") })
		if warned == met {
			t.Errorf("%s: warnings %q", training, as[0].Warnings)
		}
	}
}
